"""`Session`: objects of one image, one after the other, by a model and by hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from promptile.engine.doubts import doubt_of
from promptile.engine.grow import Candidates
from promptile.engine.growing import record_of
from promptile.engine.job import Job
from promptile.engine.objects import Grown
from promptile.engine.slices import Arrival, SliceGrower, Slices
from promptile.errors import PromptError, UsageError
from promptile.grid import Window
from promptile.models.protocols import Model, ModelCard
from promptile.prompts.prompts import Prompts
from promptile.prompts.types import Prompt
from promptile.rendering import Rendering
from promptile.run import PromptedRun, State
from promptile.run.housing import housed
from promptile.session.drafts import unanswered
from promptile.session.objects import Objects
from promptile.session.setting import Setting
from promptile.sources.protocol import Source


class Session(Objects):
    """Objects of one image, one after the other.

    What is accepted, painted, renamed or deleted is on disk when the method returns, and so is what is asked for.
    A session with the folder of an earlier one goes on with it, also after a crash, and can still take back what was
    done there. The model, the rendering and the level may change between two objects: each object knows its own.

    Parameters
    ----------
    image : Source, path or array
    model : str or Promptable
    out : path, optional
        The run folder, also one that `segment` made from prompts; without it, the work is in a temporary folder as
        long as the session lives.
    level : int, optional
        Level at which points are asked.
    checkpoint : callable, optional
        Called between two windows; what it raises, like `Cancelled`, ends the work at hand.
    options
        ``tiling``, ``channels``, ``window`` as in `promptile.segment`.

    Examples
    --------
    ::

        session = pt.Session("scene.tif", out="scene.run.zarr")
        session.predict(pt.Prompts.of(points=[(120, 340)]))
        session.accept(category="field")
        session.undo()
    """

    def __init__(
        self,
        image: Any,
        model: str | Model = "basin",
        *,
        out: str | os.PathLike[str] | None = None,
        level: int | None = None,
        checkpoint: Callable[[], None] = lambda: None,
        **options: Any,
    ) -> None:
        self._options = {"model": model, **options}
        self.setting = Setting(Job.prepare(image, model, **options), level, checkpoint)
        self.setting.grower  # noqa: B018  a model that takes no prompts is refused before anything is written
        job = self.setting.job
        spec = job.spec | {"level": level}
        super().__init__(housed(partial(PromptedRun.work_on, spec=spec), out, job.place))
        self.preview: Grown | None = None
        self._asked: Prompt | None = None
        self._revised: int | None = None

    # How to ask

    @property
    def source(self) -> Source:
        """The image."""
        return self.setting.job.source

    @property
    def card(self) -> ModelCard:
        """What the model in use can do."""
        return self.setting.card

    @property
    def rendering(self) -> Rendering:
        """What the model in use sees."""
        return self.setting.job.rendering

    @property
    def options(self) -> Mapping[str, Any]:
        """The model, and channels, window, tiling as they were given: what `promptile.segment` takes."""
        return self._options | {"model": self.setting.job.model}  # not its name: it would be loaded once more

    def look(self, *, level: int | None = None, **options: Any) -> None:
        """Ask in another way from now on.

        Parameters
        ----------
        level : int, optional
            Where points are asked.
        options
            ``model``, ``channels``, ``window``, ``tiling``; what is left out stays as it is.
        """
        wanted = self._options | options
        if wanted == self._options:
            if level != self.setting.level:
                self.setting = self.setting.at(level)
            return
        same = self.options if wanted["model"] == self._options["model"] else wanted
        job = Job.prepare(self.source, **wanted | {"model": same["model"]})
        setting = Setting(job, level, self.setting.checkpoint)
        setting.grower  # noqa: B018
        self._options, self.setting = wanted, setting

    def follow(self, slices: Slices) -> None:
        """From now on, which way slices lie and how far an object is followed, for a model of images in a volume.

        For other models it makes no difference.
        """
        self.setting = self.setting.along(slices)

    def prepare(self, window: Window, level: int) -> None:
        """Let the model look at what will be asked next, so that its answers come at once.

        Parameters
        ----------
        window : Window
            What will be asked about, in index coordinates of the level.
        level : int
        """
        lattice = self.setting.grower.lattices[level]
        centre = np.add(window.start, np.subtract(window.shape, 1) / 2)
        self.setting.grower.embedder.prepare(lattice[lattice.central(centre)], level)

    # One object

    @property
    def draft(self) -> Prompt | None:
        """What was asked last and is not accepted yet, also by a session that was killed."""
        kept = unanswered(self.run)
        return None if kept is None else Prompt.from_json(kept["prompt"])

    def resume(self) -> Prompt | None:
        """Go on with the draft: the next `accept` replaces what it was about. What was asked, if anything."""
        self._refuse_closed()
        kept = unanswered(self.run)
        if kept is not None and kept["revised"] in self.states:
            self._revised = kept["revised"]
        return self.draft

    @property
    def revised(self) -> int | None:
        """The object that the next `accept` replaces."""
        return self._revised

    def predict(
        self,
        prompts: Prompts,
        candidate: int | None = None,
        glimpse: Callable[[Candidates], None] = lambda _: None,
        arrived: Callable[[Arrival], None] = lambda _: None,
    ) -> Grown:
        """The object that the prompts mean; kept as `preview` until it is accepted or asked again.

        Parameters
        ----------
        prompts : Prompts
            Of one object.
        candidate : int, optional
            Which of the model's answers to take (``preview.candidates``); the best one without it.
        glimpse : callable, optional
            Called with what the first window shows, long before large objects are followed to their ends.
        arrived : callable, optional
            Called with each slice of a volume that a model for images has looked at.

        Raises
        ------
        PromptError
            If they mean more than one object, or lie outside the image.
        """
        self._refuse_closed()
        self.preview = self._asked = None  # an earlier answer must not be accepted for what fails now
        if len(prompts) != 1:
            raise PromptError(
                f"A session asks for one object at a time and got {len(prompts)}: give all the same `object`"
            )
        self.setting.job.check_prompts(prompts)
        (asked,) = prompts.inside(self.source.grid.shape)
        self.run.draft = {"prompt": asked.to_json(), "revised": self._revised}
        grower = self.setting.grower
        if isinstance(grower, SliceGrower):
            grower.arrived = arrived
        self.preview = grower.grow(asked, candidate, glimpse)
        self._asked = asked
        return self.preview

    @property
    def doubt(self) -> str:
        """What else the preview may be, and what to do then, as the end of a sentence; empty without doubt."""
        if self.preview is None or self._asked is None:
            return ""
        return doubt_of(self.setting.job.spec, self._asked.kind, self.preview.score)

    def choose(
        self,
        candidate: int,
        glimpse: Callable[[Candidates], None] = lambda _: None,
        arrived: Callable[[Arrival], None] = lambda _: None,
    ) -> Grown:
        """Another of the model's answers to what was asked last.

        Parameters
        ----------
        candidate : int
            Which of them, from 0: one of ``preview.candidates``.
        glimpse, arrived : callable, optional
            As in `predict`.

        Raises
        ------
        UsageError
            If nothing was asked.
        """
        if self._asked is None:
            raise UsageError("There is no preview to choose from: call predict first")
        return self.predict(Prompts((self._asked,)), candidate, glimpse, arrived)

    def withdraw(self) -> None:
        """Forget what was asked and not accepted; an object that is revised still waits to be replaced."""
        self._refuse_closed()
        self.preview = self._asked = None
        self.run.draft = None

    def discard(self) -> None:
        """Forget what was asked and not accepted, and which object is revised."""
        self.withdraw()
        self._revised = None

    def revise(self, object_id: int) -> Prompt | None:
        """Ask for an object once more: the next `accept` replaces it. What was said about it, if anything."""
        self._refuse_closed()
        prompt = self.ledger.state(object_id).prompt
        self.discard()
        self._revised = object_id
        return None if prompt is None else Prompt.from_json(prompt)

    def accept(self, category: str = "") -> int:
        """Keep the preview as a new object, or in place of the one that is revised; its id.

        What was painted on an object that is revised stays painted.

        Parameters
        ----------
        category : str
            Without it, what the prompt says, or the category of the object that is revised. It is written as other
            objects have it, if it differs in nothing but case and spaces.

        Raises
        ------
        UsageError
            If there is no preview, or the session is closed.
        PromptError
            If the preview is empty, or what is revised was deleted meanwhile.
        """
        self._refuse_closed()
        categories = self.categories(() if self._revised is None else (self._revised,))
        category = categories[category]
        if self.preview is None or self._asked is None:
            raise UsageError("There is no preview to accept: call predict first")
        if not self.preview.mask.count:
            raise PromptError("The model finds nothing there, and nothing cannot be accepted: move or add marks")
        if self._revised is not None and self._revised not in self.states:
            raise PromptError(f"Object {self._revised}, which this corrects, is deleted: undo that, or discard this")
        old = None if self._revised is None else self.ledger.state(self._revised)
        number = self.ledger.next_id() if old is None else old.record.id
        category = category or categories[self._asked.category or ("" if old is None else old.record.category)]
        prompt = replace(self._asked, id=number, category=category)
        asked = self.setting.to_json() | {"candidate": self.preview.candidates.taken}
        state = State(record_of(prompt, self.preview, self.run.grid), prompt.to_json(), asked)
        if old is None:
            self.ledger.do("accept", {number: self.ledger.write(state, self.preview.mask)})
        else:
            edit = self.run.edit(old.record) if old.edited else None
            mask = self.preview.mask if edit is None else edit.on(self.preview.mask)
            state = replace(state, colour=old.colour)
            self.ledger.do("revise", {number: self.ledger.write(state, mask, edit)})
        self.discard()
        return number
