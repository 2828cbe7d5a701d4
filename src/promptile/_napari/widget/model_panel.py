"""Which model answers, where it computes, and its weights."""

from __future__ import annotations

import psutil
from qtpy.QtWidgets import QLabel

from promptile import models
from promptile._napari.settings import DEVICES, MODEL, PRECISIONS
from promptile._napari.widget.desk import Desk
from promptile._napari.widget.parts import Panel, choice, form, offer
from promptile._napari.widget.weights import Weights
from promptile.models.published import all_published
from promptile.models.runtimes.choosing import RUNTIMES
from promptile.report import weights_here

_ABILITIES = {"points": "points", "box": "boxes", "mask": "areas", "propose": "everything"}


class ModelPanel(Panel):
    """The model that is asked, and how it is had."""

    def __init__(self, desk: Desk) -> None:
        super().__init__("Model")
        self._desk = desk
        self.model = choice("The model that answers", self._choose)
        self.device = choice("Where it computes", self._move)
        self.runtime = choice("What computes; the first time takes a while", self._move)
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.weights = Weights(desk)
        self.precision = choice("With how many digits it looks at the image", self._move)
        self._computing = {"device": self.device, "runtime": self.runtime, "precision": self.precision}
        self._form = form([("Model", self.model), *((name.title(), each) for name, each in self._computing.items())])
        for widget in (self._form, self.about, self.weights):
            self.inside.addWidget(widget)
        offer(self.device, [(name, name) for name in DEVICES], desk.settings.device)
        offer(self.runtime, [(name, name) for name in RUNTIMES], RUNTIMES[0])
        offer(self.precision, [(name, name) for name in PRECISIONS], PRECISIONS[0])
        self.list_models(desk.settings.model)
        desk.opened.connect(self._describe)
        desk.changed.connect(self._on_changed)
        desk.fetching.ended.connect(self._on_fetched)

    def close_panel(self) -> None:
        """Listen no more."""
        self._desk.opened.disconnect(self._describe)
        self._desk.changed.disconnect(self._on_changed)

    @property
    def usable(self) -> str:
        """The model that is chosen if it has all it needs, else the one that needs nothing."""
        name = self.model.currentData() or MODEL
        return MODEL if weights_here(name) is False else str(name)

    def list_models(self, current: str) -> None:
        """Offer all models that answer marks, those without their weights too."""
        names = [name for name in models.names() if _answers(name)]
        names += [current] if current not in names else []
        texts = [name if weights_here(name) is not False else f"{name} (weights not here)" for name in names]
        offer(self.model, list(zip(texts, names, strict=True)), current)
        self._describe()

    def _choose(self) -> None:
        """The user chose a model: ask it from now on, if it is all there."""
        name = self.model.currentData()
        self._describe()
        if weights_here(name) is False:
            self._desk.told.emit(f"{name} needs its weights: fetch them with the button below it", False)
        elif self._desk.snapshot is not None:
            if wanting := _wanting(name):
                self._desk.told.emit(f"{name} {wanting}: it may end napari; choose a smaller one", True)
            self._desk.asking.look(model=name)

    def _move(self) -> None:
        models.prefer(self.device.currentData(), self.runtime.currentData(), self.precision.currentData())
        self._desk.asking.load(self.usable)

    def _on_fetched(self, model: str, here: bool) -> None:
        chosen = self.model.currentData()
        self.list_models(chosen)
        if here and chosen == model and self._desk.snapshot is not None:
            self._desk.asking.look(model=model)

    def _on_changed(self) -> None:
        """The session asks with another model than before, or could not: show the one that it asks with."""
        snapshot, name = self._desk.snapshot, self.model.currentData()
        if snapshot is not None and snapshot.card.name != name and weights_here(name) is not False:
            self.list_models(snapshot.card.name)
        self._describe()

    def _describe(self) -> None:
        name = self.model.currentData()
        self.about.setText(f"<small>{self._said(name)}</small>")
        self.weights.about(name)
        can = models.choices(name)
        for what, widget in self._computing.items():
            self._form.layout().setRowVisible(widget, what in can)

    def _said(self, name: str) -> str:
        """What the model can do, or what it lacks."""
        snapshot, wanted = self._desk.snapshot, all_published().get(name)
        if snapshot is not None and snapshot.card.name == name:
            card = snapshot.card
            can = ", ".join(text for ability, text in _ABILITIES.items() if ability in card.abilities)
            return f"takes {can}; {card.licence or 'no licence named'}; {card.device}"
        if wanted is None:
            return ""
        cost = ""
        if wanted.facts is not None:
            size = f"{wanted.facts.megabytes:,} MB{'' if wanted.recipe else ' to fetch'}"
            cost = f"; {size}, {wanted.facts.gigabytes:.2g} GB of memory"
            cost += f"; {_wanting(name)}" if _wanting(name) else ""
        now = f"<br>until then {snapshot.card.name} answers" if snapshot is not None else ""
        made = f"<br>made by: {wanted.recipe}" if wanted.recipe else ""
        return f"weights {wanted.file}, {wanted.licence}: not here{cost}{made}{now}"


def _wanting(name: str) -> str:
    """What is to be said if a model needs more memory than there is; empty if it does not, or nobody knows."""
    known = all_published().get(name)
    free = psutil.virtual_memory().available / 1e9
    if known is None or known.facts is None or known.facts.gigabytes <= free:
        return ""
    return f"needs about {known.facts.gigabytes:.2g} GB of memory, and {free:.2g} GB are free"


def _answers(name: str) -> bool:
    """Whether a model can be asked by marks, as far as is known before it is loaded."""
    known = all_published().get(name)
    return known is None or not known.abilities or bool({*known.abilities} & {*_ABILITIES})
