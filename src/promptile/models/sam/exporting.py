"""The network as files for a runtime: one for each step, so that steps are left out as they are in torch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from promptile.models.runtimes.export import Graph, write_graph
from promptile.models.sam.nets.decoder import CANDIDATES, HighQualityDecoder, Understood
from promptile.models.sam.nets.network import Features, Network
from promptile.models.sam.nets.prompts import NOTHING
from promptile.models.sam.nets.transformer import Prepared
from promptile.models.sam.nets.vit import PIXELS

_PROMPTS, _POINTS = 2, 3
"""Of the examples; both may be any number."""


def write_graphs(network: Network, side: int, folder: Path) -> None:
    """Write the network, on the CPU and folded, into a folder; `side` is that of its input.

    ==================  ==================================================  =======================================
    file                takes                                               gives
    ==================  ==================================================  =======================================
    encoder             images                                              image, for SAM-HQ fine
    preparer            image                                               keys, values, queries
    listener            image, points, labels, keys, values, queries        tokens, told, iou: of all four masks
    masked_listener     image for each prompt, points, labels, masks        the same
    drawer              tokens, told, for SAM-HQ iou and fine               logits of the one mask of a clear prompt
    candidates_drawer   the same                                            logits of three masks
    ==================  ==================================================  =======================================
    """
    for name, graph in _graphs(network, side).items():
        write_graph(graph, folder / f"{name}.onnx")


def _graphs(network: Network, side: int) -> dict[str, Graph]:
    images = torch.zeros(1, 3, side, side)
    # Shapes are all that counts in examples; a real embedding of a large model would take a minute.
    image = torch.zeros(1, network.mask_decoder.iou_token.weight.shape[1], side // PIXELS, side // PIXELS)
    quality = isinstance(network.mask_decoder, HighQualityDecoder)
    fine = {"fine": torch.zeros(1, image.shape[1] // 8, side // 4, side // 4)} if quality else {}
    prepared = network.prepare(Features(image)).prepared
    assert prepared is not None
    known = {"keys": prepared.keys, "values": prepared.values, "queries": prepared.queries}
    points = {
        "points": torch.zeros(_PROMPTS, _POINTS, 2),
        "labels": torch.full((_PROMPTS, _POINTS), NOTHING),
    }
    masks = {"masks": torch.zeros(_PROMPTS, 1, side // 4, side // 4)}
    listener = _Listener(network)
    tokens, told, iou = listener(image, *points.values(), *known.values())
    heard = {"tokens": tokens, "told": told, **({"iou": iou[:, :1]} if quality else {}), **fine}
    free = {name: {0: "prompts", 1: "count"} for name in points} | {
        name: {0: "prompts"} for name in ("masks", "tokens", "told", "iou", "logits")
    }
    said = ("tokens", "told", "iou")
    graphs = {
        "encoder": Graph(_Encoder(network), {"images": images}, ("image", *fine)),
        "preparer": Graph(_Preparer(network), {"image": image}, tuple(known)),
        "listener": Graph(listener, {"image": image, **points, **known}, said, free),
        "drawer": Graph(_Drawer(network, 1), heard, ("logits",), free),
    }
    if quality:
        heard = heard | {"iou": iou[:, 1:]}
    graphs["candidates_drawer"] = Graph(_Drawer(network, CANDIDATES), heard, ("logits",), free)
    if not network.efficient:
        # One image per prompt: OpenVINO 2026.4 fails where one is added to the masks of several.
        asked = {"image": image.expand(_PROMPTS, -1, -1, -1), **points, **masks}
        graphs["masked_listener"] = Graph(_MaskedListener(network), asked, said, free | {"image": {0: "prompts"}})
    return graphs


class _Step(nn.Module):
    """A step of a network."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network


class _Encoder(_Step):
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features = self.network.embed(images)
        return (features.image,) if features.fine is None else (features.image, features.fine)


class _Preparer(_Step):
    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        prepared = self.network.prepare(Features(image)).prepared
        assert prepared is not None
        return prepared.keys, prepared.values, prepared.queries


class _Listener(_Step):
    def forward(
        self, image: Tensor, points: Tensor, labels: Tensor, keys: Tensor, values: Tensor, queries: Tensor
    ) -> tuple[Tensor, ...]:
        features = Features(image, prepared=Prepared(keys, values, queries))
        return self._told(features, points, labels, None)

    def _told(self, features: Features, points: Tensor, labels: Tensor, masks: Tensor | None) -> tuple[Tensor, ...]:
        understood = self.network.understand(features, points, labels, masks, ambiguous=True)
        iou = self.network.mask_decoder.iou_prediction_head(understood.tokens[:, 0])
        return understood.tokens, understood.image, iou


class _MaskedListener(_Listener):
    def forward(self, image: Tensor, points: Tensor, labels: Tensor, masks: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        return self._told(Features(image), points, labels, masks)


class _Drawer(_Step):
    """Draws `count` masks; what SAM-HQ takes beside is not asked for elsewhere."""

    def __init__(self, network: Network, count: int) -> None:
        super().__init__(network)
        self._count = count

    def forward(self, tokens: Tensor, told: Tensor, iou: Tensor | None = None, fine: Tensor | None = None) -> Tensor:
        guesses = tokens.new_zeros(1, self._count) if iou is None else iou
        return self.network.mask_decoder.draw(Understood(tokens, told, guesses), fine)
