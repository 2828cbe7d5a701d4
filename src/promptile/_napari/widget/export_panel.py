"""Writing what was made: objects as vectors, labels or volumes, marks as prompt files."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QLabel

from promptile._napari.widget.desk import Desk
from promptile._napari.widget.parts import Panel, button, row

_VECTORS = "GeoPackage (*.gpkg);;GeoJSON (*.geojson);;FlatGeobuf (*.fgb);;GeoParquet (*.parquet)"
_RASTER = f"{_VECTORS};;GeoTIFF (*.tif)"
_VOLUME = "NIfTI (*.nii.gz);;NRRD (*.nrrd);;MetaImage (*.mha);;Zarr (*.zarr)"


class ExportPanel(Panel):
    """Files for others."""

    def __init__(self, desk: Desk) -> None:
        super().__init__("Save", folded=True)
        self._desk = desk
        self.where = QLabel()
        self.where.setWordWrap(True)
        self.inside.addWidget(
            row(
                button("Objects …", "Write all objects, with the image's geometry", self._save),
                button("Folder", "Open the folder in which the work is kept", self._open_folder),
            )
        )
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

    def _save(self) -> None:
        snapshot = self._desk.snapshot
        if snapshot is None:
            self._desk.told.emit("Choose an image first", True)
            return
        kinds = _RASTER if snapshot.grid.ndim == 2 else _VOLUME
        path, kind = QFileDialog.getSaveFileName(self, "Save objects", "objects", kinds)
        if path:
            suffix = kind.partition("*")[2].rstrip(")")
            self.save(path if Path(path).suffix else path + suffix)

    def _open_folder(self) -> None:
        if self._desk.snapshot is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._desk.snapshot.path.parent)))

    def _on_opened(self) -> None:
        snapshot = self._desk.snapshot
        text = "" if snapshot is None else f"<small>All steps are kept in {snapshot.path}</small>"
        self.where.setText(text)
