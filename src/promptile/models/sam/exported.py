"""`ExportedNetwork`: what `Network` answers, computed by a runtime instead of torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor

from promptile.models.runtimes.choosing import load_graph
from promptile.models.runtimes.protocol import LoadedGraph
from promptile.models.sam.nets.decoder import Understood
from promptile.models.sam.nets.network import Decoding, Features
from promptile.models.sam.nets.transformer import Prepared


class ExportedNetwork(Decoding):
    """A network of the family in the files that `write_graphs` wrote, on the CPU.

    Parameters
    ----------
    folder : path
    runtime : str
        ``onnx`` or ``openvino``.
    efficient : bool
        Whether it is an EfficientSAM.
    """

    def __init__(self, folder: Path, runtime: str, *, efficient: bool) -> None:
        self.efficient = efficient
        self._folder = folder
        self._runtime = runtime
        self._graphs: dict[str, LoadedGraph] = {}
        self._opening = Lock()
        self._graph("encoder")  # what cannot be loaded is said at once

    def embed(self, images: Tensor) -> Features:
        seen = [self._run("encoder", images=image[None]) for image in images]
        fine = torch.cat([one["fine"] for one in seen]) if "fine" in seen[0] else None
        return Features(torch.cat([one["image"] for one in seen]), fine)

    def prepare(self, features: Features) -> Features:
        return replace(features, prepared=self._prepared(features))

    def understand(
        self, features: Features, points: Tensor, labels: Tensor, masks: Tensor | None, *, ambiguous: bool
    ) -> Understood:
        asked = {"image": features.image, "points": points, "labels": labels}
        if masks is None:
            prepared = features.prepared or self._prepared(features)
            heard = self._run("listener", **asked, **prepared._asdict())
        else:
            each = features.image.expand(len(points), -1, -1, -1)
            heard = self._run("masked_listener", **asked | {"image": each}, masks=masks)
        iou = heard["iou"]
        return Understood(heard["tokens"], heard["told"], iou[:, 1:] if ambiguous else iou[:, :1])

    def draw(self, understood: Understood, fine: Tensor | None) -> Tensor:
        beside = {} if fine is None else {"iou": understood.iou, "fine": fine}
        drawer = "candidates_drawer" if understood.iou.shape[1] > 1 else "drawer"
        return self._run(drawer, tokens=understood.tokens, told=understood.image, **beside)["logits"]

    def _prepared(self, features: Features) -> Prepared:
        return Prepared(**self._run("preparer", image=features.image))

    def _run(self, step: str, **tensors: Tensor) -> dict[str, Tensor]:
        graph = self._graph(step)
        # What a step has no use for is no input of it.
        given = {name: tensors[name].contiguous().numpy() for name in graph.inputs}
        return {name: torch.from_numpy(array) for name, array in graph.run(given).items()}

    def _graph(self, step: str) -> LoadedGraph:
        """Loaded when first asked for: few ask with masks."""
        with self._opening:
            if step not in self._graphs:
                self._graphs[step] = load_graph(self._runtime, self._folder / f"{step}.onnx")
            return self._graphs[step]
