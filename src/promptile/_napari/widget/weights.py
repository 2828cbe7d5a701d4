"""What is shown of a model whose weights are not here: its licence, a button that fetches them, how far that is."""

from __future__ import annotations

from qtpy.QtWidgets import QCheckBox, QProgressBar, QWidget

from promptile._napari.widget.desk import Desk
from promptile._napari.widget.parts import button, column, row
from promptile.models.fetching import accepted
from promptile.models.published import Published, all_published
from promptile.report import weights_here


class Weights(QWidget):
    """Nothing, as long as the model it is about has all it needs.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._fetching = desk.fetching
        self._wanted: Published | None = None
        self.consent = QCheckBox()
        self.consent.toggled.connect(lambda _: self._arrange())
        self.fetch = button("⬇ Fetch the weights", "Download them; go on clicking meanwhile", self._fetch)
        self.stop = button(
            "■ Stop", "Stop; what is here already is kept, and fetching goes on from there", self._fetching.cancel
        )
        self.bar = QProgressBar()
        layout = column(self)
        for widget in (self.consent, row(self.fetch, self.stop), self.bar):
            layout.addWidget(widget)
        self._fetching.progressed.connect(self._on_progress)
        self._fetching.ended.connect(self._on_end)
        self._arrange()

    def about(self, model: str) -> None:
        """Show what is wanting of a model, if anything is."""
        self._wanted = all_published().get(model) if weights_here(model) is False else None
        self._arrange()

    @property
    def wanted(self) -> Published | None:
        """The weights that are not here."""
        return self._wanted

    def _fetch(self) -> None:
        if self._wanted is not None:
            self._fetching.begin(self._wanted, accept=self.consent.isChecked())
            self._arrange()

    def _on_progress(self, what: str, done: int, total: int) -> None:
        self.bar.setMaximum(1000 if total else 0)
        self.bar.setValue(round(1000 * done / total) if total else 0)
        of = f" of {total / 1e6:,.0f}" if total else ""
        self.bar.setFormat(f"{what} {done / 1e6:,.0f}{of} MB")

    def _on_end(self, model: str, here: bool) -> None:
        if here and self._wanted is not None and self._wanted.model == model:
            self._wanted = None
        self._arrange()

    def _arrange(self) -> None:
        """Show what counts now."""
        wanted, going_on = self._wanted, self._fetching.going_on
        bound = wanted is not None and not wanted.free and wanted.model not in accepted()
        if wanted is not None:
            self.consent.setText(f"I agree to its licence, {wanted.licence}")
            self.consent.setToolTip(wanted.terms)
        self.consent.setVisible(bound and not going_on)
        self.fetch.setVisible(wanted is not None and not wanted.recipe and not going_on)
        self.fetch.setEnabled(not bound or self.consent.isChecked())
        self.stop.setVisible(wanted is not None and going_on)
        self.bar.setVisible(wanted is not None and going_on)
