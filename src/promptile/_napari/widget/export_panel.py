"""Writing what was made: objects as vectors, labels or volumes, marks as prompt files."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QLabel

from promptile._napari.widget.desk import Desk
from promptile._napari.widget.parts import Panel, able, button, row
from promptile.errors import PromptError
from promptile.measuring import measure_run, write_table
from promptile.prompts.prompts import Prompts
from promptile.prompts.types import Prompt
from promptile.prompts.writing import write_prompts
from promptile.session import Session

_VECTORS = "GeoPackage (*.gpkg);;GeoJSON (*.geojson);;FlatGeobuf (*.fgb);;GeoParquet (*.parquet)"
_RASTER = f"{_VECTORS};;GeoTIFF (*.tif)"
_PROMPTS = "GeoJSON (*.geojson);;GeoPackage (*.gpkg);;table (*.csv)"
_PROMPTS_3D = "table (*.csv);;3D Slicer (*.mrk.json)"
_VOLUME = (
    "NIfTI (*.nii.gz);;NRRD (*.nrrd);;MetaImage (*.mha);;Zarr (*.zarr);;3D Slicer (*.seg.nrrd);;"
    "DICOM segmentation (*.seg.dcm);;DICOM structure set (*.rt.dcm)"
)
_TABLE = "table (*.csv);;JSON (*.json)"


class ExportPanel(Panel):
    """Files for others."""

    def __init__(self, desk: Desk) -> None:
        super().__init__("Save", folded=True)
        self._desk = desk
        self.where = QLabel()
        self.where.setWordWrap(True)
        self.buttons = (
            button("Objects …", "Write all objects, with the image's geometry", self._save),
            button("Prompts …", "Write what was asked for all objects, as a prompt file", self._save_prompts),
            button("Measures …", "Write volume, surface, intensity and place of all objects", self._save_measures),
            button("Folder", "Open the folder in which the work is kept", self._open_folder),
        )
        self.inside.addWidget(row(*self.buttons))
        self.inside.addWidget(self.where)
        desk.opened.connect(self._on_opened)
        self._on_opened()

    def save(self, path: str) -> None:
        """Write all objects to a file; its suffix says how."""
        desk = self._desk
        desk.order(
            lambda session: session.run.write(path, overwrite=True),
            lambda written: desk.told.emit(f"Written: {written}", False),
        )

    def save_prompts(self, path: str) -> None:
        """Write the prompts of all objects to a file, from which the command line gives the same objects."""
        desk = self._desk

        def write(session: Session) -> str:
            said = [state.prompt for state in session.states.values() if state.prompt is not None]
            if not said:
                raise PromptError("No object was asked for by marks: there are no prompts to write")
            write_prompts(Prompts(tuple(map(Prompt.from_json, said))), path, session.source.grid)
            return path

        desk.order(write, lambda written: desk.told.emit(f"Written: {written}", False))

    def save_measures(self, path: str) -> None:
        """Write measurements of all objects to a table."""
        desk = self._desk

        def write(session: Session) -> Path:
            return write_table(measure_run(session.run, session.source), path, overwrite=True)

        desk.order(write, lambda written: desk.told.emit(f"Written: {written}", False))

    def _save_measures(self) -> None:
        path = self._choose("measures", _TABLE)
        if path:
            self.save_measures(path)

    def _save(self) -> None:
        flat = self._desk.snapshot is not None and self._desk.snapshot.grid.ndim == 2
        path = self._choose("objects", _RASTER if flat else _VOLUME)
        if path:
            self.save(path)

    def _save_prompts(self) -> None:
        flat = self._desk.snapshot is not None and self._desk.snapshot.grid.ndim == 2
        path = self._choose("prompts", _PROMPTS if flat else _PROMPTS_3D)
        if path:
            self.save_prompts(path)

    def _choose(self, what: str, kinds: str) -> str:
        path, kind = QFileDialog.getSaveFileName(self, f"Save {what}", what, kinds)
        return str(path if not path or Path(path).suffix else path + kind.partition("*")[2].rstrip(")"))

    def _open_folder(self) -> None:
        if self._desk.snapshot is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._desk.snapshot.path.parent)))

    def _on_opened(self) -> None:
        snapshot = self._desk.snapshot
        for widget in self.buttons:
            able(widget, snapshot is not None, "Choose an image first")
        text = "" if snapshot is None else f"<small>All steps are kept in {snapshot.path}</small>"
        self.where.setText(text)
