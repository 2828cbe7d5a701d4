"""FastSAM: all instances of a window at once, from an ONNX export that the user makes. Needs the extra ``onnx``.

Each function here loads one model, as the registry does: ``fastsam_s(2)``. In Python more can be said:
``fastsam_s(2, weights="FastSAM-s.onnx", device="cpu")``. Nothing is ever downloaded.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from promptile.errors import ModelError
from promptile.models.fastsam.variants import VARIANTS
from promptile.models.fetching import check_consent
from promptile.models.weights import in_folders

if TYPE_CHECKING:
    from promptile.models.fastsam.model import FastSam


def load(name: str, ndim: int, *, weights: Path | str | None = None, device: str = "auto") -> FastSam:
    """A model of the family.

    Parameters
    ----------
    name : str
        One of `VARIANTS`.
    ndim : int
        What the image has. The model takes 2 in any case, as its card says.
    weights : path, optional
        The ``.onnx`` file; without it, it is looked for by name.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.

    Raises
    ------
    ModelError
        If ONNX Runtime, the export or the device are not here, the export does not fit, or its licence is not accepted.
    """
    variant = VARIANTS[name]
    check_consent(variant.published)
    try:
        from promptile.models.fastsam.model import FastSam
    except ModuleNotFoundError as error:
        raise ModelError(f"Model {name!r} needs {error.name}: pip install 'promptile[onnx]'") from error
    path = Path(weights).expanduser() if weights is not None else in_folders(variant.published.files)
    if path is None or not path.is_file():
        where = "not among your weights" if path is None else f"not at {path}"
        raise ModelError(
            f"Model {name!r} needs {variant.file}, and it is {where}: make it with {variant.recipe}, then "
            f"promptile models fetch {name} --from {variant.file}"
        )
    return FastSam.load(variant, path, device)


fastsam_s = partial(load, "fastsam-s")
fastsam_x = partial(load, "fastsam-x")
