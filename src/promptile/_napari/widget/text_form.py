"""What is looked for by name, by which detector, and how sure it must be."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QLineEdit, QSlider, QWidget

from promptile._napari.widget.desk import Desk
from promptile._napari.widget.parts import column, form, row
from promptile._napari.widget.weights import Weights
from promptile.models.published import all_published
from promptile.report import weights_here
from promptile.session import Named

_STEPS = 100
_OWN = "its own"
"""The threshold that the detector itself comes with."""


class TextForm(QWidget):
    """Phrases, a detector and thresholds.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.phrases = QLineEdit()
        self.phrases.setPlaceholderText("building, swimming pool")
        self.phrases.setToolTip("What to look for, with commas between; each is a category")
        self.detector = QComboBox()
        self.detector.setEditable(True)  # also one whose package says nothing of it beforehand
        self.detector.setToolTip("The model that looks for it; the model above draws what it finds")
        self.least = QSlider(Qt.Orientation.Horizontal)
        self.least.setRange(-1, _STEPS)
        self.least.setValue(-1)
        self.least.setToolTip("How sure the detector must be; moved after a run, it sifts what was found")
        self.said = QLabel()
        self.weights = Weights(desk)
        fields = [("Look for", self.phrases), ("Detector", self.detector), ("Least", row(self.least, self.said))]
        layout = column(self)
        layout.addWidget(form(fields))
        layout.addWidget(self.weights)
        self.detector.currentTextChanged.connect(self.weights.about)
        self.least.valueChanged.connect(self._sift)
        desk.fetching.ended.connect(lambda *_: self.list_detectors())
        self.list_detectors()
        self._sift()

    def list_detectors(self) -> None:
        """Offer the detectors that are known, first those whose weights are here."""
        names = [each.model for each in all_published().values() if "text" in each.abilities]
        names.sort(key=lambda name: weights_here(name) is False)
        chosen = self.detector.currentText()
        self.detector.blockSignals(True)
        self.detector.clear()
        self.detector.addItems(names)
        self.detector.setCurrentText(chosen or (names[0] if names else ""))
        self.detector.blockSignals(False)
        self.weights.about(self.detector.currentText())

    @property
    def named(self) -> Named:
        """What was chosen.

        Raises
        ------
        UsageError
            If nothing is looked for, or by no detector.
        """
        phrases = tuple(part.strip() for part in self.phrases.text().split(",") if part.strip())
        return Named(phrases, self.detector.currentText().strip(), self._least)

    @property
    def _least(self) -> float | None:
        at = int(self.least.value())
        return at / _STEPS if at >= 0 else None

    def _sift(self) -> None:
        least = self._least
        self.said.setText(_OWN if least is None else f"{least:.2f}")
        self._desk.runs.sift(least or 0.0)
