"""nnInteractive: a network for volumes of any kind, by the package of its authors. Needs the extra ``nninteractive``.

`load` is what the registry calls: ``load(3)``. In Python more can be said: ``load(3, weights="nnInteractive_v1.0/",
device="cuda:1")``. Nothing is ever downloaded here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from promptile.errors import ModelError
from promptile.models.fetching import check_consent
from promptile.models.nninteractive.published import FOLDER, NAME, PUBLISHED
from promptile.models.weights import find_snapshot, lacking, located

if TYPE_CHECKING:
    from promptile.models.nninteractive.model import NnInteractive

_THEIRS = "NNINTERACTIVE_MODEL_DIR"
"""Environment variable of the authors' tools: where they put what they have downloaded."""


def load(ndim: int, *, weights: Path | str | None = None, device: str = "auto") -> NnInteractive:
    """The model.

    Parameters
    ----------
    ndim : int
        What the image has. The model takes 3 in any case, as its card says.
    weights : path, optional
        The folder that its authors publish; without it, it is looked for by name.
    device : str
        ``auto``, ``cuda``, ``cuda:1`` or ``cpu``, which is slow.

    Raises
    ------
    ModelError
        If its package, the weights or the device are not here, or the licence is not accepted.
    """
    check_consent(PUBLISHED)
    folder = find_snapshot(PUBLISHED, weights or _theirs())
    try:
        from promptile.models.nninteractive.model import NnInteractive

        return NnInteractive.load(folder, device)
    except ModuleNotFoundError as error:
        raise ModelError(f"Model {NAME!r} needs {error.name}: pip install 'promptile[nninteractive]'") from error


def _theirs() -> Path | None:
    """What the authors' own tools have downloaded, if Promptile has nothing of its own."""
    folder = Path(os.environ.get(_THEIRS) or "~/.nninteractive").expanduser() / "models" / FOLDER
    return folder if located(PUBLISHED) is None and not lacking(folder, PUBLISHED.parts) else None
