"""Everything mode at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from rasterio.features import shapes
from rasterio.transform import from_origin

from promptile import models
from promptile.cli import main
from proposers import Failing, Pieces
from test_everything import blobs

PLACE = from_origin(400000, 5000000, 2, 2)


@pytest.fixture
def truth(tmp_path: Path) -> np.ndarray:
    """Labels which the model sees as they are, in ``scene.tif``."""
    labels = blobs((150, 130), 4, 14)
    profile = {"driver": "GTiff", "width": 130, "height": 150, "count": 1, "dtype": "uint16", "crs": "EPSG:32633"}
    with rasterio.open(tmp_path / "scene.tif", "w", **profile, transform=PLACE) as file:
        file.write(labels, 1)
    return labels


@pytest.fixture(autouse=True)
def perfect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "load", lambda name, ndim: Pieces(ndim))


def run(folder: Path, *args: object) -> int:
    return main(["segment", str(folder / "scene.tif"), "--everything", "--tile", "64", *map(str, args)])


def test_vectors_and_labels_of_everything(tmp_path: Path, truth: np.ndarray, capsys) -> None:
    vectors, labels = tmp_path / "all.gpkg", tmp_path / "all.tif"
    assert run(tmp_path, "-o", vectors, "-o", labels, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["objects"] == truth.max()
    assert report["failed"] == []
    with rasterio.open(labels) as file:
        assert (file.read(1) == truth).all()
        assert file.transform == PLACE
    found = gpd.read_file(vectors).set_index("id")
    assert sorted(found.index) == list(range(1, int(truth.max()) + 1))
    assert found.is_valid.all()
    areas = np.bincount(truth.ravel())[1:] * 4.0
    assert found.area.sort_index().to_numpy() == pytest.approx(areas, abs=1e-6)
    drawn: dict[int, list[shapely.Polygon]] = {}
    for shape, value in shapes(truth.astype(np.int32), truth > 0, 4, PLACE):
        drawn.setdefault(int(value), []).append(shapely.geometry.shape(shape))
    for number, polygons in drawn.items():
        assert found.geometry[number].equals(shapely.MultiPolygon(polygons))


def test_outlines_are_shaped_as_they_are_written(tmp_path: Path, truth: np.ndarray) -> None:
    vectors, labels = tmp_path / "all.gpkg", tmp_path / "all.tif"
    assert run(tmp_path, "-o", vectors, "-o", labels, "--simplify", 3, "--min-area", 100) == 0
    found = gpd.read_file(vectors)
    assert (found["area_m2"] >= 100).all()
    with rasterio.open(labels) as file:
        assert (file.read(1) == truth).all()
    exact = tmp_path / "exact.gpkg"
    assert main(["export", str(tmp_path / "all.run.zarr"), "-o", str(exact)]) == 0
    assert len(gpd.read_file(exact)) == truth.max()
    assert (
        shapely.get_num_coordinates(found.geometry).sum()
        < 0.8 * shapely.get_num_coordinates(gpd.read_file(exact).set_index("id").loc[found["id"]].geometry).sum()
    )
    assert shapely.coverage_is_valid(found.explode().geometry.to_numpy())


def test_an_area_in_another_coordinate_system(tmp_path: Path, truth: np.ndarray) -> None:
    area = gpd.GeoDataFrame(geometry=[shapely.box(400040, 4999800, 400160, 4999900).buffer(9)], crs=32633).to_crs(4326)
    area.to_file(tmp_path / "area.geojson")
    assert run(tmp_path, "-o", tmp_path / "some.tif", "--aoi", tmp_path / "area.geojson") == 0
    with rasterio.open(tmp_path / "some.tif") as file:
        found = file.read(1) > 0
    rows, columns = np.nonzero(found)
    assert rows.min() * 2 >= 5000000 - 4999900 - 12
    assert columns.max() * 2 <= 160 + 12
    assert not (found & (truth == 0)).any()
    assert found[55:95, 25:75].tolist() == (truth[55:95, 25:75] > 0).tolist()


def test_failed_tiles_are_named_and_tried_again(tmp_path: Path, truth: np.ndarray, monkeypatch, capsys) -> None:
    broken = Failing(Pieces(2), tmp_path, values=[int(truth.max())], times=2)
    monkeypatch.setattr(models, "load", lambda name, ndim: broken)
    out = tmp_path / "all.tif"
    assert run(tmp_path, "-o", out, "--json") == 3
    said = capsys.readouterr()
    failed = json.loads(said.out)["failed"]
    assert failed[0]["kind"] == "tile"
    assert len(failed[0]["id"]) == 2
    assert "failed on purpose" in failed[0]["error"]
    assert "tries again" in said.err
    assert run(tmp_path, "-o", out, "--overwrite", "--json") == 0
    with rasterio.open(out) as file:
        assert (file.read(1) == truth).all()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--levels", "x"], "no list of levels"),
        (["--levels", "7"], "Level 7 does not exist"),
        (["--workers", "0"], "--workers 1 or more"),
        (["--scheduler", "here"], "no scheduler"),
        (["--aoi", "nowhere.gpkg"], "no such prompt file"),
        (["--min-region", "-4"], "samples"),
        (["--level", "1"], "levels"),
        (["--simplify", "-1"], "not negative"),
        (["--points-per-side", "0"], "oint"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    tmp_path: Path, truth: np.ndarray, args: list[str], said: str, capsys
) -> None:
    assert run(tmp_path, "-o", tmp_path / "all.gpkg", *args) in (1, 2)
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "all.gpkg").exists()


def test_options_of_everything_mean_nothing_for_prompts(tmp_path: Path, truth: np.ndarray, capsys) -> None:
    (tmp_path / "p.csv").write_text("x,y\n400101,4999899\n")
    args = ["--points", tmp_path / "p.csv", "--aoi", tmp_path / "p.csv", "-o", tmp_path / "a.gpkg"]
    assert main(["segment", str(tmp_path / "scene.tif"), *map(str, args)]) == 2
    assert "--aoi means nothing for prompts" in capsys.readouterr().err


class TestShow:
    def test_a_picture_of_a_run(self, tmp_path: Path, truth: np.ndarray, capsys) -> None:
        assert run(tmp_path, "--run", tmp_path / "a.run.zarr", "-q") == 0
        capsys.readouterr()
        out = tmp_path / "a.png"
        assert main(["show", str(tmp_path / "a.run.zarr"), "--out", str(out), "--size", "75"]) == 0
        assert capsys.readouterr().out.strip() == str(out)
        picture = np.asarray(Image.open(out))
        assert picture.shape == (75, 65, 3)
        coloured = picture.max(axis=2).astype(int) - picture.min(axis=2) > 20
        thin = truth[1::2, 1::2] > 0
        assert (coloured[thin]).mean() > 0.95
        assert not coloured[~thin].any()

    def test_an_image_that_was_moved(self, tmp_path: Path, truth: np.ndarray, capsys) -> None:
        assert run(tmp_path, "--run", tmp_path / "a.run.zarr", "-q") == 0
        moved = (tmp_path / "scene.tif").rename(tmp_path / "moved.tif")
        show = ["show", str(tmp_path / "a.run.zarr"), "--out", str(tmp_path / "a.png")]
        assert main(show) == 2
        assert "say where it is with --image" in capsys.readouterr().err
        other = tmp_path / "other.tif"
        with rasterio.open(other, "w", "GTiff", 130, 150, 1, dtype="uint8", crs="EPSG:32633", transform=PLACE):
            pass
        assert main([*show, "--image", str(other)]) == 2
        assert "other.tif is not what a.run.zarr was made from, scene.tif" in capsys.readouterr().err
        assert main([*show, "--image", str(moved)]) == 0
        assert main([*show, "--image", str(moved)]) == 2
        assert "--overwrite" in capsys.readouterr().err
