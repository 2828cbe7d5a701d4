"""Walking through what a run has found: one proposal after the other is accepted, rejected or corrected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from promptile._napari.sketch import Sketch
from promptile._napari.widget.flight import fly_to
from promptile.grid import Window
from promptile.run import Step
from promptile.session import Review, Session

if TYPE_CHECKING:
    from promptile._napari.widget.desk import Desk


@dataclass(frozen=True)
class Proposed:
    """The proposal that is looked at."""

    id: int
    left: int
    sketch: Sketch
    window: Window
    score: float
    category: str


class Reviewing:
    """The review on a desk, if there is one.

    Parameters
    ----------
    desk : Desk
    """

    reviewed = Signal()
    """Another proposal is looked at, or none: `proposed`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._review: Review | None = None
        self.proposed: Proposed | None = None

    def begin(self) -> None:
        """Walk through the objects of a run."""
        run = self._desk.runs.latest()
        if run is None:
            self._desk.told.emit("There is nothing to review: run everything, or prompts, first", True)
            return

        def done(review: Review) -> None:
            self._review = review
            self._desk.runs.hide(run)  # or one would not see which one is looked at
            self._step(lambda review: None)

        ids = self._desk.runs.wanted(run)
        self._desk.order(lambda session: Review(session, run, ids), done)

    def end(self) -> None:
        """Look at no more proposals; those that wait go on waiting."""
        self._review = self.proposed = None
        if self._desk.scene is not None:
            self._desk.scene.show_preview(None)
        self.reviewed.emit()

    def accept(self) -> None:
        """Make the proposal an object, and go on to the next one."""
        category = self._category()
        self._step(lambda review: review.accept(category))

    def _category(self) -> str:
        """What the proposal is to be called: what it is called, else what the user says."""
        return "" if self.proposed is not None and self.proposed.category else self._desk.asking.category

    def reject(self) -> None:
        """The proposal is no object; go on to the next one."""
        self._step(lambda review: review.reject())

    def next(self) -> None:
        """Leave the proposal for later."""
        self._step(lambda review: review.next())

    def previous(self) -> None:
        """Go back to the proposal before."""
        self._step(lambda review: review.previous())

    def work_on(self) -> None:
        """Make the proposal an object, and take it in hand to be corrected with the brush or by clicks."""
        category = self._category()

        def done(step: Step | None) -> None:
            if step is not None and step.changes:
                self._desk.objects.show(step.changes[0].id)
                self._desk.asking.revise(step.changes[0].id)

        self._step(lambda review: review.accept(category), done, move=False)

    def _step(
        self, act: Callable[[Review], Any], done: Callable[[Any], None] = lambda _: None, *, move: bool = True
    ) -> None:
        review = self._review
        if review is None:
            return

        def work(session: Session) -> tuple[Any, Proposed | None]:
            given = act(review)
            review.settle()
            return given, _proposed(review)

        def told(found: tuple[Any, Proposed | None]) -> None:
            if self._review is review:
                self._look_at(found[1], move=move)
                done(found[0])

        self._desk.order(work, told)

    def _look_at(self, proposed: Proposed | None, *, move: bool) -> None:
        self.proposed = proposed
        desk, scene = self._desk, self._desk.scene
        if scene is not None:
            scene.show_preview(None if proposed is None or not move else proposed.sketch)
            if proposed is None:
                desk.told.emit("All proposals are reviewed", False)
                self._review = None
            elif move:
                fly_to(desk.viewer, scene.shown, proposed.window)
        self.reviewed.emit()


def _proposed(review: Review) -> Proposed | None:
    current, mask = review.current, review.mask()
    if current is None or mask is None:
        return None
    row = review.table.loc[current]
    return Proposed(current, review.left, Sketch.of(mask), mask.window, float(row["score"]), str(row["category"]))
