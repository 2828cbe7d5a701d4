"""What tiles have answered, on disk until the result is written: a task that was stopped goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptile.engine.execute.protocol import Executor, Work
from promptile.engine.progress import Progress, one_line
from promptile.errors import RunError
from promptile.folders import Local
from promptile.grid import Tile

_SPEC = "spec.json"
_TRIES = 2


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
        failed: list[tuple[Tile, Exception]] = []
        progress("tiles", done, len(tiles))
        for _ in range(_TRIES):
            failed = []
            for outcome in executor.run(work, waiting):
                if outcome.error is not None:
                    failed.append((outcome.item, outcome.error))
                else:
                    done += 1
                progress("tiles", done, len(tiles))
            waiting = [tile for tile, _ in failed]
        if failed:
            tile, error = min(failed, key=lambda pair: pair[0].index)
            raise RunError(
                f"{len(failed)} of {len(tiles)} tiles have no answer, tile {tile.index} because of: {one_line(error)}: "
                "give the same command again to go on with the others"
            ) from error


def _name(tile: Tile) -> str:
    return "tiles/" + "_".join(f"{i:05d}" for i in tile.index)
