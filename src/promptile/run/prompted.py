"""A run of objects from prompts: each has a mask and a record of its own.

::

    masks/000017.npz     one object's samples in packed blocks (`ObjectMask.save`)
    commits/000017.json  its record: written after the mask, so an object counts only once it is whole
    finished.json        all records, written after the labels
"""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from typing import Any
from zipfile import BadZipFile

import pandas as pd

from promptile.errors import RunError
from promptile.grid import Grid
from promptile.masks import ObjectMask
from promptile.run.parts import read_json
from promptile.run.record import Failure, Record
from promptile.run.store import Run


class PromptedRun(Run):
    """One object per prompt. Objects may overlap."""

    @classmethod
    def start(
        cls,
        path: str | os.PathLike[str],
        spec: Mapping[str, Any],
        prompts: Sequence[Mapping[str, Any]] | None,
        *,
        restart: bool,
    ) -> PromptedRun:
        """A run to compute, locked for this process: a new one, or the same one to be continued.

        Parameters
        ----------
        path : path or URL
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
        return cls._start(path, spec, prompts, restart=restart)

    def _create_parts(self, grid: Grid) -> None:
        """Masks and records come one by one."""

    @property
    def layers(self) -> int:
        return 0

    def commit(self, record: Record, mask: ObjectMask | None) -> None:
        """Keep one object; without a mask, keep why there is none."""
        if mask is not None:
            packed = io.BytesIO()
            mask.save(packed)
            self.folder.write(_mask_name(record.id), packed.getvalue())
        self.folder.write(_record_name(record.id), json.dumps(record.to_json()).encode())

    def withdraw(self, object_id: int) -> None:
        """Forget one object."""
        self.folder.remove(_record_name(object_id))
        self.folder.remove(_mask_name(object_id))

    def records(self) -> list[Record]:
        """Records of all objects that were tried, by id."""
        if self.finished:
            return [Record.from_json(entry) for entry in read_json(self.folder, "finished.json")]
        names = (name for name in self.folder.names("commits") if name.endswith(".json"))
        return sorted((Record.from_json(read_json(self.folder, name)) for name in names), key=lambda r: r.id)

    def finish(self) -> None:
        """Mark the run as complete."""
        self.folder.write("finished.json", json.dumps([r.to_json() for r in self.records()]).encode())

    @property
    def waiting(self) -> str:
        left = len(self.prompts) - len(self.records())
        return f"{left} of {len(self.prompts)} objects" if left > 0 else ""

    @property
    def failed(self) -> list[Failure]:
        """Objects without an answer."""
        return [Failure("object", record.id, record.error) for record in self.records() if record.error]

    @property
    def objects(self) -> pd.DataFrame:
        rows = [record.to_row() for record in self.records() if not record.error]
        names = [*Record(0, "", "").to_row()]
        return pd.DataFrame(rows, columns=None if rows else names)

    def mask(self, object_id: int) -> ObjectMask:
        name = _mask_name(object_id)
        try:
            return ObjectMask.load(io.BytesIO(self.folder.read(name)))
        except (OSError, EOFError, LookupError, ValueError, BadZipFile, zlib.error) as error:
            raise RunError(
                f"Object {object_id} has no mask, {self.folder.place}/{name} is missing or damaged: "
                "compute the run again with --restart"
            ) from error


def _mask_name(object_id: int) -> str:
    return f"masks/{object_id:06d}.npz"


def _record_name(object_id: int) -> str:
    return f"commits/{object_id:06d}.json"
