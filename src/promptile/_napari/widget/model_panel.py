"""Which model answers, where it computes, and its weights."""

from __future__ import annotations

from qtpy.QtWidgets import QCheckBox, QLabel, QProgressBar

from promptile import models
from promptile._napari.settings import DEVICES, MODEL
from promptile._napari.widget.desk import Desk
from promptile._napari.widget.parts import Panel, button, choice, form, offer, row
from promptile.models.fetching import accepted
from promptile.models.published import all_published
from promptile.report import weights_here

_ABILITIES = {"points": "points", "box": "boxes", "mask": "areas", "propose": "everything", "text": "text"}


class ModelPanel(Panel):
    """The model that is asked, and how it is had."""

    def __init__(self, desk: Desk) -> None:
        super().__init__("Model")
        self._desk = desk
        self._published = all_published()
        self.model = choice("The model that answers", self._choose)
        self.device = choice("Where models compute that can choose", self._move)
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.consent = QCheckBox()
        self.consent.toggled.connect(lambda _: self._arrange())
        self.fetch = button("⬇ Fetch the weights", "Download them; go on clicking meanwhile", self._fetch)
        self.stop = button("■ Stop", "Stop; what is here already is kept, and fetching goes on from there", self._stop)
        self.bar = QProgressBar()
        self.inside.addWidget(form([("Model", self.model), ("Device", self.device)]))
        for widget in (self.about, self.consent, row(self.fetch, self.stop), self.bar):
            self.inside.addWidget(widget)
        offer(self.device, [(name, name) for name in DEVICES], desk.settings.device)
        self.list_models(desk.settings.model)
        desk.opened.connect(self._on_opened)
        desk.changed.connect(self._on_changed)
        desk.fetching.progressed.connect(self._on_progress)
        desk.fetching.ended.connect(self._on_end)
        self._arrange()

    def close_panel(self) -> None:
        """Listen no more."""
        self._desk.opened.disconnect(self._on_opened)
        self._desk.changed.disconnect(self._on_changed)

    @property
    def usable(self) -> str:
        """The model that is chosen if it has all it needs, else the one that needs nothing."""
        name = self.model.currentData() or MODEL
        return MODEL if weights_here(name) is False else str(name)

    def list_models(self, current: str) -> None:
        """Offer all models, those without their weights too."""
        names = models.names()
        names += [current] if current not in names else []
        texts = [name if weights_here(name) is not False else f"{name} (weights not here)" for name in names]
        offer(self.model, list(zip(texts, names, strict=True)), current)

    def _choose(self) -> None:
        """The user chose a model: ask it from now on, if it is all there."""
        name = self.model.currentData()
        self._arrange()
        if weights_here(name) is False:
            self._desk.told.emit(f"{name} needs its weights: fetch them with the button below it", False)
        elif self._desk.snapshot is not None:
            self._desk.asking.look(model=name)

    def _move(self) -> None:
        models.prefer(self.device.currentData())
        self._desk.asking.load(self.usable)

    def _fetch(self) -> None:
        wanted = self._published[self.model.currentData()]
        self._desk.fetching.begin(wanted, accept=self.consent.isChecked())
        self._arrange()

    def _stop(self) -> None:
        self._desk.fetching.cancel()

    def _on_progress(self, what: str, done: int, total: int) -> None:
        self.bar.setMaximum(1000 if total else 0)
        self.bar.setValue(round(1000 * done / total) if total else 0)
        of = f" of {total / 1e6:,.0f}" if total else ""
        self.bar.setFormat(f"{what} {done / 1e6:,.0f}{of} MB")

    def _on_end(self, model: str, here: bool) -> None:
        chosen = self.model.currentData()
        self.list_models(chosen)
        self._arrange()
        if here and chosen == model and self._desk.snapshot is not None:
            self._desk.asking.look(model=model)

    def _on_opened(self) -> None:
        self._arrange()

    def _on_changed(self) -> None:
        """The session asks with another model than before, or could not: show the one that it asks with."""
        snapshot = self._desk.snapshot
        if snapshot is None:
            return
        name = self.model.currentData()
        if snapshot.card.name != name and weights_here(name) is not False:
            self.list_models(snapshot.card.name)
        self._arrange()

    def _arrange(self) -> None:
        """Say what the model can do and what it lacks; show the buttons that count."""
        name, fetching = self.model.currentData(), self._desk.fetching.going_on
        missing = weights_here(name) is False
        wanted = self._published.get(name) if missing else None
        bound = wanted is not None and not wanted.free and name not in accepted()
        self.about.setText(f"<small>{self._said(name)}</small>")
        self.consent.setVisible(bound and not fetching)
        if wanted is not None and bound:
            self.consent.setText(f"I agree to its licence, {wanted.licence}")
            self.consent.setToolTip(wanted.terms)
        self.fetch.setVisible(wanted is not None and not fetching)
        self.fetch.setEnabled(not bound or self.consent.isChecked())
        self.stop.setVisible(fetching)
        self.bar.setVisible(fetching)

    def _said(self, name: str) -> str:
        snapshot, wanted = self._desk.snapshot, self._published.get(name)
        if snapshot is not None and snapshot.card.name == name:
            card = snapshot.card
            can = ", ".join(text for ability, text in _ABILITIES.items() if ability in card.abilities)
            return f"takes {can}; {card.licence or 'no licence named'}; {card.device}"
        now = f"<br>until then {snapshot.card.name} answers" if snapshot is not None else ""
        return "" if wanted is None else f"weights {wanted.file}, {wanted.licence}: not here{now}"
