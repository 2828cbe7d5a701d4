"""Vectors written from label images: attributes travel with their objects, memory stays flat."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from scipy import ndimage

from promptile import writers
from promptile.errors import OutputError, RunError
from promptile.grid import Grid, Window
from promptile.masks import ObjectMask
from promptile.vectors.shaping import Shaping

VECTORS = (".gpkg", ".geojson", ".fgb", ".parquet", ".shp")
GRID = Grid.of((150, 130), [[0, 0.5, 300_000.25], [-0.5, 0, 3_000_000.75], [0, 0, 1]], "EPSG:32645")


@dataclass
class LabelResult:
    """Label images in memory: wholes in layer 0, their parts in layer 1."""

    images: list[np.ndarray]
    grid: Grid = GRID
    origin: dict[str, Any] = field(default_factory=lambda: {"model": "basin"})

    @property
    def layers(self) -> int:
        return len(self.images)

    @property
    def objects(self) -> pd.DataFrame:
        rows = []
        for layer, image in enumerate(self.images):
            for number, s in enumerate(ndimage.find_objects(image.astype(np.int64)), 1):
                if s is not None:
                    count = np.count_nonzero(image == number)
                    box = [*(a.start for a in s), *(a.stop for a in s)]
                    rows.append(self.row(number, count, box) | {"layer": layer, "parent": number // 2})
        return pd.DataFrame(rows).sort_values("id", ignore_index=True)

    def row(self, number: int, count: int, box: list[int]) -> dict[str, Any]:
        edge = 0 in box[:2] or box[2] == self.grid.shape[0] or box[3] == self.grid.shape[1]
        known = {"id": number, "category": None, "score": number / 1000, "prompt": "everything", "tiles": 1}
        measured = {"area_m2": count * self.grid.sample_size, "bbox": box}
        return known | measured | {"touches_edge": edge, "open_edge": False}

    def mask(self, object_id: int) -> ObjectMask:
        raise AssertionError("objects of label images have no masks of their own")

    def read_labels(self, window: Window, layer: int = 0) -> np.ndarray:
        return self.images[layer][window.slices]


def drawn(layers: int = 1) -> LabelResult:
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=GRID.shape), 3)
    wholes = ndimage.label(smooth > 0)[0].astype(np.uint32)
    parts = ndimage.label(smooth > 0.05)[0].astype(np.uint32)
    parts[parts > 0] += wholes.max()
    return LabelResult([wholes, parts][:layers])


def read_vectors(path: Path) -> geopandas.GeoDataFrame:
    found = geopandas.read_parquet(path) if path.suffix == ".parquet" else geopandas.read_file(path)
    return found.sort_values("id", ignore_index=True)


@pytest.mark.parametrize("suffix", VECTORS)
@pytest.mark.parametrize("layers", [1, 2])
def test_attributes_travel_with_their_objects(tmp_path: Path, suffix: str, layers: int) -> None:
    result = drawn(layers)
    found, table = read_vectors(writers.write(result, tmp_path / f"o{suffix}")), result.objects
    for name in ("id", "score", "area_m2", "layer", "parent", "tiles"):
        assert found[name].tolist() == pytest.approx(table[name].tolist())
    touches = "touch_edge" if suffix == ".shp" else "touches_edge"
    assert found[touches].astype(bool).tolist() == table["touches_edge"].tolist()
    assert "bbox" not in found
    assert found.geometry.is_valid.all()
    areas = found.geometry.to_crs(GRID.space).area
    assert areas.tolist() == pytest.approx(table["area_m2"].tolist(), rel=1e-2 if suffix == ".geojson" else 1e-12)
    centres = shapely.points(GRID.to_world(np.argwhere(result.images[0] == 3)))
    if suffix != ".geojson":
        assert shapely.contains(found.geometry[2], centres).all()


def test_labels_that_lack_objects_of_the_table_are_damaged(tmp_path: Path) -> None:
    result = drawn()
    table = result.objects
    result.images[0][result.images[0] == 5] = 0
    hidden = Hidden(result.images, table)
    with pytest.raises(RunError, match="lack 1 object "):
        writers.write(hidden, tmp_path / "o.gpkg")
    assert not list(tmp_path.iterdir())


class Hidden(LabelResult):
    """A result whose table is older than its labels."""

    def __init__(self, images: list[np.ndarray], table: pd.DataFrame) -> None:
        super().__init__(images)
        self._table = table

    @property
    def objects(self) -> pd.DataFrame:
        return self._table


@pytest.mark.parametrize("suffix", VECTORS)
def test_labels_that_do_not_fit_the_table_are_an_error(tmp_path: Path, suffix: str) -> None:
    result = drawn()
    broken = Hidden([np.where(result.images[0] == 5, 9999, result.images[0]).astype(np.uint32)], result.objects)
    with pytest.raises(RunError, match="table of objects"):
        writers.write(broken, tmp_path / f"o{suffix}")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("suffix", VECTORS)
def test_no_objects(tmp_path: Path, suffix: str) -> None:
    result = drawn()
    empty = Hidden([np.zeros(GRID.shape, np.uint32)], result.objects.iloc[:0])
    assert len(geopandas.read_parquet(writers.write(empty, tmp_path / "o.parquet"))) == 0
    writers.write(empty, tmp_path / f"p{suffix}")


# ---------------------------------------------------------------- shaping


def test_borders_stay_shared_in_files(tmp_path: Path) -> None:
    result = drawn()
    for suffix in (".gpkg", ".fgb", ".parquet"):
        path = writers.write(result, tmp_path / f"o{suffix}", shaping=Shaping(simplify=0.6, smooth=True))
        found, table = read_vectors(path), result.objects
        assert found["id"].tolist() == table["id"].tolist()
        assert found.geometry.is_valid.all()
        assert shapely.coverage_is_valid(found.geometry.values)
        assert found.geometry.area.sum() == pytest.approx(table["area_m2"].sum(), rel=0.05)


@pytest.mark.parametrize("suffix", VECTORS)
def test_areas_are_those_of_the_table(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    result = drawn()
    found = read_vectors(writers.write(result, tmp_path / f"o{suffix}", shaping=Shaping(min_area=5)))
    table = result.objects
    assert found["id"].tolist() == table["id"][table["area_m2"] >= 5].tolist()
    assert not caplog.text


def test_masks_are_shaped_one_by_one(tmp_path: Path) -> None:
    """Two overlapping discs with a hole of four samples (1 m²) each, and a speck."""
    y, x = np.indices(GRID.shape)
    samples = [(y - 70) ** 2 + (x - c) ** 2 < 900 for c in (45, 75)] + [(y == 3) & (x == 3)]
    for disc in samples[:2]:
        disc[60:62, 60:62] = False
    masks = [ObjectMask.of(GRID.shape, GRID.window, s) for s in samples]
    result = MaskResult(LabelResult([s.astype(np.uint32) * n for n, s in enumerate(samples, 1)]).objects, masks)
    exact = read_vectors(writers.write(result, tmp_path / "exact.gpkg"))
    shaping = Shaping(simplify=0.6, smooth=2, fill_holes=1, min_area=1)
    found = read_vectors(writers.write(result, tmp_path / "o.gpkg", shaping=shaping))
    assert exact["id"].tolist() == [1, 2, 3]
    assert found["id"].tolist() == [1, 2]
    assert found.geometry.is_valid.all()
    for a, b in zip(exact.geometry, found.geometry, strict=False):
        assert [len(p.interiors) for p in a.geoms] == [1]
        assert [len(p.interiors) for p in b.geoms] == [0]
        assert b.area == pytest.approx(a.area, rel=0.02)
        assert shapely.hausdorff_distance(a.geoms[0].exterior, b.geoms[0].exterior) < 1.2


@dataclass
class MaskResult:
    """Objects that may overlap, each with a mask of its own."""

    objects: pd.DataFrame
    masks: list[ObjectMask]
    grid: Grid = GRID
    origin: dict[str, Any] = field(default_factory=dict)
    layers: int = 0

    def mask(self, object_id: int) -> ObjectMask:
        return self.masks[object_id - 1]

    def read_labels(self, window: Window, layer: int = 0) -> np.ndarray:
        raise AssertionError("vectors of overlapping objects are made from their masks")


@pytest.mark.parametrize("suffix", [s for s in writers.SUFFIXES if s not in (*VECTORS, ".seg.nrrd", *writers.DICOM)])
def test_only_vectors_are_shaped(tmp_path: Path, suffix: str) -> None:
    grid = GRID if "tif" in suffix else Grid.of((20, 20))
    for call in (
        lambda path, shaping: writers.check(path, grid, shaping=shaping),
        lambda path, shaping: writers.write(LabelResult([np.zeros((20, 20), np.uint32)], grid), path, shaping=shaping),
    ):
        with pytest.raises(OutputError, match=r"--simplify.*use \.gpkg"):
            call(tmp_path / f"o{suffix}", Shaping(min_area=1))
    writers.check(tmp_path / f"o{suffix}", grid, shaping=Shaping())
