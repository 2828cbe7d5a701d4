"""Which network answers: the one in torch, or an export of it that a runtime computes."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from promptile.models.runtimes.choosing import default, runtime_of
from promptile.models.runtimes.exports import ExportError, exported
from promptile.models.sam.loading import load_network
from promptile.models.sam.nets.network import Decoding
from promptile.models.sam.variants import Variant

_log = logging.getLogger("promptile")


def network_of(
    variant: Variant, path: Path, device: torch.device, runtime: str | None, *, version: str, hq_token_only: bool
) -> tuple[Decoding, str]:
    """The network with the weights of a file, and what computes it: ``torch``, ``onnx`` or ``openvino``.

    Parameters
    ----------
    variant : Variant
    path : path
    device : torch.device
    runtime : str, optional
        What is wished for; without it, as the environment says, or ``auto``.
    version : str
        Of the weights and the code: the export is made again for another.
    hq_token_only : bool

    Raises
    ------
    ModelError
        If the file does not hold this model, or the runtime is not there. If an export fails that was not wished for
        by name, torch computes, and a line says so.
    """
    wish = runtime or default()
    chosen = runtime_of(wish, device.type)
    if chosen != "torch":
        try:
            return _exported(variant, path, chosen, version, hq_token_only=hq_token_only), chosen
        except ExportError as error:
            if wish != "auto":
                raise
            _log.warning("Torch computes %s, as %s", variant.name, error)
    return load_network(variant, path, hq_token_only=hq_token_only).to(device), "torch"


def _exported(variant: Variant, path: Path, runtime: str, version: str, *, hq_token_only: bool) -> Decoding:
    from promptile.models.sam.exported import ExportedNetwork

    def make(folder: Path) -> None:
        from promptile.models.sam.exporting import write_graphs

        write_graphs(load_network(variant, path, hq_token_only=hq_token_only), variant.side, folder)

    kind = "hq-token-only.onnx" if hq_token_only else "onnx"
    folder = exported(path, kind, f"{version} {variant.name}", make)
    return ExportedNetwork(folder, runtime, efficient=variant.style == "efficient")
