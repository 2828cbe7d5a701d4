"""What tiles have answered, on disk until the result is written: a task that was stopped goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptile.engine.execute.protocol import Executor, Work
from promptile.engine.execute.twice import answer_twice
from promptile.engine.progress import Progress, one_line
from promptile.errors import RunError
from promptile.folders import Local
from promptile.grid import Tile

_SPEC = "spec.json"


@dataclass(frozen=True)
class Scratch:
    """A folder beside a result, named after it; there until the result is.

    Parameters
    ----------
    path : Path
    """

    path: Path

    @classmethod
    def beside(cls, out: Path, spec: Mapping[str, Any]) -> Scratch:
        """That of a result: what is there already is kept if it is of the same image, model and wish."""
        scratch = cls(out.with_name(f"{out.name}.unfinished"))
        said = json.dumps(spec, sort_keys=True).encode()
        folder = scratch.folder
        if not folder.exists(_SPEC) or folder.read(_SPEC) != said:
            scratch.remove()
            folder.write(_SPEC, said)
        return scratch

    @property
    def folder(self) -> Local:
        return Local(self.path)

    def has(self, tile: Tile) -> bool:
        """Whether a tile has answered."""
        return self.folder.exists(_name(tile))

    def read(self, tile: Tile) -> bytes:
        return self.folder.read(_name(tile))

    def write(self, tile: Tile, answer: bytes) -> None:
        self.folder.write(_name(tile), answer)

    def remove(self) -> None:
        """Forget all of it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def answer(self, tiles: Sequence[Tile], work: Work, executor: Executor, progress: Progress) -> None:
        """Let all tiles answer that have not yet, failed ones twice.

        Raises
        ------
        RunError
            If some have no answer then; the others are kept.
        """
        waiting = [tile for tile in tiles if not self.has(tile)]
        done = len(tiles) - len(waiting)
        failed = answer_twice(executor, work, waiting, lambda n: progress("tiles", done + n, len(tiles)))
        if failed:
            tile, error = failed[0]
            raise RunError(
                f"{len(failed)} of {len(tiles)} tiles have no answer, tile {tile.index} because of: {one_line(error)}: "
                "give the same command again to go on with the others"
            ) from error


def _name(tile: Tile) -> str:
    return "tiles/" + "_".join(f"{i:05d}" for i in tile.index)
