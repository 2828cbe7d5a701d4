"""What is done to the objects of a run by hand: rename, paint, delete, take over, and take back."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from promptile.errors import UsageError
from promptile.run import PromptedRun, Record, Run, State, Step
from promptile.session.categories import Categories
from promptile.session.images import check_same_image
from promptile.session.ledger import Ledger
from promptile.session.strokes import Brushwork, Stroke
from promptile.session.taking import about, renumbered, taken_from

HAND = "hand"
"""Kind of prompt of an object that was painted."""


class Objects:
    """The objects of one run, by hand. No model is needed.

    Parameters
    ----------
    run : PromptedRun
        Locked for this process; closed with the object.
    """

    def __init__(self, run: PromptedRun) -> None:
        self.run = run
        self._closed = False
        try:
            self.ledger = Ledger(run)
        except BaseException:
            run.close()
            raise

    @property
    def states(self) -> Mapping[int, State]:
        """All objects, by id."""
        return self.ledger.states

    def categories(self, but: Collection[int] = ()) -> Categories:
        """How categories are written, by all objects but some."""
        return Categories(state.record.category for i, state in self.states.items() if i not in but)

    def rename(self, object_ids: Iterable[int], category: str) -> Step:
        """Give objects a category, written as other objects have it."""
        ids = list(map(int, object_ids))
        name = self.categories(ids)[category]
        return self._change("rename", ids, lambda s: replace(s, record=replace(s.record, category=name)))

    def recolour(self, object_ids: Iterable[int], colour: str) -> Step:
        """Give objects a colour, ``#rrggbb``; empty for any.

        Raises
        ------
        UsageError
            If it is no such colour.
        """
        if colour and not re.fullmatch("#[0-9a-fA-F]{6}", colour):
            raise UsageError(f"{colour!r} is no colour: use #rrggbb, like #2ecc40")
        return self._change("recolour", object_ids, lambda s: replace(s, colour=colour))

    def delete(self, object_ids: Iterable[int]) -> Step:
        """Remove objects."""
        return self._change("delete", object_ids, lambda s: None)

    def paint(self, strokes: Sequence[Stroke], category: str = "") -> Step | None:
        """Keep what was painted on the labels by hand; None if nothing has changed.

        Samples that got the id of an object belong to it; a new id is a new object, of `category`; samples that were
        erased belong to none. An object without samples is gone.
        """
        self._refuse_closed()
        category = self.categories()[category]
        brush = Brushwork(self.run.grid.shape, self.ledger.boxes(), self.run.mask)
        for stroke in strokes:
            brush.apply(stroke)
        changed = [i for i, mask in sorted(brush.masks.items()) if mask.count or i in self.states]
        after = {i: self._painted(i, brush, category) for i in changed}
        return self.ledger.do("paint", after) if after else None

    def _painted(self, i: int, brush: Brushwork, category: str) -> State | None:
        mask, edit, old = brush.masks[i], brush.edits[i], self.ledger.states.get(i)
        if not mask.count:
            return None
        if old is None:
            return self.ledger.write(State(Record(i, category, HAND, score=1.0)), mask)
        if old.prompt is None:  # all of it is by hand
            return self.ledger.write(old, mask)
        if old.edited:
            edit = self.run.edit(old.record).then(edit.added, edit.removed)
        return self.ledger.write(old, mask, edit)

    def take(self, run: Run, object_ids: Iterable[int], category: str = "") -> Step:
        """Make objects of another run of this image one's own, each with a new id.

        Those that were asked for in a run of prompts can be revised here.

        Raises
        ------
        RunError
            If the run is of another image.
        """
        self._refuse_closed()
        categories = self.categories()
        category = categories[category]
        check_same_image(run, self.run)
        after = {}
        ids = [int(i) for i in object_ids]
        for state, mask, edit in taken_from(run, ids):
            number = self.ledger.next_id()
            name = categories[category or state.record.category]
            after[number] = self.ledger.write(renumbered(state, number, name), mask, edit)
        return self.ledger.do("take", after, about(run, ids))

    def note(self, what: str, facts: Mapping[str, Any]) -> Step:
        """Keep something in the journal that changes no object; it can be taken back like other steps."""
        self._refuse_closed()
        return self.ledger.do(what, {}, facts)

    def _change(self, what: str, object_ids: Iterable[int], change: Callable[[State], State | None]) -> Step:
        self._refuse_closed()
        return self.ledger.do(what, {int(i): change(self.ledger.state(int(i))) for i in object_ids})

    def undo(self) -> Step | None:
        """Take back what was done last, also by an earlier session; None if there is nothing."""
        self._refuse_closed()
        return self.ledger.undo()

    def redo(self) -> Step | None:
        """Do again what was taken back last; None if there is nothing."""
        self._refuse_closed()
        return self.ledger.redo()

    def close(self) -> None:
        """Let others work on the run."""
        self._closed = True
        self.run.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refuse_closed(self) -> None:
        if self._closed:  # the run may be another's by now
            raise UsageError("The session is closed: open another one with the same `out`")
