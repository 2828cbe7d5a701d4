"""Measurements against what is known of balls and boxes, against ITK, and through the command."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import zarr
from scipy.spatial.distance import pdist

import promptile as pt
from kinds import noise, oblique
from promptile.cli import main
from promptile.grid import LPS, Grid, Window
from promptile.masks import ObjectMask
from promptile.measuring import measure_objects, measure_run, table_of
from promptile.prompts import Prompt
from promptile.session import Stroke
from promptile.sources import open_source
from promptile.writers import Cleaning


@dataclass
class Masks:
    """Objects in memory."""

    grid: Grid
    masks: dict[int, ObjectMask]
    layers: int = 0
    origin: dict = field(default_factory=dict)

    @property
    def objects(self):
        return pd.DataFrame({"id": list(self.masks), "category": ["organ"] * len(self.masks)})

    def mask(self, object_id):
        return self.masks[object_id]


def grid_of(shape, spacing, turn=None):
    """``(z, y, x)`` spacing; `turn` columns are the directions of x, y, z."""
    axes = (np.eye(3) if turn is None else turn) * np.asarray(spacing)[::-1]
    affine = np.eye(4)
    affine[:3, :3] = axes[:, ::-1]
    affine[:3, 3] = (-30, 12, 5)
    return Grid.of(shape, affine, LPS)


def measured(samples, grid, image=None):
    mask = ObjectMask.of(samples.shape, Window.of(samples.shape), samples)
    image = np.zeros(samples.shape, np.int16) if image is None else image
    (row,) = measure_objects(Masks(grid, {3: mask}), open_source(image, grid=grid))
    return row


def ball(grid, radius, centre):
    """Samples whose centres are within `radius` of a place in the world."""
    places = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    return np.linalg.norm(places - centre, axis=-1) <= radius


TURN = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]


@pytest.mark.parametrize("spacing", [(1, 1, 1), (3, 0.8, 0.8), (1, 2, 1.5)])
def test_a_ball_over_several_blocks_in_an_oblique_volume(spacing):
    radius = 40.0
    shape = tuple(int(2 * radius / s) + 6 for s in spacing)
    grid = grid_of(shape, spacing, TURN)
    centre = grid.to_world((np.array(shape) - 1) / 2) + 0.2
    found = measured(ball(grid, radius, centre), grid)
    assert found.sizes["volume_ml"] == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.01)
    assert found.sizes["surface_mm2"] == pytest.approx(4 * np.pi * radius**2, rel=0.02)
    assert found.sizes["diameter_mm"] == pytest.approx(2 * radius, abs=np.linalg.norm(spacing))
    np.testing.assert_allclose(found.bounds, [centre - radius, centre + radius], atol=np.linalg.norm(spacing))


def test_a_box_is_exact_but_for_its_surface():
    grid = grid_of((90, 80, 100), (2, 1, 0.5))
    samples = np.zeros(grid.shape, bool)
    samples[10:75, 20:70, 33:99] = True
    found = measured(samples, grid)
    sides = np.array([65 * 2, 50 * 1, 66 * 0.5])
    assert found.sizes["volume_mm3"] == pytest.approx(sides.prod())
    assert found.sizes["diameter_mm"] == pytest.approx(np.linalg.norm(sides))
    faces = 2 * (sides.prod() / sides).sum()
    assert 0.8 * faces < found.sizes["surface_mm2"] < faces
    assert found.bbox == ((10, 20, 33), (75, 70, 99))
    low = grid.to_world((9.5, 19.5, 32.5))
    np.testing.assert_allclose(found.bounds, [low, low + sides[::-1]])


def test_sizes_against_itk():
    """ITK's perimeter is Crofton's too."""
    grid = grid_of((40, 50, 60), (2.5, 0.9, 0.9))
    image = sitk.GetImageFromArray(np.random.default_rng(2).normal(size=grid.shape))
    image.SetSpacing(grid.spacing[::-1])
    image = sitk.SmoothingRecursiveGaussian(image, 4)
    samples = np.pad(sitk.GetArrayFromImage(image)[2:-2, 2:-2, 2:-2] > 0.001, 2)  # ITK counts no ends at the border
    values = noise(grid.shape, np.float32)
    found = measured(samples, grid, values)
    labels = sitk.GetImageFromArray(samples.astype(np.uint8))
    labels.SetSpacing(grid.spacing[::-1])
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.ComputePerimeterOn()
    shape.Execute(labels)
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(labels)
    intensity = sitk.LabelIntensityStatisticsImageFilter()
    intensity.Execute(labels, image)
    assert found.sizes["volume_mm3"] == pytest.approx(shape.GetPhysicalSize(1))
    assert found.sizes["surface_mm2"] == pytest.approx(shape.GetPerimeter(1), rel=0.05)
    assert found.intensities["mean"] == pytest.approx(intensity.GetMean(1))
    assert found.intensities["std"] == pytest.approx(values[samples].std())
    assert found.intensities["std"] == pytest.approx(intensity.GetStandardDeviation(1), rel=1e-3)  # over n - 1


def test_the_diameter_equals_brute_force():
    grid = grid_of((9, 10, 11), (3, 1, 0.7), TURN)
    samples = np.random.default_rng(0).random(grid.shape) < 0.02
    corners = (np.argwhere(samples)[:, None] + np.indices((2, 2, 2)).reshape(3, -1).T - 0.5).reshape(-1, 3)
    assert measured(samples, grid).sizes["diameter_mm"] == pytest.approx(pdist(grid.to_world(corners)).max())


def test_samples_that_hold_nothing_do_not_count():
    grid = grid_of((8, 8, 8), (1, 1, 1))
    image = np.full(grid.shape, 1e6) + noise(grid.shape, np.float64)
    image[0] = np.nan
    samples = np.ones(grid.shape, bool)
    found = measured(samples, grid, image).intensities
    assert found["mean"] == pytest.approx(image[1:].mean(), rel=1e-12)
    assert found["std"] == pytest.approx(image[1:].std(), rel=1e-9)
    samples[1:] = False
    assert np.isnan(measured(samples, grid, image).intensities["mean"])


def test_an_object_in_a_plane():
    image = noise((3, 70, 60), np.uint8)
    mask = ObjectMask.of((70, 60), Window((4, 5), (10, 20)), np.ones((10, 20), bool))
    source = open_source(image, channel_axis=0)
    (row,) = table_of(measure_objects(Masks(source.grid, {1: mask}), source), source.grid)
    assert row["area_px"] == 200
    assert row["mean_2"] == pytest.approx(image[1, 4:14, 5:25].mean())
    assert (row["y0"], row["x0"], row["y1"], row["x1"]) == (4, 5, 14, 25)
    assert (row["x_min"], row["y_max"]) == (4.5, 13.5)


def test_the_command(tmp_path, capsys):
    image = oblique((20, 30, 40))
    sitk.WriteImage(image, tmp_path / "ct.nii.gz")
    source = pt.open(tmp_path / "ct.nii.gz")
    prompts = pt.Prompts.of(points=[[10, 15, 20]])
    run = pt.segment(source, prompts, out=tmp_path / "a.run.zarr")
    assert main(["measure", str(run.path), "--out", str(tmp_path / "a.csv"), "-o", str(tmp_path / "a.json")]) == 0
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    (same,) = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert float(row["volume_mm3"]) == pytest.approx(run.objects["volume_mm3"][0])
    assert {k: float(v) for k, v in row.items() if k != "category"} == pytest.approx(
        {k: v for k, v in same.items() if k != "category"}
    )
    capsys.readouterr()
    assert main(["measure", str(run.path)]) == 0
    assert capsys.readouterr().out.split()[:3] == ["id", "category", "volume_ml"]
    assert main(["measure", str(run.path), "--out", str(tmp_path / "a.csv")]) == 1
    assert "add --overwrite" in capsys.readouterr().err
    assert main(["measure", str(run.path), "--out", str(tmp_path / "a.txt")]) == 1
    assert "ends with .csv or .json" in capsys.readouterr().err


def flat_run(folder, **options):
    """A session's run with two objects in a map."""
    scene = np.zeros((60, 80), np.uint8)
    scene[5:25, 5:25], scene[30:55, 30:70] = 90, 160
    source = open_source(scene, grid=Grid.of(scene.shape, [[0, 2, 5e5], [-2, 0, 5e6], [0, 0, 1]], "EPSG:32633"))
    return source, pt.segment(source, pt.Prompts.of(points=[[10, 10], [40, 50]]), out=folder / "a.run.zarr", **options)


def test_what_was_measured_is_among_the_attributes(tmp_path):
    source, run = flat_run(tmp_path)
    assert "mean" not in run.objects
    rows = measure_run(run, source)
    again = pt.Run.open(run.path)
    assert again.objects["mean"].tolist() == [row["mean"] for row in rows] == [90, 160]
    again.write(tmp_path / "a.gpkg")
    again.write(tmp_path / "a.parquet")
    for path in (tmp_path / "a.gpkg", tmp_path / "a.parquet"):
        read = gpd.read_file(path) if path.suffix == ".gpkg" else gpd.read_parquet(path)
        assert read["mean"].tolist() == [90, 160]
        assert read["std"].tolist() == [0, 0]
    again.write(tmp_path / "a.zarr")
    (first, _) = zarr.open_group(tmp_path / "a.zarr", mode="r").attrs["ome"]["image-label"]["properties"]
    assert first["mean"] == 90


def test_what_was_measured_of_a_body_is_in_files_of_volumes(tmp_path):
    grid = grid_of((20, 30, 40), (2, 1, 1))
    body = np.zeros(grid.shape, np.int16)
    body[5:15, 8:22, 10:30] = 70
    source = open_source(body, grid=grid)
    prompt = Prompt(1, np.array([[10.0, 15, 20]]), np.ones(1, bool), category="organ")
    run = pt.segment(source, pt.Prompts((prompt,)), out=tmp_path / "a.run.zarr")
    (row,) = measure_run(run, source)
    assert run.objects["volume_ml"][0] == row["volume_ml"] == pytest.approx(5.6)
    run.write(tmp_path / "a.nii.gz")
    said = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["labels"]["1"]["measures"]
    assert said == {k: row[k] for k in said}
    assert {"volume_ml", "surface_mm2", "diameter_mm", "mean", "std", "x_min_mm", "z_max_mm"} <= set(said)
    run.write(tmp_path / "a.seg.nrrd")
    assert b"Tags:=Category:organ|volume_ml:5.6|" in (tmp_path / "a.seg.nrrd").read_bytes()
    run.write(tmp_path / "b.nii.gz", cleaning=Cleaning(fill_holes=5))  # other samples than those that were measured
    assert "measures" not in json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))["labels"]["1"]


def test_a_changed_object_has_no_measures_until_it_is_measured_again(tmp_path):
    source, run = flat_run(tmp_path)
    run.close()
    with pt.Session(source, out=run.path) as work:
        measure_run(work.run, source)
        window = Window((0, 0), (30, 30))
        before = work.run.read_labels(window)
        work.paint([Stroke(window, before, np.where(np.indices(before.shape)[0] < 20, np.uint32(1), before))])
        assert work.run.objects["mean"].isna().tolist() == [True, False]
        work.undo()
        assert work.run.objects["mean"].tolist() == [90, 160]
        work.redo()
        measured = []
        rows = measure_run(work.run, source, told=lambda: measured.append(1))
        assert len(measured) == 1
        assert work.run.objects["mean"].tolist() == [row["mean"] for row in rows]
        assert rows[0]["mean"] < 90
        assert [row["area_m2"] for row in rows] == work.run.objects["area_m2"].tolist()
    other = pt.Run.open(run.path)
    assert other.objects["mean"].tolist() == [row["mean"] for row in rows]


def test_measures_of_everything_last_until_it_is_computed_again(tmp_path):
    image = noise((96, 96), np.uint8)
    image[20:60, 20:60] = 255
    run = pt.segment(image, everything=True, out=tmp_path / "a.run.zarr")
    rows = measure_run(run, open_source(image))
    assert run.objects["mean"].tolist() == [row["mean"] for row in rows]
    run.finish(run.table, [])  # as categories do
    assert run.objects["mean"].tolist() == [row["mean"] for row in rows]
    assert "mean" not in run.table
    table = run.table
    run.reopen()
    run.finish(table, [])
    assert len(run.objects) == len(rows)
    assert "mean" not in run.objects


def test_what_was_measured_before_the_end_is_kept(tmp_path):
    source, run = flat_run(tmp_path)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_run(run, source, told=stop)
    assert run.objects["mean"].isna().tolist() == [False, True]


def test_a_run_that_cannot_be_written_is_measured_all_the_same(tmp_path, monkeypatch, caplog):
    source, run = flat_run(tmp_path)
    monkeypatch.setattr(type(run.folder), "write", lambda *_: (_ for _ in ()).throw(OSError(30, "Read-only")))
    assert [row["mean"] for row in measure_run(run, source)] == [90, 160]
    assert "measurements are not kept" in caplog.text
