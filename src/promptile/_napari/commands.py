"""What napari's menus offer beside the widget."""

from __future__ import annotations

from napari import Viewer
from napari.layers import Labels, Points, Shapes
from napari.utils.notifications import show_info
from qtpy.QtWidgets import QFileDialog

from promptile._napari.settings import Settings

_LABELS = (
    "GeoPackage (*.gpkg);;GeoJSON (*.geojson);;FlatGeobuf (*.fgb);;GeoTIFF (*.tif);;"
    "NIfTI (*.nii.gz);;NRRD (*.nrrd);;MetaImage (*.mha)"
)
_PROMPTS = "GeoJSON (*.geojson);;GeoPackage (*.gpkg);;CSV (*.csv);;3D Slicer (*.mrk.json)"


def save_layer(viewer: Viewer) -> None:
    """Save the selected labels or marks with the geometry of their image."""
    layer = viewer.layers.selection.active
    if not isinstance(layer, Labels | Points | Shapes):
        show_info("Select a layer of labels, points or shapes first")
        return
    kinds = _LABELS if isinstance(layer, Labels) else _PROMPTS
    path, kind = QFileDialog.getSaveFileName(None, f"Save {layer.name}", layer.name, kinds)
    if path:
        suffix = kind.partition("*")[2].rstrip(")")
        viewer.layers.save(path if path.endswith(suffix) else path + suffix, selected=True, plugin="promptile")


def open_session(viewer: Viewer) -> None:
    """Open the objects of an earlier session, on its image."""
    folder = QFileDialog.getExistingDirectory(None, "Open a run", str(Settings.read().sessions_folder))
    if folder:
        viewer.open(folder, plugin="promptile")
