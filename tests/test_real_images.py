"""Real images open with the grid that rasterio, SimpleITK and nibabel give them."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
import rasterio
import SimpleITK

from kinds import itk_affine, read_series
from promptile.grid import Window
from promptile.sources import open_source

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def index(shared):
    return json.loads((shared / "index.json").read_text())


def test_rasters(shared, index):
    rasters = [e for e in index if e["domain"].startswith("geo")]
    assert len(rasters) > 12
    for entry in rasters:
        source = open_source(shared / entry["image"])
        with rasterio.open(shared / entry["image"]) as other:
            for row, column in (
                (0, 0),
                (other.height - 1, 0),
                (0, other.width - 1),
                (other.height - 1, other.width - 1),
            ):
                world = source.grid.to_world((row, column))
                np.testing.assert_allclose(world, other.xy(row, column), rtol=0, atol=1e-3 * min(source.grid.spacing))
            assert rasterio.crs.CRS.from_string(source.grid.space) == other.crs
            assert source.channels[: other.count] == source.channels
            window = Window((other.height // 3, other.width // 2), (50, 70))
            expected = other.read(window=rasterio.windows.Window(other.width // 2, other.height // 3, 70, 50))
            np.testing.assert_array_equal(source.read(window), expected)
            mask = other.dataset_mask(window=rasterio.windows.Window(other.width // 2, other.height // 3, 70, 50))
            np.testing.assert_array_equal(source.valid(window), mask > 0)


def test_volumes(shared, index):
    volumes = [e for e in index if e["domain"] == "med" and not (shared / e["image"]).is_dir()]
    assert len(volumes) > 20
    for entry in volumes:
        for path in (shared / entry["image"], shared / entry["truth"]):
            source, other = open_source(path), SimpleITK.ReadImage(path)
            affine = itk_affine(other)
            for index in np.ndindex(2, 2, 2):
                corner = np.multiply(index, np.subtract(source.grid.shape, 1))
                expected = (affine @ [*corner[::-1], 1])[:3]
                np.testing.assert_allclose(source.grid.to_world(corner), expected, atol=1e-3)
            np.testing.assert_array_equal(source.read(source.grid.window)[0], SimpleITK.GetArrayViewFromImage(other))
            if path.name.endswith(".nii.gz"):
                ras = nibabel.load(path).affine @ [*corner[::-1], 1]
                np.testing.assert_allclose(source.grid.to_world(corner), (ras * [-1, -1, 1, 1])[:3], atol=0.05)


@pytest.mark.parametrize("name", ["totalseg_ct_dicom", "ibsi_STS_001_CT"])
def test_dicom_series_lie_where_their_labels_do(shared, name):
    source = open_source(shared / "med" / name / "dicom")
    assert source.modality == "CT"
    labels = open_source(shared / "med" / name / "labels.nii.gz")
    assert source.grid.shape == labels.grid.shape
    corners = [np.multiply(i, np.subtract(source.grid.shape, 1)) for i in np.ndindex(2, 2, 2)]
    ours = np.sort(source.grid.to_world(corners), axis=0)
    np.testing.assert_allclose(ours, np.sort(labels.grid.to_world(corners), axis=0), atol=0.01)
    samples = source.read(source.grid.window)
    assert -1100 <= samples.min() < -900, "air in Hounsfield units"


def test_a_dicom_series_is_what_itk_reads(shared):
    folder = shared / "med" / "ibsi_STS_001_CT" / "dicom"
    source, other = open_source(folder), read_series(folder)
    np.testing.assert_array_equal(source.read(source.grid.window)[0], SimpleITK.GetArrayViewFromImage(other))
    affine = itk_affine(other)
    for index in ((0, 0, 0), (58, 201, 197)):
        np.testing.assert_allclose(source.grid.to_world(index), (affine @ [*index[::-1], 1])[:3], atol=0.01)
