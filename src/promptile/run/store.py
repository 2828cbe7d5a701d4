"""A run: a result on disk that survives a kill and goes on where it stopped.

::

    NAME.run.zarr/
        zarr.json            a Zarr v3 group; its attribute `promptile` says what was run: the image's identity,
                             grid, rendering, model, tiling, options
        prompts.json         the prompts, in index coordinates of level 0
        masks/000017.npz     one object's samples in packed blocks (`ObjectMask.save`)
        commits/000017.json  its record: written after the mask, so an object counts only once it is whole
        labels/              Zarr array uint32 on the image's grid; 0 is background
        finished.json        all records, written after the labels: the run is complete

Each file is written under a temporary name, synced and renamed.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import zarr
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from promptile import writers
from promptile.errors import RunError
from promptile.grid import Grid, Window
from promptile.masks import ObjectMask
from promptile.run.differences import differences, prompt_difference
from promptile.run.files import read_json, replacing, write
from promptile.run.record import Record

FORMAT = 1
SUFFIX = ".run.zarr"

_LABEL_SIDE = {2: 1024, 3: 128}
_LOCK = "lock"
_PARTS = ("zarr.json", "prompts.json", "finished.json", "masks", "commits", "labels")
_UNFINISHED = (".part", ".partial")
"""How the names of files end that are being written, by us and by Zarr."""


class Run:
    """A result on disk, opened for reading or by the process that computes it.

    `Run.open` reads an existing one; `Run.start` makes or continues one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / _LOCK)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Run:
        """A run that is there.

        Raises
        ------
        RunError
            If `path` is not a run folder, or one of another format.
        """
        run = cls(Path(path).expanduser())
        found = run.spec.get("format")
        if found != FORMAT:
            raise RunError(f"{path} has run format {found}, this Promptile reads {FORMAT}: run it again with --restart")
        return run

    @classmethod
    def start(
        cls,
        path: str | os.PathLike[str],
        spec: Mapping[str, Any],
        prompts: Sequence[Mapping[str, Any]] | None,
        *,
        restart: bool,
    ) -> Run:
        """A run to compute, locked for this process: a new one, or the same one to be continued.

        Parameters
        ----------
        path : path
        spec : mapping
            What is run; JSON-able.
        prompts : sequence of mapping, optional
            One per object, with its ``id``; JSON-able. None: those of the run that is there, or none yet.
        restart : bool
            Throw away what is there.

        Raises
        ------
        RunError
            If another process works on it, or it was made from something else; the difference is named.
        """
        folder = Path(path).expanduser()
        wanted = json.loads(json.dumps({"format": FORMAT, **spec}))
        said = None if prompts is None else json.loads(json.dumps(list(prompts)))
        _refuse_what_is_no_run(folder)
        folder.mkdir(parents=True, exist_ok=True)
        run = cls(folder)
        try:
            run._lock.acquire(timeout=0)
        except Timeout:
            raise RunError(
                f"{folder} is in use by another process: wait for it, or choose another with --run"
            ) from None
        try:
            if restart:
                run._clear()
            if (folder / "prompts.json").exists():
                run._refuse_others(wanted, said)
            else:
                run._create(wanted, said or [])
        except BaseException:
            run.close()
            raise
        return run

    def _create(self, spec: Mapping[str, Any], prompts: Sequence[Mapping[str, Any]]) -> None:
        self._clear()
        group = zarr.create_group(self.path, zarr_format=3, attributes={"promptile": spec})
        grid = _grid_from(spec["grid"])
        side = _LABEL_SIDE[grid.ndim]
        group.create_array(
            "labels",
            shape=grid.shape,
            chunks=tuple(min(side, n) for n in grid.shape),
            dtype="uint32",
            fill_value=0,
            compressors=ZstdCodec(level=1),
            dimension_names=("z", "y", "x")[-grid.ndim :],
        )
        for room in ("masks", "commits"):
            (self.path / room).mkdir()
        # Written last: a run counts as begun only once everything else is there.
        write(self.path / "prompts.json", json.dumps(prompts).encode())

    def _refuse_others(self, spec: Mapping[str, Any], prompts: Sequence[Mapping[str, Any]] | None) -> None:
        found = list(differences(self.spec, spec))
        if prompts is not None and self.prompts != prompts:
            found.append(prompt_difference(self.prompts, prompts))
        if found:
            raise RunError(
                f"{self.path} was made from something else: {'; '.join(found[:4])}: "
                "use --restart to throw it away, or another --run"
            )

    def _clear(self) -> None:
        for entry in self.path.iterdir():
            if entry.name not in _PARTS and not entry.name.endswith(_UNFINISHED):
                continue  # the lock, and what is not ours
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def close(self) -> None:
        """Let other processes work on the run."""
        self._lock.release()

    @cached_property
    def spec(self) -> dict[str, Any]:
        """What was run."""
        try:
            spec: dict[str, Any] = json.loads((self.path / "zarr.json").read_bytes())["attributes"]["promptile"]
        except (OSError, ValueError, KeyError):
            raise RunError(
                f"{self.path} is not a run folder: give a folder NAME{SUFFIX} that promptile wrote"
            ) from None
        return spec

    @property
    def prompts(self) -> list[dict[str, Any]]:
        """The prompts, in index coordinates of level 0."""
        said: list[dict[str, Any]] = read_json(self.path / "prompts.json")
        return said

    @prompts.setter
    def prompts(self, said: Sequence[Mapping[str, Any]]) -> None:
        write(self.path / "prompts.json", json.dumps(list(said)).encode())

    @cached_property
    def grid(self) -> Grid:
        """The image's own grid."""
        return _grid_from(self.spec["grid"])

    @property
    def origin(self) -> dict[str, Any]:
        """Where the result comes from: image, model, Promptile's version."""
        return {key: self.spec[key] for key in ("image", "model", "promptile") if key in self.spec}

    @cached_property
    def labels(self) -> zarr.Array[Any]:
        """Zarr array uint32 of the image's shape; where objects overlap, the better score is shown."""
        return zarr.open_array(self.path / "labels", mode="r+")

    @property
    def finished(self) -> bool:
        """Whether all objects were tried and the labels are painted."""
        return (self.path / "finished.json").exists()

    def commit(self, record: Record, mask: ObjectMask | None) -> None:
        """Keep one object; without a mask, keep why there is none."""
        name = f"{record.id:06d}"
        if mask is not None:
            with replacing(self.path / "masks" / f"{name}.npz") as file:
                mask.save(file)
        write(self.path / "commits" / f"{name}.json", json.dumps(record.to_json()).encode())

    def withdraw(self, object_id: int) -> None:
        """Forget one object."""
        (self.path / "commits" / f"{object_id:06d}.json").unlink()
        (self.path / "masks" / f"{object_id:06d}.npz").unlink(missing_ok=True)

    def records(self) -> list[Record]:
        """Records of all objects that were tried, by id."""
        done = self.path / "finished.json"
        if done.exists():
            return [Record.from_json(entry) for entry in read_json(done)]
        found = sorted((self.path / "commits").glob("*.json"))
        return sorted((Record.from_json(read_json(f)) for f in found), key=lambda r: r.id)

    def finish(self) -> None:
        """Mark the run as complete."""
        write(self.path / "finished.json", json.dumps([r.to_json() for r in self.records()]).encode())

    def reopen(self) -> None:
        """Mark the run as not complete: something is to be computed again."""
        (self.path / "finished.json").unlink(missing_ok=True)

    @property
    def failed(self) -> list[Record]:
        """Objects without an answer, with the reason in `error`."""
        return [record for record in self.records() if record.error]

    @property
    def objects(self) -> pd.DataFrame:
        """One row per object that has an answer, sorted by id."""
        rows = [record.to_row() for record in self.records() if not record.error]
        names = [*Record(0, "", "").to_row()]
        return pd.DataFrame(rows, columns=None if rows else names)

    def mask(self, object_id: int) -> ObjectMask:
        """The object's own mask, also where another one covers it in the labels."""
        path = self.path / "masks" / f"{object_id:06d}.npz"
        try:
            with path.open("rb") as file:
                return ObjectMask.load(file)
        except (OSError, EOFError, LookupError, ValueError, BadZipFile, zlib.error) as error:
            raise RunError(
                f"Object {object_id} has no mask, {path} is missing or damaged: compute the run again with --restart"
            ) from error

    @property
    def layers(self) -> int:
        """0: objects from prompts may overlap, each has a mask of its own."""
        return 0

    def read_labels(self, window: Window, layer: int = 0) -> NDArray[np.uint32]:
        """``window.shape``: ids in a window, 0 is background."""
        try:
            return np.asarray(self.labels[window.slices], np.uint32)
        except (OSError, LookupError, ValueError, RuntimeError) as error:
            raise RunError(
                f"{self.path / 'labels'} is missing or damaged: compute the run again with --restart"
            ) from error

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the result; the suffix says how (`promptile.writers`)."""
        return writers.write(self, path, overwrite=overwrite)


def _refuse_what_is_no_run(folder: Path) -> None:
    """Refuse a place whose content a run would replace: somebody's file, folder or Zarr.

    A folder that holds nothing but parts of a run is one whose making was interrupted.
    """
    if not folder.is_dir():
        if folder.exists():
            raise RunError(f"{folder} is a file, and a run is a folder: choose another with --run")
        return
    try:
        ours = "format" in json.loads((folder / "zarr.json").read_bytes())["attributes"]["promptile"]
    except (LookupError, TypeError):  # another Zarr
        ours = False
    except (OSError, ValueError):
        names = [entry.name for entry in folder.iterdir()]
        ours = all(name in (*_PARTS, _LOCK) or name.endswith(_UNFINISHED) for name in names)
    if not ours:
        raise RunError(f"{folder} is not a run folder and not empty: choose another with --run")


def _grid_from(stored: Mapping[str, Any]) -> Grid:
    return Grid.of(stored["shape"], stored["affine"], stored["space"])
