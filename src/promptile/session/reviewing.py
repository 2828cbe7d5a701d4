"""Proposals of a run, walked through one after the other: accept, reject, go on."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from promptile.masks import ObjectMask
from promptile.run import Run, Step
from promptile.session.images import check_same_image
from promptile.session.taking import about
from promptile.session.work import Session

_JUDGED = ("take", "reject")


class Review:
    """What a person thinks of another run's objects, such as those that ``everything`` found.

    What was judged is in the session's journal: it survives a crash, and `Session.undo` makes a proposal wait again.

    Parameters
    ----------
    session : Session
        Gets what is accepted.
    run : Run
        Of the same image.
    ids : collection of int, optional
        Which of its objects; all by default.
    """

    def __init__(self, session: Session, run: Run, ids: Collection[int] | None = None) -> None:
        check_same_image(run, session.run)
        self.session = session
        self.run = run
        objects = run.objects.set_index("id", drop=False)
        self.table: pd.DataFrame = objects if ids is None else objects[objects["id"].isin(list(ids))]
        self._ids: list[int] = [int(i) for i in self.table["id"]]
        self._about = about(run, [])
        self._at = 0
        self.settle()

    def judged(self) -> set[int]:
        """Objects that were accepted or rejected."""
        journal = self.session.run.journal
        steps = (step.about for step in journal.steps[: journal.done] if step.what in _JUDGED)
        mine = (said for said in steps if all(said[key] == self._about[key] for key in ("run", "spec")))
        return {i for said in mine for i in said["objects"]}

    @property
    def left(self) -> int:
        """How many wait."""
        return len(self._ids) - len(self.judged().intersection(self._ids))

    @property
    def current(self) -> int | None:
        """The proposal that is looked at; None if none waits."""
        return self._ids[self._at] if self._at < len(self._ids) and self.left else None

    def mask(self) -> ObjectMask | None:
        """The current proposal's samples."""
        return None if self.current is None else self.run.mask(self.current)

    def settle(self) -> int | None:
        """Stay at the current proposal if it waits, else go to the next one that does."""
        judged = self.judged()
        if self._ids and self._ids[self._at] in judged:
            self._go(1, judged)
        return self.current

    def next(self) -> int | None:
        """Go to the next proposal that waits, from the last one to the first."""
        self._go(1, self.judged())
        return self.current

    def previous(self) -> int | None:
        """Go back to the one before that waits."""
        self._go(-1, self.judged())
        return self.current

    def accept(self, category: str = "") -> Step | None:
        """Make the current proposal an object of the session, and go on; None if none waits."""
        if self.current is None:
            return None
        step = self.session.take(self.run, [self.current], category)
        self.settle()
        return step

    def reject(self) -> Step | None:
        """Remember that the current proposal is no object, and go on; None if none waits."""
        if self.current is None:
            return None
        step = self.session.note("reject", self._about | {"objects": [self.current]})
        self.settle()
        return step

    def _go(self, step: int, judged: set[int]) -> None:
        for n in range(1, len(self._ids) + 1):
            at = (self._at + n * step) % len(self._ids)
            if self._ids[at] not in judged:
                self._at = at
                return
