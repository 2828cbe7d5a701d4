"""Perfect proposers: the image is the truth, and they propose it inside each view; and one that fails."""

from __future__ import annotations

import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np
from scipy import ndimage

from promptile.grid import Window
from promptile.models.protocols import ModelCard, Proposal, Proposer, View


class Whole:
    """Proposes each true object of a view, in one proposal however many pieces of it the view shows.

    Scores, and with them the order and all local ids, are different in each view.
    """

    def __init__(self, ndim: int) -> None:
        self.card = ModelCard(
            name=type(self).__name__.lower(),
            family="test",
            abilities=frozenset({"propose"}),
            ndim=ndim,
            input="raw",
            digest=type(self).__name__,
        )

    def propose(self, view: View) -> list[Proposal]:
        truth = np.where(view.valid, view.samples[0], 0)
        _, inverse = np.unique(np.append(truth.ravel(), 0), return_inverse=True)  # 0 is there, and the smallest
        labels = inverse[:-1].reshape(truth.shape)
        found = []
        for i, box in enumerate(ndimage.find_objects(labels), 1):
            if box is not None:
                window = Window.between([s.start for s in box], [s.stop for s in box])
                found += [(w.shift(window.start), mask) for w, mask in self.split(labels[box] == i)]
        random = np.random.default_rng(key(view))
        scores = np.sort(random.uniform(0.5, 1, len(found)))[::-1].astype(float)
        order = random.permutation(len(found))
        return [Proposal(*found[i], float(score)) for i, score in zip(order, scores, strict=True)]

    def split(self, mask: np.ndarray) -> list[tuple[Window, np.ndarray]]:
        """What is proposed of an object that a view shows in its smallest box."""
        return [(Window.of(mask.shape), mask)]


class Pieces(Whole):
    """Proposes each connected piece (8 or 26 neighbours) of each true object by itself."""

    def split(self, mask: np.ndarray) -> list[tuple[Window, np.ndarray]]:
        pieces, _ = ndimage.label(mask, np.ones((3,) * mask.ndim))
        boxes = ndimage.find_objects(pieces)
        return [
            (Window.between([s.start for s in box], [s.stop for s in box]), pieces[box] == i)
            for i, box in enumerate(boxes, 1)
        ]


class Failing:
    """Fails some times for each view that shows one of some values, then answers as the model does.

    Parameters
    ----------
    model : Proposer
    folder : Path
        Where failures are counted: copies in other processes count together.
    values : collection of int
        Views whose first channel holds one of them fail.
    times : int
        How often each of these views fails.
    error : type of exception
    """

    def __init__(
        self,
        model: Proposer,
        folder: Path,
        values: Collection[int],
        times: int = 1,
        error: type[Exception] = RuntimeError,
    ) -> None:
        self.model, self.folder, self.values, self.times, self.error = model, folder, tuple(values), times, error
        self.card = model.card

    def propose(self, view: View) -> list[Proposal]:
        if np.isin(view.samples[0], self.values).any():
            counted = self.folder / f"{key(view):08x}.failures"
            failures = counted.stat().st_size if counted.exists() else 0
            if failures < self.times:
                with counted.open("ab") as file:
                    file.write(b".")
                raise self.error(f"failed on purpose, {failures + 1} of {self.times} times")
        return self.model.propose(view)

    @property
    def failures(self) -> int:
        """How often it failed so far, in all processes."""
        return sum(path.stat().st_size for path in self.folder.glob("*.failures"))


def key(view: View) -> int:
    """A number that tells views apart by what they show."""
    return zlib.crc32(np.ascontiguousarray(view.samples))
