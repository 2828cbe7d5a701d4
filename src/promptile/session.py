"""Interactive work on one image: ask, look, keep, take back. No window is needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptile.engine.job import Job
from promptile.engine.objects import Grown
from promptile.engine.paint import paint
from promptile.errors import PromptError, UsageError
from promptile.grid import Window
from promptile.masks import ObjectMask
from promptile.models.protocols import Promptable
from promptile.prompts.types import Prompt, Prompts
from promptile.run import Record
from promptile.segmentation import record_of, start_run


@dataclass(frozen=True, eq=False)
class Kept:
    """An object that was accepted: all that is needed to take it back and to put it there again."""

    prompt: Prompt
    record: Record
    mask: ObjectMask


class Session:
    """Objects of one image, one after the other.

    What is accepted is on disk when `accept` returns. A session with the folder of an earlier one goes on with it.

    Parameters
    ----------
    image : Source, path or array
    model : str or Promptable
    out : path, optional
        The run folder; without it, the work is in a temporary folder as long as the session lives.
    level : int, optional
        Level at which points are asked.
    options
        ``tiling``, ``channels``, ``window`` as in `promptile.segment`.

    Examples
    --------
    ::

        session = pt.Session("scene.tif")
        session.predict(pt.Prompts.of(points=[(120, 340)]))
        session.accept(category="field")
        session.undo()
    """

    def __init__(
        self,
        image: Any,
        model: str | Promptable = "basin",
        *,
        out: str | os.PathLike[str] | None = None,
        level: int | None = None,
        **options: Any,
    ) -> None:
        self._job = Job.prepare(image, model, **options)
        self._grower = self._job.grower(level)
        self.run = start_run(self._job, out, None, level=level)
        if not self.run.finished:  # new, or an earlier session was killed before it had painted
            paint(self.run, self.run.records())
            self.run.finish()
        self.preview: Grown | None = None
        self._asked: Prompt | None = None
        self._done: list[Kept] = []
        self._undone: list[Kept] = []
        self._closed = False

    def predict(self, prompts: Prompts) -> Grown:
        """The object that the prompts mean; kept as `preview` until it is accepted or asked again.

        Raises
        ------
        PromptError
            If they mean more than one object, or lie outside the image.
        """
        self.preview = self._asked = None  # an earlier answer must not be accepted for what fails now
        if len(prompts) != 1:
            raise PromptError(
                f"A session asks for one object at a time and got {len(prompts)}: give all the same `object`"
            )
        self._job.check_prompts(prompts)
        (asked,) = prompts.inside(self._job.source.grid.shape)
        self.preview, self._asked = self._grower.grow(asked), asked
        return self.preview

    def accept(self, category: str = "") -> int:
        """Keep the preview as a new object; its id."""
        self._refuse_closed()
        if self.preview is None or self._asked is None:
            raise UsageError("There is no preview to accept: call predict first")
        used = [record.id for record in self.run.records()] + [kept.prompt.id for kept in self._undone]
        prompt = replace(self._asked, id=max(used, default=0) + 1, category=category or self._asked.category)
        kept = Kept(prompt, record_of(prompt, self.preview, self.run.grid), self.preview.mask)
        self._keep(kept)
        self._undone.clear()
        self.preview = self._asked = None
        return prompt.id

    def undo(self) -> int | None:
        """Take back the object accepted last in this session; its id, or None if there is none."""
        self._refuse_closed()
        if not self._done:
            return None
        kept = self._done.pop()
        self._undone.append(kept)
        self.run.reopen()
        self._paint(kept, [record for record in self.run.records() if record.id != kept.prompt.id])
        self.run.withdraw(kept.prompt.id)
        self.run.prompts = [said for said in self.run.prompts if said["id"] != kept.prompt.id]
        self.run.finish()
        return kept.prompt.id

    def redo(self) -> int | None:
        """Put back the object that was taken back last; its id, or None if there is none."""
        self._refuse_closed()
        if not self._undone:
            return None
        kept = self._undone.pop()
        self._keep(kept)
        return kept.prompt.id

    def close(self) -> None:
        """Let others work on the run."""
        self._closed = True
        self.run.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refuse_closed(self) -> None:
        if self._closed:  # the run may be another's by now
            raise UsageError("The session is closed: open another one with the same `out`")

    def _keep(self, kept: Kept) -> None:
        said: Sequence[dict[str, Any]] = [*self.run.prompts, kept.prompt.to_json()]
        self.run.reopen()
        self.run.prompts = said  # first, so that a kill never leaves an object whose prompt is unknown
        self.run.commit(kept.record, kept.mask)
        self._done.append(kept)
        self._paint(kept, self.run.records())
        self.run.finish()

    def _paint(self, kept: Kept, records: Sequence[Record]) -> None:
        if kept.record.count:
            paint(self.run, records, within=Window.between(*kept.record.bbox))
