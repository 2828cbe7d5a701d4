"""Edges and proposals: tiled as untiled, on the image's grid, gone on with after a kill, and refused in one line."""

from __future__ import annotations

import warnings
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin
from scipy import ndimage

from perfect import Perfect
from promptile.cli import main
from promptile.engine.lattice import Tiling
from promptile.engine.slices import Slices
from promptile.engine.tasks import Edges, Ranked
from promptile.engine.tasks.outlines import outline_of, strongest, thinned
from promptile.engine.tasks.proposals import runs_of
from promptile.engine.tasks.shades import Shade
from promptile.engine.tasks.tables import masks_of
from promptile.errors import ModelError, RunError, UsageError
from promptile.grid import Window
from promptile.models.protocols import ModelCard
from promptile.tasks import edges, proposals
from proposers import Whole

SIDE = 260
EXACT = Edges(box_nms_thresh=1.0)
"""Nothing is taken for a repetition: where a tile cuts objects, their boxes may be alike."""


def truth(seed: int = 0) -> np.ndarray:
    """Discs of all sizes, some of which touch or hold one another."""
    random = np.random.default_rng(seed)
    labels = np.zeros((SIDE, SIDE), np.uint8)
    y, x = np.mgrid[:SIDE, :SIDE]
    for n in range(1, 25):
        row, column = random.uniform(0, SIDE, 2)
        labels[(y - row) ** 2 + (x - column) ** 2 < random.uniform(4, 40) ** 2] = n
    return labels


def write(path: Path, samples: np.ndarray, **more) -> Path:
    transform = from_origin(500_000, 4_000_000, 0.5, 0.5)
    profile = {"width": samples.shape[1], "height": samples.shape[0], "count": 1, "dtype": samples.dtype.name}
    with rasterio.open(path, "w", "GTiff", **profile, crs="EPSG:32633", transform=transform, **more) as file:
        file.write(samples, 1)
    return path


@pytest.fixture
def scene(tmp_path):
    return write(tmp_path / "scene.tif", truth())


def read(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            return file.read(1)


# Edges


@pytest.mark.parametrize("tiling", [Tiling(64, 16), Tiling(100, 30), Tiling(90, 60)], ids=str)
def test_edges_in_tiles_are_those_of_the_whole_image(scene, tmp_path, tiling):
    edges(scene, tmp_path / "tiled.tif", Whole(2), asked=EXACT, tiling=tiling)
    edges(scene, tmp_path / "whole.tif", Whole(2), asked=EXACT, tiling=Tiling(512, 64))
    np.testing.assert_array_equal(read(tmp_path / "tiled.tif"), read(tmp_path / "whole.tif"))


def test_edges_lie_where_objects_meet_and_are_thin(scene, tmp_path):
    found = read(edges(scene, tmp_path / "edges.tif", Whole(2), asked=EXACT))
    labels = truth().astype(int)
    apart = np.zeros(labels.shape, bool)  # samples whose neighbour is of another object
    apart[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    apart[1:] |= labels[1:] != labels[:-1]
    near = ndimage.distance_transform_edt(~apart)
    assert found.max() == 1.0
    assert found.min() == 0.0
    assert near[found > 0].max() < 3
    ridge = found > 0
    assert (near[ridge] <= 1.5).mean() > 0.97
    assert (ndimage.distance_transform_edt(~ridge)[apart] <= 2.5).mean() > 0.97
    blocks = ridge[1:, 1:] & ridge[:-1, 1:] & ridge[1:, :-1] & ridge[:-1, :-1]
    assert blocks.mean() < 0.002


def test_edges_lie_on_the_grid_of_the_image(scene, tmp_path):
    path = edges(scene, tmp_path / "edges.tif", Whole(2))
    with rasterio.open(path) as found, rasterio.open(scene) as image:
        assert (found.transform, found.crs, found.shape) == (image.transform, image.crs, image.shape)
        assert found.dtypes == ("float32",)
        assert found.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["edges.tif", "scene.tif"]


def test_a_straight_step_is_one_sample_wide_and_the_steepest():
    logits = np.full((40, 40), -9, np.float32)
    logits[:, 20:] = 9
    valid = np.ones((40, 40), bool)
    outline = outline_of(Shade(Window.of((40, 40)), logits, 0.9), valid)
    thin = thinned(strongest([outline], valid.shape))
    assert ((thin > 0).sum(axis=1) == 1).all()
    assert set(np.nonzero(thin)[1]) <= {19, 20}
    assert thin.max() == pytest.approx(0.5, abs=2e-3)
    logits[:] = 9
    assert not len(outline_of(Shade(Window.of((40, 40)), logits, 0.9), valid).places)  # the view's border is no edge
    logits[:] = -9
    assert outline_of(Shade(Window.of((40, 40)), logits, 0.9), valid) is None


def test_where_data_end_there_is_no_edge(tmp_path):
    labels = truth()
    labels[:, :100] = 255
    scene = write(tmp_path / "holed.tif", labels, nodata=255)
    found = read(edges(scene, tmp_path / "edges.tif", Whole(2)))
    assert not found[:, :100].any()
    labels = np.where(np.arange(SIDE) < 100, 255, np.full((SIDE, SIDE), 7)).astype(np.uint8)
    plain = write(tmp_path / "plain.tif", labels, nodata=255)
    assert not read(edges(plain, tmp_path / "none.tif", Whole(2))).any()


def test_a_model_that_answers_points_finds_edges_too(scene, tmp_path):
    asked = Edges(points_per_side=20, box_nms_thresh=1.0)
    found = read(edges(scene, tmp_path / "points.tif", Perfect(2), asked=asked, tiling=Tiling(130, 40)))
    wanted = read(edges(scene, tmp_path / "whole.tif", Whole(2), asked=EXACT))
    agree = (ndimage.maximum_filter(found > 0, 3) & (wanted > 0)).sum() / (wanted > 0).sum()
    assert agree > 0.95


def test_one_slice_of_a_volume_has_the_edges_of_that_image(scene, tmp_path):
    volume = np.stack([np.zeros_like(truth()), truth(), truth(1)], axis=1)
    found = read(edges(volume, tmp_path / "slice.tif", Whole(2), plane=1, slices=Slices(axis=1)))
    np.testing.assert_array_equal(found, read(edges(scene, tmp_path / "edges.tif", Whole(2))))
    table = pd.read_parquet(proposals(volume, tmp_path / "all.parquet", Whole(2), plane=2, slices=Slices(axis=1)))
    assert 10 < len(table) <= len(np.unique(truth(1))) - 1


# Going on


class Stopping(Whole):
    """Ends the work at its fourth tile, once."""

    asked = 0
    error: type[BaseException] | None = None

    def propose(self, view):
        type(self).asked += 1
        if type(self).asked == 4 and self.error is not None:
            raise self.error("stop")
        return super().propose(view)


@pytest.mark.parametrize("task", [edges, proposals])
def test_what_was_stopped_goes_on(scene, tmp_path, task):
    class Mine(Stopping):
        error = KeyboardInterrupt

    out = tmp_path / ("out.tif" if task is edges else "out.parquet")
    with pytest.raises(KeyboardInterrupt):
        task(scene, out, Mine(2), tiling=Tiling(100, 20))
    assert not out.exists()
    Mine.error = None
    before = Mine.asked
    task(scene, out, Mine(2), tiling=Tiling(100, 20))
    assert Mine.asked - before < 16
    again = out.with_stem("again")
    task(scene, again, Whole(2), tiling=Tiling(100, 20))
    if task is edges:
        np.testing.assert_array_equal(read(out), read(again))
    else:
        pd.testing.assert_frame_equal(pd.read_parquet(out), pd.read_parquet(again))
    assert not list(tmp_path.glob("*.unfinished"))


def test_a_tile_that_fails_is_named_and_the_others_are_kept(scene, tmp_path):
    class Broken(Whole):
        def propose(self, view):
            if (view.samples == 5).any():
                raise ValueError("cannot see five")
            return super().propose(view)

    out = tmp_path / "edges.tif"
    with pytest.raises(
        RunError, match=r"tiles have no answer, tile \(\d, \d\) because of: ValueError: cannot see five"
    ):
        edges(scene, out, Broken(2), tiling=Tiling(100, 20))
    assert not out.exists()
    assert list((tmp_path / "edges.tif.unfinished" / "tiles").iterdir())


# Proposals


def test_proposals_are_the_masks_of_the_truth(scene, tmp_path):
    path = proposals(scene, tmp_path / "all.parquet", Whole(2), asked=Ranked(box_nms_thresh=1.0))
    table, labels = geopandas.read_parquet(path), truth()
    assert len(table) == len(np.unique(labels)) - 1
    assert table["rank"].tolist() == list(range(1, len(table) + 1))
    assert (np.diff(table["score"]) <= 0).all()
    np.testing.assert_allclose(table["score"], (table["iou"] + table["stability"]) / 2)
    assert table.crs == "EPSG:32633"
    for row in table.itertuples():
        box = Window.between(row.bbox[:2], row.bbox[2:])
        mask = masks_of(row.rle, row.bbox).astype(bool)
        values = np.unique(labels[box.slices][mask])
        assert len(values) == 1
        np.testing.assert_array_equal(labels[box.slices] == values[0], mask)
        assert row.geometry.area == pytest.approx(mask.sum() * 0.25)
        assert row.area_px == mask.sum()
        low = (500_000 + 0.5 * box.start[1], 4_000_000 - 0.5 * box.stop[0])
        assert row.geometry.bounds[:2] == pytest.approx(low)


def test_of_tiles_each_gives_what_lies_in_its_core(scene, tmp_path):
    asked = Ranked(box_nms_thresh=1.0)
    tiled = pd.read_parquet(proposals(scene, tmp_path / "t.parquet", Whole(2), asked=asked, tiling=Tiling(200, 150)))
    whole = pd.read_parquet(proposals(scene, tmp_path / "w.parquet", Whole(2), asked=asked))
    small = [tuple(box) for box in whole["bbox"] if max(box[2] - box[0], box[3] - box[1]) < 70]
    found = [tuple(box) for box in tiled["bbox"]]
    assert len(small) > 10
    assert all(found.count(box) == 1 for box in small)


def test_only_the_best_are_kept_and_repeats_go(scene, tmp_path):
    table = pd.read_parquet(proposals(scene, tmp_path / "few.parquet", Whole(2), asked=Ranked(most=5)))
    everything = pd.read_parquet(proposals(scene, tmp_path / "all.parquet", Whole(2)))
    assert table["bbox"].map(tuple).tolist() == everything["bbox"].map(tuple).tolist()[:5]
    points = Ranked(points_per_side=32)
    asked = pd.read_parquet(proposals(scene, tmp_path / "points.parquet", Perfect(2), asked=points))
    assert 10 < len(asked) <= len(np.unique(truth())) - 1


def test_a_geopackage_holds_them_too(scene, tmp_path):
    path = proposals(scene, tmp_path / "all.gpkg", Whole(2))
    table = geopandas.read_file(path, engine="pyogrio")
    other = geopandas.read_parquet(proposals(scene, tmp_path / "all.parquet", Whole(2)))
    assert table["rle"].map(lambda text: list(map(int, text.split()))).tolist() == other["rle"].map(list).tolist()
    assert table.geometry.area.sum() == pytest.approx(other.geometry.area.sum())


def test_an_image_without_objects_has_an_empty_table(tmp_path):
    scene = write(tmp_path / "empty.tif", np.zeros((90, 80), np.uint8))
    for name in ("none.parquet", "none.gpkg"):
        proposals(scene, tmp_path / name, Whole(2))
    assert len(geopandas.read_parquet(tmp_path / "none.parquet")) == 0
    assert not read(edges(scene, tmp_path / "none.tif", Whole(2))).any()


@settings(max_examples=40)
@given(arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 1)))
def test_runs_say_a_mask_column_by_column(samples):
    runs = runs_of(samples)
    said = [value for n, length in enumerate(runs) for value in [n % 2] * length]
    assert said == [int(v) for column in samples.T for v in column]
    assert all(length > 0 for length in runs[1:])
    np.testing.assert_array_equal(masks_of(runs, (0, 0, *samples.shape)), samples)


# The command line, and what is refused


def test_the_command_writes_edges_and_proposals(tmp_path, capsys):
    random = np.random.default_rng(0)
    picture = np.where(truth() % 2 == 1, 200, 60) + random.integers(0, 9, (SIDE, SIDE))
    scene = write(tmp_path / "scene.tif", picture.astype(np.uint8))
    for task, name in (("edges", "edges.tif"), ("proposals", "all.parquet")):
        command = ["segment", str(scene), "--task", task, "-o", str(tmp_path / name), "--tile", "160", "--quiet"]
        assert main(command) == 0, capsys.readouterr().err
        assert capsys.readouterr().out.strip() == str(tmp_path / name)
        assert main(command) == 2
        assert "--overwrite" in capsys.readouterr().err
        assert main([*command, "--overwrite"]) == 0
        capsys.readouterr()
    assert (read(tmp_path / "edges.tif") > 0).any()
    assert len(pd.read_parquet(tmp_path / "all.parquet"))
    for wrong in (["--everything"], ["--text", "a"], ["--run", "x"], ["-o", "second.tif"]):
        assert main(["segment", str(scene), "--task", "edges", "-o", str(tmp_path / "no.tif"), *wrong]) == 2
    assert main(["segment", str(scene), "--task", "edges", "-o", str(scene), "--overwrite"]) == 2
    assert main(["segment", str(scene), "--everything", "--slice", "3", "-o", str(tmp_path / "no.tif")]) == 2
    capsys.readouterr()


def test_what_cannot_be_is_refused(scene, tmp_path):
    with pytest.raises(UsageError, match=r"\.tif"):
        edges(scene, tmp_path / "edges.png", Whole(2))
    with pytest.raises(UsageError, match=r"\.parquet or \.gpkg"):
        proposals(scene, tmp_path / "all.tif", Whole(2))
    for wrong in (None, 8, -1):
        with pytest.raises(UsageError, match="--slice 0 to 7"):
            edges(np.zeros((8, 20, 20), np.uint8), tmp_path / "edges.tif", Whole(2), plane=wrong)
    with pytest.raises(UsageError, match="no volume"):
        edges(scene, tmp_path / "edges.tif", Whole(2), plane=1)
    with pytest.raises(UsageError, match="points_per_side"):
        Edges(points_per_side=0)
    with pytest.raises(UsageError, match="box_nms_thresh"):
        Ranked(box_nms_thresh=2)

    class Deaf:
        card = ModelCard(name="deaf", family="test", abilities=frozenset({"rank"}), ndim=2, digest="d")

    with pytest.raises(ModelError, match="neither finds objects by itself nor answers points"):
        edges(scene, tmp_path / "edges.tif", Deaf())
    assert [p.name for p in tmp_path.iterdir()] == ["scene.tif"]
