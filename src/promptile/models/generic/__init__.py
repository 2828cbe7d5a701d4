"""Models that Promptile does not know: networks in ONNX or TorchScript files, described by a card in a YAML file."""

from __future__ import annotations

from pathlib import Path

from promptile.models.protocols import Promptable


def load(card: Path | str, ndim: int, *, device: str = "auto", runtime: str | None = None) -> Promptable:
    """The model that a card describes.

    Parameters
    ----------
    card : path
        A YAML or JSON file; the files that it names lie beside it.
    ndim : int
        What the image has. The model takes 2 in any case, as its card says.
    device : str
        ``auto`` or ``cpu``; for TorchScript any that torch has.
    runtime : str, optional
        What computes ONNX files: ``onnx``, ``openvino`` or ``auto``.

    Raises
    ------
    ModelError
        If the card is wrong, or what it needs is not here.
    """
    from promptile.models.generic.model import Generic

    return Generic.load(Path(card).expanduser().absolute(), device, runtime)
