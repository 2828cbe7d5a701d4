"""What is found of an image when work on it begins: its session, and runs of it that are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari.layers import Image, Labels, Layer

from promptile._napari.compiled import compile_ahead
from promptile._napari.images import Shown
from promptile._napari.placement import KEY
from promptile._napari.widget.seen import Snapshot
from promptile.errors import RunError
from promptile.models.protocols import Model
from promptile.prompts.types import Prompt
from promptile.run import SUFFIX, PromptedRun, Run, TiledRun
from promptile.session import Request, Session, is_of, place_of, waiting


@dataclass(frozen=True, eq=False)
class Opened:
    """An image and what is known of it.

    Parameters
    ----------
    shown : Shown
    session : Session
    snapshot : Snapshot
        Of the session.
    draft : Prompt, optional
        What was asked and not accepted.
    unfinished : list of Request
        Runs that were asked for beside the session.
    own : Layer, optional
        A layer that shows the session's run, as it was opened from a file.
    proposed : mapping of Layer to Run
        Layers that show runs of everything of this image.
    """

    shown: Shown
    session: Session
    snapshot: Snapshot
    draft: Prompt | None
    unfinished: list[Request]
    own: Layer | None
    proposed: Mapping[Layer, Run]


def runs_shown(viewer: Any) -> dict[Layer, str]:
    """Where the runs lie that labels of the viewer were opened from."""
    paths = {
        layer: str(layer.metadata.get(KEY, {}).get("path", "")) for layer in viewer.layers if isinstance(layer, Labels)
    }
    return {layer: path for layer, path in paths.items() if path.endswith(SUFFIX)}


def open_session(
    viewer: Any,
    layer: Image,
    model: str | Model,
    folder: Path,
    checkpoint: Callable[[], None],
    runs: Mapping[Layer, str],
) -> Opened:
    """Begin or go on with the work on an image; called in the worker's thread.

    It goes on in a run of prompts that was opened, else where the image's session lies in `folder`.
    """
    shown = Shown.of(viewer, layer)
    source = shown.source
    compile_ahead(source.grid.ndim)
    known = {each: run for each, run in _opened(runs).items() if is_of(run, source.identity, source.grid)}
    own = next((each for each, run in known.items() if isinstance(run, PromptedRun)), None)
    place = place_of(source, folder) if own is None else Path(known[own].path)
    session = Session(source, model, out=place, checkpoint=checkpoint)
    try:
        draft = session.resume()
        proposed = {each: run for each, run in known.items() if isinstance(run, TiledRun)}
        return Opened(shown, session, Snapshot.of(session), draft, waiting(session), own, proposed)
    except BaseException:
        session.close()  # or nobody could go on with it
        raise


def _opened(runs: Mapping[Layer, str]) -> dict[Layer, Run]:
    found = {}
    for layer, path in runs.items():
        try:
            found[layer] = Run.open(path)
        except RunError:  # moved or removed since it was opened: the layer is all that is left of it
            continue
    return found
