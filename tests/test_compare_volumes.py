"""Volumes against the truth in millimetres: brute force, ITK, known cases; DICOM as truth."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import SimpleITK as sitk

from kinds import right_handed, write_series
from promptile import writers
from promptile.cli import main
from promptile.compare import Sampled, compare
from promptile.compare.scores import score
from promptile.compare.solids import with_solids
from promptile.compare.surfaces import Surface, apart
from promptile.errors import UsageError
from promptile.grid import Window
from promptile.sources import open_source
from test_measuring import TURN, grid_of
from test_writers_medical import SHAPE, result_of

pytest.importorskip("highdicom")


def solid(a, b, grid, tolerance=1.0):
    """The one pair of two objects."""
    layers = (Sampled.of_labels(np.asarray(m, np.uint8)) for m in (a, b))
    return with_solids(score(*(pair := tuple(layers)), "id"), *pair, grid, tolerance).pairs[0]


def boxes(shape, *windows):
    found = []
    for low, high in windows:
        found.append(np.zeros(shape, bool))
        found[-1][tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return found


def test_single_samples_two_millimetres_apart():
    """The example of the authors of the surface Dice: half of both surfaces lies within 1 mm."""
    grid = grid_of((100, 100, 100), (3, 2, 1))
    a, b = boxes(grid.shape, ((50, 60, 70), (51, 61, 71)), ((50, 60, 72), (51, 61, 73)))
    found = solid(a, b, grid).solid
    assert found.surface_dice == pytest.approx(0.5)
    assert found.hd95_mm == pytest.approx(2)
    assert solid(a, b, grid, 2).solid.surface_dice == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_boxes_shifted_along_an_oblique_axis(axis):
    grid = grid_of((20, 40, 50), (3, 1, 0.5), TURN)
    shift = np.zeros(3, int)
    shift[axis] = 3
    a, b = boxes(grid.shape, ((3, 5, 6), (12, 25, 26)), (np.add((3, 5, 6), shift), np.add((12, 25, 26), shift)))
    found = solid(b, a, grid, tolerance=0.01).solid
    assert found.hd95_mm == pytest.approx(3 * grid.spacing[axis])
    assert found.volume_difference_ml == 0
    same = solid(a, a, grid, tolerance=0).solid
    assert (same.surface_dice, same.hd95_mm) == (1, 0)


def brute(samples, grid):
    """Element by element: where eight samples meet, and the gradient of their trilinear interpolation there."""
    padded = np.pad(samples, 1).astype(float)
    places, areas = [], []
    for at in itertools.product(*(range(n - 1) for n in padded.shape)):
        eight = padded[tuple(slice(i, i + 2) for i in at)]
        gradient = np.array([(eight.take(1, k) - eight.take(0, k)).mean() for k in range(3)])
        if gradient.any():
            places.append(grid.to_world(np.array(at) - 0.5))
            areas.append(np.linalg.norm(np.linalg.inv(grid.matrix[:3, :3]).T @ gradient) * grid.sample_size)
    return np.array(places), np.array(areas)


@pytest.mark.parametrize("seed", range(4))
def test_distances_equal_brute_force(seed):
    random = np.random.default_rng(seed)
    grid = grid_of((6, 7, 8), (2.5, 1, 0.7), TURN)
    a, b = random.random((2, *grid.shape)) < (0.3, 0.1)[seed % 2]
    (pa, wa), (pb, wb) = brute(a, grid), brute(b, grid)
    distances = np.linalg.norm(pa[:, None] - pb[None], axis=-1)
    to_b, to_a = distances.min(axis=1), distances.min(axis=0)
    found = apart(Surface.of(a, grid.window, grid), Surface.of(b, grid.window, grid), 0.9)
    near = wa[to_b <= 0.9].sum() + wb[to_a <= 0.9].sum()
    assert found.surface_dice == pytest.approx(near / (wa.sum() + wb.sum()))

    def within(d, w):
        order = np.argsort(d)
        return d[order][np.searchsorted(np.cumsum(w[order]) / w.sum(), 0.95)]

    assert found.hd95_mm == pytest.approx(max(within(to_b, wa), within(to_a, wb)))


def test_surfaces_in_slabs_are_those_of_the_whole(monkeypatch):
    grid = grid_of((9, 8, 7), (1, 1, 1))
    samples = np.random.default_rng(1).random(grid.shape) < 0.4
    whole = Surface.of(samples, Window((3, 2, 1), grid.shape), grid)
    monkeypatch.setattr("promptile.compare.surfaces._SLAB", 1)
    parts = Surface.of(samples, Window((3, 2, 1), grid.shape), grid)
    np.testing.assert_allclose(parts.places, whole.places)
    np.testing.assert_allclose(parts.areas, whole.areas)


def test_against_itk():
    grid = grid_of((30, 50, 60), (2, 0.9, 0.9))
    z, y, x = np.indices(grid.shape)
    a = ((z - 14) * 2) ** 2 + ((y - 25) * 0.9) ** 2 + ((x - 28) * 0.9) ** 2 < 18**2
    b = ((z - 16) * 2) ** 2 + ((y - 23) * 0.9) ** 2 + ((x - 30) * 0.9) ** 2 < 16**2
    images = [sitk.GetImageFromArray(m.astype(np.uint8)) for m in (a, b)]
    for image in images:
        image.SetSpacing(grid.spacing[::-1])
    overlap, distance = sitk.LabelOverlapMeasuresImageFilter(), sitk.HausdorffDistanceImageFilter()
    overlap.Execute(*images[::-1])
    distance.Execute(*images)
    found = solid(a, b, grid)
    assert found.dice == pytest.approx(overlap.GetDiceCoefficient())
    assert found.solid.volume_difference_ml == pytest.approx((a.sum() - b.sum()) * grid.sample_size / 1000)
    assert found.solid.volume_difference_percent == pytest.approx(100 * (a.sum() / b.sum() - 1))
    assert 0.6 * distance.GetHausdorffDistance() < found.solid.hd95_mm <= distance.GetHausdorffDistance() + 1


def test_objects_that_are_missing_count():
    grid = grid_of((10, 20, 20), (1, 1, 1))
    truth = np.zeros(grid.shape, np.uint8)
    truth[2:5, 2:8, 2:8], truth[6:9, 10:14, 10:14] = 1, 2
    layers = Sampled.of_labels(np.where(truth == 1, 1, 0).astype(np.uint8)), Sampled.of_labels(truth)
    found = with_solids(score(*layers), *layers, grid, 1.0)
    assert found.solids.surface_dice == 0.5
    assert found.solids.hd95_mm == 0
    assert found.pairs[1].solid.volume_difference_percent == -100
    assert found.to_json()["pairs"][1]["solid"]["hd95_mm"] is None
    assert "HD95 0.000 mm" in found.to_text()


@pytest.fixture
def series(tmp_path):
    said = {"0020|000d": "1.2.9", "0020|0052": "1.2.8"}
    write_series(tmp_path / "ct", right_handed(SHAPE), tags=lambda i, _: said)
    return tmp_path / "ct"


@pytest.mark.parametrize("suffix", [".seg.dcm", ".rt.dcm", ".seg.nrrd"])
def test_every_format_equals_what_was_written(tmp_path, series, suffix, capsys):
    result = result_of(series)
    path = writers.write(result, tmp_path / f"truth{suffix}")
    found = compare(result, path)
    assert found.matched_by == "id"
    assert found.dice == 1
    assert found.solids.surface_dice == 1
    assert {p.name for p in found.pairs} == {"liver", "tumour", "kidney_left"}
    labels = writers.write(result_of(series, overlapping=False), tmp_path / "labels.nii.gz")
    assert main(["compare", str(labels), str(path), "--json", "--tolerance", "2"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["solids"]["tolerance_mm"] == 2
    assert main(["compare", str(labels), str(path), "--tolerance", "-2"]) == 2


def test_objects_are_matched_by_name(tmp_path, series):
    result = result_of(series, overlapping=False)
    truth = writers.write(result, tmp_path / "truth.nii.gz")
    names = {9: 1, 7: 4, 8: 300}
    result.samples = {new: result.samples[old] for new, old in names.items()}
    result.categories = {new: result.categories[old] for new, old in names.items()}
    found = compare(result, truth)
    assert found.matched_by == "name"
    assert found.dice == 1
    assert [(p.result, p.truth, p.name) for p in found.pairs] == [
        (9, 1, "liver"),
        (7, 4, "tumour"),
        (8, 300, "kidney_left"),
    ]
    result.samples[7], result.categories[7] = result.samples[8], "spleen"
    found = compare(result, truth)
    assert [p.result for p in found.pairs] == [9, None, 8, 7]


def test_two_without_a_grid(tmp_path, series):
    path = writers.write(result_of(series), tmp_path / "a.seg.dcm")
    with pytest.raises(UsageError, match="has no grid of its own"):
        compare(path, path)
    assert open_source(series).grid.ndim == 3
