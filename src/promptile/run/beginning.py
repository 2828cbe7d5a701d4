"""How a run begins: whose its folder is, who works on it, and what was there before.

A run counts as begun once its prompts are there: they are written last and removed first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import zarr
from filelock import FileLock, Timeout

from promptile.errors import RunError
from promptile.folders import UNFINISHED, Folder, Local
from promptile.run.differences import differences, prompt_difference
from promptile.run.journal import ROOM
from promptile.run.measured import MEASURED
from promptile.run.parts import DETECTIONS, DRAFT, IMAGE, LAYERS, PROMPTS, create_labels, grid_from

if TYPE_CHECKING:
    from promptile.run.store import Run

R = TypeVar("R", bound="Run")

FORMAT = 2
SUFFIX = ".run.zarr"

_LOCK = "lock"
_PARTS = (
    *(ROOM, "zarr.json", PROMPTS, IMAGE, "finished.json", "labels"),
    *("masks", "commits", "edits", DRAFT, "unpainted.json"),
    *("tiles", LAYERS, "objects.parquet"),
    *(MEASURED, DETECTIONS),
)
_UNFINISHED = (UNFINISHED, ".partial")
"""How the names of files end that are being written, by us and by Zarr."""


class Lock:
    """Lets one process at a time work on a run.

    Storage that is no local folder has no locks: whoever shares it sees to it.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder.place
        self._file = FileLock(folder.path / _LOCK) if isinstance(folder, Local) else None

    def take(self) -> None:
        """Keep other processes out.

        Raises
        ------
        RunError
            If another process works on the run.
        """
        if self._file is None:
            return
        try:
            Path(self._file.lock_file).parent.mkdir(parents=True, exist_ok=True)
            self._file.acquire(timeout=0)
        except Timeout:
            raise RunError(
                f"{self._folder} is in use by another process: wait for it, or choose another with --run"
            ) from None

    def release(self) -> None:
        """Let other processes in."""
        if self._file is not None:
            self._file.release()


def has_begun(folder: Folder) -> bool:
    """Whether a run is there. One that lost its prompts still has what was done by hand."""
    return folder.exists(PROMPTS) or bool(folder.names(ROOM))


def clear(folder: Folder) -> None:
    """Remove all parts of a run but what a detector said: whoever asks again looks whether it still fits."""
    folder.remove(PROMPTS)
    folder.remove(ROOM)
    for name in folder.names():
        if name != DETECTIONS and _is_part(name):  # not the lock, nor what is not ours
            folder.remove(name)


def refuse_what_is_no_run(folder: Folder) -> None:
    """Raise RunError for a place whose content a run would replace: somebody's file, folder or Zarr.

    A folder that holds nothing but parts of a run is one whose making was interrupted.
    """
    if isinstance(folder, Local) and not folder.path.is_dir():
        if folder.path.exists():
            raise RunError(f"{folder.path} is a file, and a run is a folder: choose another with --run")
        return
    try:
        ours = "format" in json.loads(folder.read("zarr.json"))["attributes"]["promptile"]
    except (LookupError, TypeError):  # another Zarr
        ours = False
    except (OSError, ValueError):
        ours = all(name == _LOCK or _is_part(name) for name in folder.names())
    if not ours:
        raise RunError(f"{folder.place} is not a run folder and not empty: choose another with --run")


def begin(
    run: R,
    spec: Mapping[str, Any],
    prompts: Sequence[Mapping[str, Any]] | None,
    *,
    restart: bool = False,
    of_image: bool = False,
) -> R:
    """The run itself, locked: made anew, or the same one to be continued; see `PromptedRun.start`.

    Without `prompts`: those of the run that is there, or none yet. With `of_image`, it may have been made in another
    way, as long as it is of the same image.
    """
    wanted = json.loads(json.dumps({"format": FORMAT, **spec}))
    said = None if prompts is None else json.loads(json.dumps(list(prompts)))
    try:
        refuse_what_is_no_run(run.folder)
        run.lock.take()
    except OSError as error:
        raise RunError(f"{run.path} cannot be written ({error.strerror}): choose another with --run") from error
    try:
        if restart:
            clear(run.folder)
        if has_begun(run.folder):
            found = [image_in(spec) if of_image else spec for spec in (run.spec, wanted)]
            _refuse_others(run, found[0], found[1], said)
        else:
            _create(run, wanted, said or [])
    except BaseException:
        run.close()
        raise
    return run


def _create(run: Run, spec: Mapping[str, Any], prompts: Sequence[Mapping[str, Any]]) -> None:
    clear(run.folder)
    if "text" not in spec:
        run.folder.remove(DETECTIONS)
    zarr.create_group(run.folder.zarr(), zarr_format=3, attributes={"promptile": dict(spec)})
    grid = grid_from(spec["grid"])
    create_labels(run.folder, "labels", grid.shape)
    run.create_parts(grid)
    run.prompts = list(prompts)  # last: a run counts as begun only once everything else is there


def _refuse_others(
    run: Run, found_spec: Mapping[str, Any], spec: Mapping[str, Any], prompts: Sequence[Mapping[str, Any]] | None
) -> None:
    names = [of.get("image", {}).get("name") for of in (found_spec, spec)]
    if names[0] != names[1]:  # two images in one folder often have one stem, and so one name for their run
        raise RunError(f"{run.path} was made from {names[0]}, not {names[1]}: choose another with --run")
    found = list(differences(found_spec, spec))
    if prompts is not None and run.prompts != prompts:
        found.append(prompt_difference(run.prompts, prompts))
    if found:
        raise RunError(
            f"{run.path} was made from something else: {'; '.join(found[:4])}: "
            "choose another with --run, or throw it away with --restart"
        )


def read_spec(folder: Folder) -> dict[str, Any]:
    """What was run, of a run that is there.

    Raises
    ------
    RunError
        If the folder is none of a run.
    """
    try:
        spec = dict(json.loads(folder.read("zarr.json"))["attributes"]["promptile"])
    except (OSError, ValueError, LookupError, TypeError):
        raise RunError(f"{folder.place} is not a run folder: give a folder NAME{SUFFIX} that promptile wrote") from None
    return spec


def image_in(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a spec that says which image it is of, wherever it lies and whatever it is called."""
    return {"image": {k: v for k, v in spec["image"].items() if k != "name"}, "grid": spec["grid"]}


def _is_part(name: str) -> bool:
    return name in _PARTS or name.endswith(_UNFINISHED)
