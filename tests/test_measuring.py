"""Measurements against what is known of balls and boxes, against ITK, and through the command."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy.spatial.distance import pdist

import promptile as pt
from kinds import noise, oblique
from promptile.cli import main
from promptile.grid import LPS, Grid, Window
from promptile.masks import ObjectMask
from promptile.measuring import measure_objects, table_of
from promptile.sources import open_source


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
