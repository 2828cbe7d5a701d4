"""Small networks with random weights in files as others publish them, each with the card that describes it."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from promptile.models.runtimes.export import Graph, write_graph
from promptile.models.sam.nets.network import Features, Network
from promptile.models.sam.variants import VARIANTS as FULL
from promptile.models.sam.variants import Encoder, Variant

_SIDE = 256
_VIT = Encoder(kind="vit", width=32, depth=2, heads=2, spread=(1,))
VARIANTS = {
    "sam": replace(FULL["sam-b"], side=_SIDE, encoder=_VIT),
    "efficient": replace(FULL["efficient-sam-ti"], side=_SIDE, encoder=replace(_VIT, spread=())),
}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

SAM = """
name: small SAM
licence: MIT
image:
  side: 256
  fit: pad
  mean: [0.485, 0.456, 0.406]
  std: [0.229, 0.224, 0.225]
points:
  box: [2, 3]
  padding: -1
encoder:
  file: encoder.onnx
  inputs: {image: image}
  outputs: {image_embeddings: embedding}
decoder:
  file: decoder.onnx
  inputs:
    image_embeddings: embedding
    point_coords: points
    point_labels: labels
    mask_input: mask
    has_mask_input: has_mask
    orig_im_size: size
  outputs:
    low_res_masks: logits
    iou_predictions: scores
"""

EFFICIENT = """
name: small EfficientSAM
licence: MIT
image: {side: 256, fit: stretch}
points: {box: [2, 3], most: 6}
encoder:
  file: encoder.onnx
  inputs: {batched_images: image}
  outputs: {image_embeddings: embedding}
decoder:
  file: decoder.onnx
  inputs:
    image_embeddings: embedding
    batched_point_coords: points
    batched_point_labels: labels
    orig_im_size: size
  outputs: {output_masks: logits, iou_predictions: scores}
"""

SCRIPTED = """
name: small EfficientSAM
licence: MIT
image: {side: 256, fit: stretch}
points: {box: [2, 3], most: 6, axes: 4}
encoder:
  file: model.jit
  method: get_image_embeddings
  inputs: [image]
  outputs: [embedding]
decoder:
  file: model.jit
  method: predict_masks
  inputs: [embedding, points, labels, true, 256, 256, 256, 256]
  outputs: [logits, scores]
"""

CARDS = {"sam": SAM, "efficient": EFFICIENT, "efficient-jit": SCRIPTED}


@lru_cache
def network(variant: Variant) -> Network:
    """With weights drawn anew in each process, but always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Network(variant)
        made.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix.normal_()
    made.eval().requires_grad_(False).fold()
    return made


def write(folder: Path, kind: str) -> Path:
    """The files of a model in a new folder; its card."""
    folder.mkdir()
    whole = network(VARIANTS[kind.split("-")[0]])
    image, embedding = torch.zeros(1, 3, _SIDE, _SIDE), torch.zeros(1, 256, _SIDE // 16, _SIDE // 16)
    if kind == "efficient-jit":
        _write_script(_Encoder(whole), _EfficientDecoder(whole), image, embedding, folder / "model.jit")
    else:
        graphs = _sam(whole, image, embedding) if kind == "sam" else _efficient(whole, image, embedding)
        for name, graph in graphs.items():
            write_graph(graph, folder / f"{name}.onnx")
    card = folder / "card.yaml"
    card.write_text(CARDS[kind], encoding="utf-8")
    return card


def _sam(whole: Network, image: Tensor, embedding: Tensor) -> dict[str, Graph]:
    inputs = {
        "image_embeddings": embedding,
        "point_coords": torch.zeros(1, 2, 2),
        "point_labels": torch.ones(1, 2),
        "mask_input": torch.zeros(1, 1, _SIDE // 4, _SIDE // 4),
        "has_mask_input": torch.zeros(1),
        "orig_im_size": torch.tensor([float(_SIDE), float(_SIDE)]),
    }
    free = {"point_coords": {1: "n"}, "point_labels": {1: "n"}}
    outputs = ("masks", "iou_predictions", "low_res_masks")
    return {
        "encoder": Graph(_Encoder(whole), {"image": image}, ("image_embeddings",)),
        "decoder": Graph(_SamDecoder(whole), inputs, outputs, free),
    }


def _efficient(whole: Network, image: Tensor, embedding: Tensor) -> dict[str, Graph]:
    inputs = {
        "image_embeddings": embedding,
        "batched_point_coords": torch.zeros(1, 1, 2, 2),
        "batched_point_labels": torch.ones(1, 1, 2),
        "orig_im_size": torch.tensor([_SIDE, _SIDE]),
    }
    free = {"batched_point_coords": {2: "n"}, "batched_point_labels": {2: "n"}}
    return {
        "encoder": Graph(_Encoder(whole), {"batched_images": image}, ("image_embeddings",)),
        "decoder": Graph(_EfficientDecoder(whole), inputs, ("output_masks", "iou_predictions"), free),
    }


class _Part(nn.Module):
    def __init__(self, whole: Network) -> None:
        super().__init__()
        self.whole = whole


class _Encoder(_Part):
    """EfficientSAM's takes 0 to 1."""

    def forward(self, images: Tensor) -> Tensor:
        if self.whole.efficient:
            mean, std = (torch.tensor(values)[:, None, None] for values in (_MEAN, _STD))
            images = (images - mean) / std
        return self.whole.embed(images).image


class _SamDecoder(_Part):
    """As segment-anything exports it, with all four masks."""

    def forward(
        self, image: Tensor, points: Tensor, labels: Tensor, mask: Tensor, has_mask: Tensor, size: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        encoder, decoder = self.whole.prompt_encoder, self.whole.mask_decoder
        dense = has_mask * encoder.dense(mask) + (1 - has_mask) * encoder.dense(None)
        tokens = encoder.sparse(points, labels.long())
        three = decoder.understand((image + dense).flatten(2).transpose(1, 2), tokens, ambiguous=True)
        one = replace(three, iou=three.iou[:, :1])
        low = torch.cat([decoder.draw(one), decoder.draw(three)], dim=1)
        return low * (size.prod() > 0), decoder.iou_prediction_head(three.tokens[:, 0]), low


class _EfficientDecoder(_Part):
    """As EfficientSAM's authors export it: always three masks, missing points are added inside."""

    def forward(
        self, image: Tensor, points: Tensor, labels: Tensor, size: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        points = torch.cat([points[0], torch.full((1, 6, 2), -1.0)], dim=1)[:, :6]
        labels = torch.cat([labels[0], torch.full((1, 6), -1.0)], dim=1)[:, :6].long()
        three = self.whole.understand(Features(image), points, labels, None, ambiguous=True)
        masks = self.whole.draw(three, None)
        scale = 1 if size is None else (size.prod() > 0)
        return (masks * scale)[None], three.iou[None]


def _write_script(encoder: nn.Module, decoder: nn.Module, image: Tensor, embedding: Tensor, path: Path) -> None:
    class Scripted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = torch.jit.trace(encoder, image)
            self.decoder = torch.jit.trace(decoder, (embedding, torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2)))

        @torch.jit.export
        def get_image_embeddings(self, images: Tensor) -> Tensor:
            return self.encoder(images)

        @torch.jit.export
        def predict_masks(
            self, image: Tensor, points: Tensor, labels: Tensor, several: bool, h: int, w: int, rows: int, columns: int
        ) -> tuple[Tensor, Tensor]:
            masks, iou = self.decoder(image, points, labels)
            return masks if several else masks[:, :, :1], iou

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # about tracing, and about TorchScript, which torch is to give up one day
        torch.jit.script(Scripted()).save(path)
