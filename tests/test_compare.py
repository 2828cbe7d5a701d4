"""Scores against brute force, scikit-image and hand-made cases."""

from __future__ import annotations

import json
import math
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from promptile.compare import Comparison, Sampled, compare, score
from promptile.errors import PromptileError, SourceError, UsageError
from promptile.grid import Grid

LABELS = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 4))


def of(result: np.ndarray, truth: np.ndarray, match: str = "auto") -> Comparison:
    return score(Sampled.of_labels(result), Sampled.of_labels(truth), match)


def boundary(samples: np.ndarray, width: int) -> np.ndarray:
    """Cheng et al.: the mask without its erosion by a square; outside of the image is not the object."""
    return samples & ~ndimage.binary_erosion(samples, np.ones((3,) * samples.ndim), iterations=width, border_value=0)


@settings(deadline=None)
@given(st.data())
def test_scores_by_id_equal_brute_force(data: st.DataObject) -> None:
    truth = data.draw(LABELS)
    result = data.draw(hnp.arrays(np.uint8, truth.shape, elements=st.integers(0, 4)))
    found = of(result, truth, "id")
    truths, results = set(np.unique(truth)) - {0}, set(np.unique(result)) - {0}
    assert {p.truth for p in found.pairs if p.truth is not None} == truths
    assert {p.result for p in found.pairs if p.result is not None} == results
    for pair in found.pairs:
        a, b = result == (pair.result or 99), truth == (pair.truth or 99)
        shared, either = (a & b).sum(), (a | b).sum()
        assert pair.iou == pytest.approx(shared / either)
        assert pair.dice == pytest.approx(2 * shared / (a.sum() + b.sum()))
        if shared:
            rows, cols = np.nonzero(b)
            width = max(1, round(0.02 * float(np.hypot(np.ptp(rows) + 1, np.ptp(cols) + 1))))
            rims = boundary(a, width), boundary(b, width)
            assert pair.boundary_iou == pytest.approx((rims[0] & rims[1]).sum() / (rims[0] | rims[1]).sum())
    if truths:
        assert found.iou == pytest.approx(np.mean([p.iou for p in found.pairs if p.truth is not None]))


@settings(deadline=None)
@given(st.data())
def test_panoptic_quality_equals_its_definition(data: st.DataObject) -> None:
    truth = data.draw(LABELS)
    result = data.draw(hnp.arrays(np.uint8, truth.shape, elements=st.integers(0, 4)))
    found = of(result, truth, "overlap")
    for detection in found.detections:
        hits = []
        results, truths = np.unique(result[result > 0]), np.unique(truth[truth > 0])
        for n in truths:
            for m in results:
                a, b = result == m, truth == n
                iou = (a & b).sum() / (a | b).sum()
                if iou > detection.threshold:
                    hits.append(iou)
        false = len(results) + len(truths) - 2 * len(hits)
        if len(results) + len(truths):
            assert detection.pq == pytest.approx(sum(hits) / (len(hits) + false / 2))
            assert detection.f1 == pytest.approx(len(hits) / (len(hits) + false / 2))
        if len(results):
            assert detection.precision == pytest.approx(len(hits) / len(results))
        if len(truths):
            assert detection.recall == pytest.approx(len(hits) / len(truths))


def test_a_wide_rim_on_a_large_object() -> None:
    truth = np.zeros((400, 400), np.uint8)
    truth[50:350, 40:360] = 1
    result = np.zeros_like(truth)
    result[53:352, 44:355] = 1
    width = round(0.02 * math.hypot(300, 320))
    rims = boundary(result == 1, width), boundary(truth == 1, width)
    (pair,) = of(result, truth).pairs
    assert width == 9
    assert pair.boundary_iou == pytest.approx((rims[0] & rims[1]).sum() / (rims[0] | rims[1]).sum())
    assert pair.boundary_iou < pair.iou


def test_instances_are_matched_by_overlap_whatever_their_ids() -> None:
    truth = np.kron(np.arange(1, 10).reshape(3, 3), np.ones((10, 10), int))
    result = np.roll(truth, 1, axis=0) + 100
    found = of(result, truth)
    assert found.matched_by == "overlap"
    assert [(p.truth, p.result) for p in found.pairs] == [(n, n + 100) for n in range(1, 10)]
    shuffled = np.random.default_rng(0).permutation(10)[truth] + 1  # the same ids by chance
    found = of(shuffled, np.where(truth == 0, 0, truth))
    assert found.matched_by == "overlap"
    assert found.iou == 1


def test_same_ids_are_matched_by_id_even_if_one_is_bad() -> None:
    truth = np.kron(np.arange(1, 5).reshape(2, 2), np.ones((10, 10), int))
    result = truth.copy()
    result[:10, :9] = 2  # most of object 1 was given to 2
    found = of(result, truth)
    assert found.matched_by == "id"
    assert [p.iou for p in found.pairs] == pytest.approx([0.1, 100 / 190, 1, 1])


def test_missed_and_invented_objects() -> None:
    truth, result = np.zeros((2, 20, 20), int)
    truth[:5, :5], truth[10:15, 10:15] = 1, 2
    result[:5, :5], result[17:, 17:] = 7, 8
    found = of(result, truth)
    assert [(p.truth, p.result) for p in found.pairs] == [(1, 7), (2, None), (None, 8)]
    assert found.iou == 0.5
    first = found.detections[0]
    assert (first.precision, first.recall, first.f1, first.sq, first.pq) == (0.5, 0.5, 0.5, 1, 0.5)
    text = found.to_text()
    assert "2 objects against 2 true ones, matched by overlap" in text
    assert "true object 2 was not found" in text
    assert "object 8 has no true one" in text


def test_nothing_against_nothing() -> None:
    nothing = np.zeros((4, 4), int)
    found = of(nothing, nothing)
    said = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert said["pairs"] == []
    assert said["iou"] is None
    assert said["detections"][0]["recall"] is None
    assert "0 objects" in found.to_text()


def test_large_ids_and_volumes() -> None:
    truth = np.zeros((4, 20, 20), np.uint32)
    truth[1:3, 4:12, 4:12] = 4_000_000_000
    result = np.roll(truth, 1, axis=1)
    truth[0, 0, 0] = 7
    pairs = of(result, truth).pairs
    assert [p.truth for p in pairs] == [7, 4_000_000_000]
    assert pairs[1].iou == pytest.approx(7 / 9)
    below = np.where(truth > 0, truth.astype(np.int64), -1)
    assert of(below, truth).iou == 1
    assert of(np.where(below > 7, 9, below), truth).pairs[0].iou == 1


# ---------------------------------------------------------------- files

GRID = Grid.of((60, 80), [[0, 0.5, 300_000.25], [-0.5, 0, 2_999_999.75], [0, 0, 1]], "EPSG:32645")


def discs(shift: int = 0) -> np.ndarray:
    y, x = np.indices(GRID.shape)
    labels = np.zeros(GRID.shape, np.uint16)
    for n, (cy, cx) in enumerate([(15, 15), (15, 45), (42, 30), (40, 62)], 1):
        labels[np.hypot(y - cy, x - cx - shift) < 10 + n] = n
    return labels


def save_raster(path: Path, labels: np.ndarray, size: float = 0.5, space: str = "EPSG:32645") -> Path:
    place = rasterio.Affine(size, 0, 300_000, 0, -size, 3_000_000)
    profile = {"count": 1, "dtype": labels.dtype, "height": labels.shape[0], "width": labels.shape[1]}
    with rasterio.open(path, "w", "GTiff", **profile, transform=place, crs=space) as raster:
        raster.write(labels, 1)
    return path


def save_vectors(path: Path, labels: np.ndarray, space: str = "EPSG:32645", field: str = "id") -> Path:
    place = rasterio.Affine(0.5, 0, 300_000, 0, -0.5, 3_000_000)
    found = [(shapely.geometry.shape(g), int(n)) for g, n in rasterio.features.shapes(labels, labels > 0, 4, place)]
    frame = geopandas.GeoDataFrame({field: [n for _, n in found]}, geometry=[g for g, _ in found], crs="EPSG:32645")
    frame = frame.to_crs(space)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_file(path)
    return path


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".shp", ".parquet"])
def test_vectors_and_rasters_tell_the_same(tmp_path: Path, suffix: str) -> None:
    space = "EPSG:4326" if suffix == ".geojson" else "EPSG:32645"
    result, truth = save_raster(tmp_path / "r.tif", discs(2)), save_raster(tmp_path / "t.tif", discs())
    drawn = save_vectors(tmp_path / f"t{suffix}", discs(), space)
    expected = of(discs(2), discs())
    assert expected.matched_by == "id"
    assert compare(result, truth) == expected
    assert compare(result, drawn) == expected
    both = compare(save_vectors(tmp_path / "r.gpkg", discs(2)), drawn)
    assert [p.iou for p in both.pairs] == pytest.approx([p.iou for p in expected.pairs], abs=1e-6)
    assert [p.boundary_iou for p in both.pairs] == pytest.approx([p.boundary_iou for p in expected.pairs], abs=0.35)
    assert both.detections[0].pq == pytest.approx(expected.detections[0].pq, abs=1e-6)


def test_boundary_of_polygons(tmp_path: Path) -> None:
    """Squares of 100 and 99 units: rims are 2.83 wide, so each is a ring between two squares."""
    frames = {}
    for name, side in {"t": 100.0, "r": 99.0}.items():
        frames[name] = tmp_path / f"{name}.gpkg"
        square = geopandas.GeoDataFrame({"id": [1]}, geometry=[shapely.box(0, 0, side, side)], crs="EPSG:32632")
        square.to_file(frames[name])
    width = 0.02 * math.hypot(100, 100)
    rim_of_truth, rim_of_result = 100**2 - (100 - 2 * width) ** 2, 99**2 - (99 - 2 * width) ** 2
    shared = 99**2 - (100 - 2 * width) ** 2
    (pair,) = compare(frames["r"], frames["t"]).pairs
    assert pair.iou == pytest.approx(0.99**2)
    assert pair.boundary_iou == pytest.approx(shared / (rim_of_truth + rim_of_result - shared))


def test_volumes_must_lie_on_each_other(tmp_path: Path) -> None:
    labels = np.zeros((5, 20, 20), np.uint8)
    labels[1:4, 5:15, 5:15] = 3
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((0.7, 0.7, 3))
    sitk.WriteImage(image, tmp_path / "t.nii.gz")
    sitk.WriteImage(image, tmp_path / "r.nrrd")
    assert compare(tmp_path / "r.nrrd", tmp_path / "t.nii.gz").iou == 1
    image.SetOrigin((0.35, 0, 0))
    sitk.WriteImage(image, tmp_path / "moved.nrrd")
    with pytest.raises(UsageError, match=r"0\.5 samples apart: resample"):
        compare(tmp_path / "moved.nrrd", tmp_path / "t.nii.gz")


def test_what_does_not_fit_is_said_in_one_line(tmp_path: Path) -> None:
    truth = save_raster(tmp_path / "t.tif", discs())
    points = tmp_path / "points.gpkg"
    geopandas.GeoDataFrame(geometry=[shapely.Point(1, 1)], crs="EPSG:32645").to_file(points)
    bare = tmp_path / "bare.geojson"
    bare.write_text('{"type": "FeatureCollection", "features": [')
    volume = tmp_path / "v.nrrd"
    sitk.WriteImage(sitk.Image(8, 8, 8, sitk.sitkUInt8), volume)
    rgb = tmp_path / "rgb.tif"
    with rasterio.open(
        rgb, "w", width=80, height=60, count=3, dtype="uint8", transform=rasterio.Affine(1, 0, 5, 0, -1, 5)
    ) as raster:
        raster.write(np.ones((3, 60, 80), np.uint8))
    wrong: list[tuple[Path, type[PromptileError], str]] = [
        (tmp_path / "gone.tif", SourceError, "does not exist"),
        (save_raster(tmp_path / "small.tif", discs()[:50]), UsageError, "shape .* resample"),
        (save_raster(tmp_path / "fine.tif", discs(), 0.49), UsageError, "samples apart"),
        (save_raster(tmp_path / "zone.tif", discs(), space="EPSG:32644"), UsageError, "coordinate systems"),
        (points, SourceError, "polygons"),
        (bare, SourceError, "cannot be read"),
        (rgb, SourceError, "labels"),
    ]
    for path, error, text in wrong:
        with pytest.raises(error, match=text) as said:
            compare(path, truth)
        assert "\n" not in str(said.value)
    with pytest.raises(UsageError, match="flat"):
        compare(save_vectors(tmp_path / "o.gpkg", discs()), volume)


def test_ids_of_vectors(tmp_path: Path) -> None:
    truth = save_raster(tmp_path / "t.tif", discs())
    for field in ("id", "object", "name"):
        found = compare(save_vectors(tmp_path / f"{field}.gpkg", discs() * 10, field=field), truth)
        assert found.iou == 1
        ids = [p.result for p in found.pairs]
        assert ids == ([10, 20, 30, 40] if field != "name" else ids)
        assert sorted(filter(None, ids)) == ([10, 20, 30, 40] if field != "name" else [1, 2, 3, 4])


def test_labels_that_are_stored_as_floats(tmp_path: Path) -> None:
    labels = np.zeros((30, 40), np.uint8)
    labels[3:9, 5:20] = 4
    whole = save_raster(tmp_path / "a.tif", labels)
    floats = save_raster(tmp_path / "b.tif", labels.astype(np.float64))
    assert compare(floats, whole).to_json() == compare(whole, whole).to_json()
    with pytest.raises(SourceError, match="no labels"):
        compare(save_raster(tmp_path / "c.tif", labels + 0.5), whole)
