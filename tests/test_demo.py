"""The demo and its pictures."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import SimpleITK as sitk
from PIL import Image

from promptile.demo import TASKS, demo
from promptile.errors import OutputError
from promptile.samples import sample


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("demo")
    written = demo(target / "out", say=lambda _: None)
    assert all(path.exists() for path in written)
    assert len(written) == sum(len(task.results) + 1 for task in TASKS)
    return target / "out"


def test_fields_and_roofs_are_found_where_the_truth_is(folder: Path) -> None:
    found = gpd.read_file(folder / "fields.gpkg")
    truth = gpd.read_file(sample("scene_truth.gpkg")).to_crs(found.crs)
    assert len(found) == len(gpd.read_file(sample("scene_boxes.geojson")))
    best = [truth.intersection(g).area.div(truth.union(g).area).max() for g in found.geometry]
    assert np.mean(best) > 0.8
    assert found["area_m2"].to_numpy() == pytest.approx(found.area.to_numpy(), rel=2e-3)


def test_the_river_is_one_object_over_many_tiles(folder: Path) -> None:
    found = gpd.read_file(folder / "water.gpkg").set_index("category")
    truth = gpd.read_file(sample("scene_truth.gpkg")).to_crs(found.crs).set_index("category")
    for name in ("river", "lake", "island"):
        mine, theirs = found.geometry[name], truth.geometry[name]
        assert mine.intersection(theirs).area / mine.union(theirs).area > 0.8, name
    labels = rasterio.open(folder / "water.tif")
    with labels, rasterio.open(sample("scene.tif")) as image:
        assert labels.transform == image.transform
        assert not labels.read(1)[image.dataset_mask() == 0].any()


def test_everything_is_found_without_a_prompt(folder: Path) -> None:
    found = gpd.read_file(folder / "everything.gpkg")
    assert len(found) > 300
    assert found.is_valid.all()
    assert shapely.union_all(found.geometry.to_numpy()).area == pytest.approx(found.area.sum())
    truth = gpd.read_file(sample("scene_truth.gpkg")).to_crs(found.crs)
    for name, least in {"river": 0.95, "lake": 0.95, "island": 0.9}.items():
        (theirs,) = truth.geometry[truth["category"] == name]
        assert (found.intersection(theirs).area / found.union(theirs).area).max() > least, name
    with rasterio.open(folder / "everything.tif") as labels, rasterio.open(sample("scene.tif")) as image:
        painted, pixel = labels.read(1), abs(labels.transform.a * labels.transform.e)
        assert not painted[image.dataset_mask() == 0].any()
    assert np.count_nonzero(painted) * pixel == pytest.approx(found.area.sum())


def test_organs_are_found_on_the_volumes_own_grid(folder: Path) -> None:
    found, truth = (sitk.ReadImage(str(p)) for p in (folder / "organs.nii.gz", sample("volume_truth.nii.gz")))
    assert found.GetDirection() == pytest.approx(truth.GetDirection(), abs=1e-6)
    assert found.GetOrigin() == pytest.approx(truth.GetOrigin(), abs=1e-4)
    labels, names = sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(truth)
    dices = []
    for i in np.unique(labels[labels > 0]):
        mine = labels == i
        theirs = names == np.bincount(names[mine]).argmax()
        dices.append(2 * (mine & theirs).sum() / (mine.sum() + theirs.sum()))
    assert len(dices) >= 4
    assert np.mean(dices) > 0.75


def test_pictures_show_something(folder: Path) -> None:
    for name in ("fields", "water", "organs"):
        pixels = np.asarray(Image.open(folder / f"{name}.png")).astype(int)
        assert pixels.shape[2] == 3
        assert min(pixels.shape[:2]) > 200
        colourful = np.ptp(pixels, axis=2) > 60
        assert colourful.mean() > 0.01


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        demo(tmp_path / "x")
