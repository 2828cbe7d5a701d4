"""The sample images agree with their truth and prompts, and their script draws them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import SimpleITK as sitk
from numpy.typing import NDArray
from rasterio.features import rasterize

from promptile.errors import SourceError
from promptile.grid import LPS, Grid
from promptile.prompts import Prompts
from promptile.samples import sample

FOLDER = Path(__file__).resolve().parents[1] / "sample_data"
DRAWN = sorted(p.name for p in FOLDER.iterdir() if p.suffix in (".tif", ".gpkg", ".geojson", ".csv", ".json", ".gz"))


@pytest.fixture(scope="module")
def scene() -> Grid:
    with rasterio.open(FOLDER / "scene.tif") as image:
        t = image.transform
        matrix = [[t.b, t.a, t.c + (t.a + t.b) / 2], [t.e, t.d, t.f + (t.d + t.e) / 2], [0, 0, 1]]
        return Grid.of(image.shape, matrix, "EPSG:32633")


@pytest.fixture(scope="module")
def volume() -> tuple[Grid, NDArray[np.uint8]]:
    truth = sitk.ReadImage(str(FOLDER / "volume_truth.nii.gz"))
    matrix = np.eye(4)
    matrix[:3, :3] = (np.array(truth.GetDirection()).reshape(3, 3) * truth.GetSpacing())[:, ::-1]
    matrix[:3, 3] = truth.GetOrigin()
    return Grid.of(truth.GetSize()[::-1], matrix, LPS), sitk.GetArrayFromImage(truth)


def test_all_of_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 8.2e6


def test_the_scene_is_a_16_bit_tiled_geotiff_with_overviews_and_a_nodata_border() -> None:
    with rasterio.open(FOLDER / "scene.tif") as image:
        assert (image.count, image.dtypes[0], image.nodata) == (4, "uint16", 0)
        assert image.crs.to_epsg() == 32633
        assert image.overviews(1) == [2, 4]
        assert image.profile["tiled"]
        assert image.descriptions == ("red", "green", "blue", "near infrared")
        assert [i.name for i in image.colorinterp] == ["red", "green", "blue", "undefined"]
        seen = image.read() > 0
    assert (seen == seen[0]).all()  # a pixel has all of its bands or none
    assert 0.8 < seen.mean() < 0.95
    assert not seen[0, 0, 0]
    assert not seen[0, -1, -1]


def test_the_scene_s_truth_is_where_the_image_shows_it(scene: Grid) -> None:
    frame = geopandas.read_file(FOLDER / "scene_truth.gpkg")
    assert frame.geometry.is_valid.all()
    assert frame.id.tolist() == list(range(1, len(frame) + 1))
    counts = Counter(frame.category)
    assert (counts["river"], counts["lake"], counts["island"]) == (1, 1, 1)
    assert counts["field"] > 50
    assert counts["building"] > 50
    with rasterio.open(FOLDER / "scene.tif") as image:
        infrared, red = image.read(4).astype(float), image.read(1)
        transform = image.transform
    masks = {
        category: rasterize(frame.geometry[frame.category == category], scene.shape, transform=transform) > 0
        for category in counts
    }
    for mask in masks.values():
        assert (red[mask] > 0).mean() > 0.999
    for water in ("river", "lake"):  # dark in the near infrared, where nothing else is
        assert np.percentile(infrared[masks[water]], 95) < np.percentile(infrared[masks["field"]], 5)
    river = frame.geometry[frame.category == "river"].iloc[0]
    assert river.area / 35 > 3 * 512  # metres of about 35 m width
    touching = frame[frame.category == "building"].geometry
    pairs = touching.sindex.query(touching.buffer(0.2), predicate="intersects")
    assert (pairs[0] < pairs[1]).sum() >= 10


def test_the_scene_s_boxes_hold_a_truth_each(scene: Grid) -> None:
    assert geopandas.read_file(FOLDER / "scene_boxes.geojson").crs.to_epsg() == 4326
    prompts = Prompts.read(FOLDER / "scene_boxes.geojson", grid=scene).inside(scene.shape)
    truth = Prompts.read(FOLDER / "scene_truth.gpkg", grid=scene)
    assert {p.kind for p in prompts} == {"box"}
    assert set(Counter(p.category for p in prompts)) == {"field", "building"}
    for prompt in prompts:
        fitting = [
            t
            for t in truth
            if t.category == prompt.category
            and prompt.box is not None
            and np.abs(t.extent - prompt.box - np.array([[1], [-1]])).max() < 0.1
        ]
        assert len(fitting) == 1


def test_the_scene_s_clicks_lie_in_their_objects(scene: Grid) -> None:
    prompts = Prompts.read(FOLDER / "scene_points.csv", grid=scene).inside(scene.shape)
    frame = geopandas.read_file(FOLDER / "scene_truth.gpkg")
    with rasterio.open(FOLDER / "scene.tif") as image:
        transform = image.transform
    assert {"river", "lake", "island"} <= {p.name for p in prompts}
    assert any(not p.labels.all() for p in prompts)
    for prompt in prompts:
        shapes = frame.geometry[frame.category == prompt.category]
        mask = rasterize(shapes, scene.shape, transform=transform).astype(bool)
        inside = mask[tuple(np.rint(prompt.points).astype(int).T)]
        np.testing.assert_array_equal(inside, prompt.labels)


def test_the_volume_is_anisotropic_oblique_and_in_hu(volume: tuple[Grid, NDArray[np.uint8]]) -> None:
    image = sitk.ReadImage(str(FOLDER / "volume.nii.gz"))
    grid, labels = volume
    hu = sitk.GetArrayFromImage(image)
    assert hu.dtype == np.int16
    assert hu.shape == grid.shape
    np.testing.assert_allclose(image.GetOrigin(), grid.to_world((0, 0, 0)))
    assert grid.spacing[0] > 1.5 * grid.spacing[1]
    turned = np.abs(np.array(image.GetDirection()).reshape(3, 3))
    assert (turned.max(axis=0) < 0.9995).all()
    medians = [np.median(hu[labels == label]) for label in range(9)]
    np.testing.assert_allclose(medians[1:], [110, 126, 165, 165, 52, 300, -850, -855], atol=25)


def test_the_volume_s_clicks_and_boxes_fit_their_organs(volume: tuple[Grid, NDArray[np.uint8]]) -> None:
    grid, labels = volume
    clicks = Prompts.read(FOLDER / "volume_points.mrk.json", grid=grid).inside(grid.shape)
    organs = {"liver": 1, "spleen": 2, "right kidney": 3, "left kidney": 4, "lesion": 5}
    assert [p.name for p in clicks] == list(organs)
    for prompt in clicks:
        hit = labels[tuple(np.rint(prompt.points).astype(int).T)] == organs[prompt.name]
        np.testing.assert_array_equal(hit, prompt.labels)
    boxes = Prompts.read(FOLDER / "volume_boxes.csv", grid=grid)
    assert [p.id for p in boxes] == list(organs.values())
    for prompt in boxes:
        index = np.argwhere(labels == prompt.id)
        assert prompt.box is not None
        held = ((index > prompt.box[0]) & (index < prompt.box[1])).all(axis=1)
        assert held.mean() > (0.85 if prompt.id == 5 else 0.98)  # there are two lesions, the box is around the larger
        assert np.prod(prompt.box[1] - prompt.box[0]) < 3 * np.prod(np.ptp(index, axis=0) + 1)


def test_samples_are_found_by_name() -> None:
    assert sample("scene.tif").read_bytes() == (FOLDER / "scene.tif").read_bytes(), (
        "sample_data changed since the last install: run `pip install -e .`"
    )
    assert json.loads(sample("volume_points.mrk.json").read_text())["markups"]
    with pytest.raises(SourceError, match=r"no sample 'moon.tif'; there are .*scene.tif"):
        sample("moon.tif")


@pytest.mark.slow
def test_the_script_draws_the_same_files(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-B", FOLDER / "make.py", tmp_path], check=True, timeout=280)
    assert sorted(p.name for p in tmp_path.iterdir()) == DRAWN
    for name in DRAWN:
        if name.endswith(".tif"):
            with rasterio.open(tmp_path / name) as new, rasterio.open(FOLDER / name) as old:
                np.testing.assert_array_equal(new.read(), old.read())
                assert new.profile == old.profile
        elif name.endswith(".gz"):
            new, old = (sitk.ReadImage(str(folder / name)) for folder in (tmp_path, FOLDER))
            np.testing.assert_array_equal(sitk.GetArrayFromImage(new), sitk.GetArrayFromImage(old))
            assert new.GetDirection() == old.GetDirection()
        elif name.endswith(".gpkg"):
            new, old = (geopandas.read_file(folder / name) for folder in (tmp_path, FOLDER))
            assert new.geometry.geom_equals_exact(old.geometry, 1e-6).all()
            assert new.category.equals(old.category)
        else:
            assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()
