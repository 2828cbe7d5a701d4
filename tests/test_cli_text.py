"""Objects by name at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from shapely.geometry import Point, box

from detectors import Failing, Perfect, Truth, boxes_of
from promptile import models
from promptile.cli import main
from promptile.models.protocols import Model
from test_text import HOUSES, NAMES

PLACE = from_origin(400000, 5000000, 2, 2)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "width": HOUSES.shape[1], "height": HOUSES.shape[0], "count": 3, "dtype": "int32"}
    with rasterio.open(path, "w", **profile, crs="EPSG:32633", transform=PLACE) as file:
        file.write(np.stack([HOUSES, *np.indices(HOUSES.shape)]).astype(np.int32))
    return path


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Model]:
    """Models by name."""
    scores = np.array([0.9, 0.4, 0.6, 0.8])
    perfect = Perfect(HOUSES, spacing=(2, 2))
    there: dict[str, Model] = {
        "perfect": perfect,
        "grounding-dino-tiny": Truth(boxes_of(HOUSES), NAMES, scores, window=(64, 64), spacing=2),
    }
    monkeypatch.setattr(models, "load", lambda name, ndim: there[name])
    return there


def run(scene: Path, *args: object) -> int:
    out = ("-o", scene.with_name("objects.gpkg"), "--overwrite")
    return main(["segment", str(scene), "--model", "perfect", "--tile", "64", *map(str, (*out, *args))])


def test_texts_become_categories_in_vectors(scene: Path, capsys) -> None:
    assert run(scene, "--text", "house", "--text", "shed", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["objects"] == 4
    assert report["asked"] == "text: house, shed, 4 prompts"
    found = gpd.read_file(scene.with_name("objects.gpkg")).set_index("id")
    assert found["category"].to_list() == ["house", "house", "house", "shed"]
    assert found["detection"].to_list() == [0.9, 0.4, 0.8, 0.6]
    assert found.loc[1].geometry.equals(box(400010, 4999970, 400040, 4999990))


def test_thresholds_and_areas_and_points(scene: Path, capsys) -> None:
    assert run(scene, "--text", "house", "--box-threshold", 0.5) == 0
    assert capsys.readouterr().out.startswith("2 objects")
    assert run(scene, "--text", "house", "--text-threshold", 0.85, "--restart") == 0
    assert capsys.readouterr().out.startswith("1 object\n")
    area = scene.with_name("area.geojson")
    gpd.GeoDataFrame(geometry=[box(400000, 4999900, 400060, 5000000)], crs="EPSG:32633").to_file(area)
    assert run(scene, "--text", "house", "--text", "shed", "--aoi", area, "--restart") == 0
    assert capsys.readouterr().out.startswith("2 objects")
    points = scene.with_name("points.geojson")
    at = [Point(400020, 4999980), Point(400080, 4999980)]
    gpd.GeoDataFrame({"label": [1, 0]}, geometry=at, crs="EPSG:32633").to_file(points)
    assert run(scene, "--text", "house", "--points", points, "--restart") == 0
    assert capsys.readouterr().out.startswith("2 objects")
    gpd.GeoDataFrame({"label": [0]}, geometry=at[:1], crs="EPSG:32633").to_file(points)
    assert run(scene, "--text", "house", "--points", points, "--restart") == 0
    assert capsys.readouterr().out.startswith("2 objects")


def test_a_tile_that_fails_exits_with_3(scene: Path, installed: dict[str, Model], tmp_path: Path, capsys) -> None:
    (tmp_path / "failures").mkdir()
    installed["grounding-dino-tiny"] = Failing(installed["grounding-dino-tiny"], tmp_path / "failures", [3], times=2)
    assert run(scene, "--text", "house") == 3
    said = capsys.readouterr().err
    assert "tile (0, 0, 0) failed: RuntimeError: failed on purpose" in said
    assert "the same command tries again" in said
    assert run(scene, "--text", "house") == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "Nothing is asked for"),
        (("--text", " "), "A text is empty: say what to look for"),
        (("--text", "a", "--everything"), "--text and --everything are two wishes"),
        (("--text", "a", "--box-threshold", "2"), "--box-threshold 2.0 is not possible: use 0 to 1"),
        (("--text", "a", "--text-threshold", "-1"), "--text-threshold -1.0 is not possible: use 0 to 1"),
        (("--text", "a", "--keep", "all"), "--keep means nothing for texts"),
        (("--text", "a", "--levels", "5"), "Level 5 cannot be looked at: use auto or levels among 0"),
        (("--text", "a", "--detector", "perfect"), "'perfect' finds nothing by text: choose another --detector"),
        (("--everything", "--detector", "perfect"), "--detector means nothing without a text"),
        (("--text", "a", "--model", "grounding-dino-tiny"), "cannot take a box, and text finds boxes"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(scene: Path, args: tuple[str, ...], message: str, capsys) -> None:
    assert run(scene, *args) in (1, 2)
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert [path.name for path in scene.parent.iterdir()] == [scene.name]
