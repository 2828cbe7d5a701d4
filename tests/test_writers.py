"""The contract of all writers: what any of them makes is read again by another library."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas
import nibabel
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
import shapely
import SimpleITK as sitk
import zarr
from pyproj import CRS, Transformer

from promptile import writers
from promptile.errors import OutputError
from promptile.grid import LPS, Grid, Window
from promptile.masks import ObjectMask
from promptile.measures import measure, measure_name
from promptile.sources import open_source
from promptile.writers import values

VECTORS = (".gpkg", ".geojson", ".fgb", ".parquet", ".shp")
RASTERS = (".tif", ".tiff")
VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha")


@dataclass
class FakeResult:
    """A result in memory: overlapping objects with attributes, one with a hole, one in two pieces."""

    grid: Grid
    masks: dict[int, ObjectMask]
    origin: dict[str, Any] = field(
        default_factory=lambda: {"image": {"name": "scene"}, "model": "basin", "promptile": "0"}
    )
    broken: BaseException | None = None

    @classmethod
    def drawn(cls, grid: Grid, ids: tuple[int, ...] = (1, 7, 300)) -> FakeResult:
        samples = np.zeros((len(ids), *grid.shape), bool)
        last = [slice(2, n - 3) for n in grid.shape[-1:]]
        for i, canvas in enumerate(samples):
            flat = canvas if grid.ndim == 2 else canvas[1]
            flat[1 + 2 * i : 8 + 2 * i, last[0]] = True
            flat[3 + 2 * i : 5 + 2 * i, 4:6] = False
            flat[10 + 2 * i, i] = True
        whole = grid.window
        return cls(grid, {n: ObjectMask.of(grid.shape, whole, s) for n, s in zip(ids, samples, strict=True)})

    @property
    def objects(self) -> pd.DataFrame:
        rows = [
            {
                "id": number,
                "category": None if number == 7 else f"château {number}",
                "score": number / 301,
                **measure(mask, self.grid),
                "prompt": "box",
                "bbox": [*mask.window.start, *mask.window.stop],
                "tiles": 2,
                "touches_edge": mask.touches_edge(),
                "open_edge": False,
            }
            for number, mask in self.masks.items()
        ]
        names = ["id", "category", "score", "prompt", "bbox", "tiles", "touches_edge", "open_edge"]
        return pd.DataFrame(rows) if rows else pd.DataFrame(columns=names)

    def mask(self, object_id: int) -> ObjectMask:
        if self.broken is not None:
            raise self.broken
        return self.masks[object_id]

    layers = 0

    def read_labels(self, window: Window, layer: int = 0) -> np.ndarray:
        if self.broken is not None:
            raise self.broken
        labels = np.zeros(window.shape, np.uint32)
        for number, mask in self.masks.items():
            labels[mask.read(window)] = number
        return labels


def turned(angle: float, size: float) -> list[list[float]]:
    c, s = size * np.cos(angle), size * np.sin(angle)
    return [[s, c, 500_000.25], [-c, s, 5_000_000.75], [0, 0, 1]]


CUSTOM = CRS.from_proj4("+proj=laea +lat_0=47.3 +lon_0=8.5 +ellps=bessel +units=m").to_wkt()
MAPS = {
    "north_up": Grid.of((40, 30), [[0, 0.3, 300_000.1], [-0.3, 0, 3_000_000.7], [0, 0, 1]], "EPSG:32645"),
    "south_up": Grid.of((40, 30), [[0, 0.3, 300_000.1], [0.3, 0, 3_000_000.7], [0, 0, 1]], "EPSG:32645"),
    "rotated": Grid.of((40, 30), turned(0.4, 2), "EPSG:32632"),
    "geographic": Grid.of((40, 30), [[0, 1e-5, 8.3], [-1e-5, 0, 47.1], [0, 0, 1]], "EPSG:4326"),
    "centimetres": Grid.of((40, 30), [[0, 0.01, 300_000], [-0.01, 0, 3_000_000], [0, 0, 1]], "EPSG:32645"),
    "custom": Grid.of((40, 30), [[0, 5, -2000], [-5, 0, 4000], [0, 0, 1]], CUSTOM),
    "mercator": Grid.of((40, 30), [[0, 10, 1e6], [-10, 0, 8e6], [0, 0, 1]], "EPSG:3857"),
}
FLAT = Grid.of((40, 30))
SLICE = Grid.of((40, 30), [[0, 0.7, -30], [0.9, 0, 12], [0, 0, 1]], LPS)


def oblique() -> Grid:
    c, s = np.cos(0.3), np.sin(0.3)
    axes = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.diag([0.8, 0.8, 2.5])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes[:, ::-1], (-100.5, 20.25, 300.125)
    return Grid.of((5, 40, 30), affine, LPS)


SOLIDS = {
    "oblique": oblique(),
    "flipped": Grid.of((5, 40, 30), [[0, 0, -1, 9], [0, -2, 0, 8], [3, 0, 0, 7], [0, 0, 0, 1]], LPS),
    "pixels": Grid.of((5, 40, 30)),
}


def read_vectors(path: Path) -> geopandas.GeoDataFrame:
    return geopandas.read_parquet(path) if path.suffix == ".parquet" else geopandas.read_file(path)


def rasterised(geometry: shapely.Geometry, grid: Grid) -> np.ndarray:
    """Which samples of the grid have their centre in a geometry in world coordinates."""
    centres = grid.to_world(np.argwhere(np.ones(grid.shape)))
    return shapely.contains_xy(geometry, centres).reshape(grid.shape)


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# ---------------------------------------------------------------- vectors


@pytest.mark.parametrize("suffix", [s for s in VECTORS if s != ".geojson"])
@pytest.mark.parametrize("grid", MAPS.values(), ids=MAPS)
def test_vectors_keep_place_and_attributes(tmp_path: Path, suffix: str, grid: Grid) -> None:
    result = FakeResult.drawn(grid)
    path = writers.write(result, tmp_path / f"objects{suffix}")
    found = read_vectors(path).sort_values("id")  # FlatGeobuf sorts by place
    assert CRS(found.crs).equals(CRS(grid.space), ignore_axis_order=True) or suffix == ".shp"
    assert found["id"].tolist() == [1, 7, 300]
    assert found["category"].fillna("none").tolist() == ["château 1", "none", "château 300"]
    assert found["score"].tolist() == pytest.approx([n / 301 for n in (1, 7, 300)])
    assert found["area_m2"].tolist() == pytest.approx(result.objects["area_m2"].tolist(), rel=1e-9)
    assert found["tiles"].tolist() == [2, 2, 2]
    assert "bbox" not in found
    touches = "touch_edge" if suffix == ".shp" else "touches_edge"
    assert found[touches].astype(bool).tolist() == result.objects["touches_edge"].tolist()
    assert not found["open_edge"].astype(bool).any()
    corners = grid.to_world(np.argwhere(np.ones(np.add(grid.shape, 1))) - 0.5)
    for number, geometry in zip(found["id"], found.geometry, strict=True):
        assert geometry.is_valid
        assert (rasterised(geometry, grid) == result.masks[number].read(grid.window)).all()
        distance = np.abs(shapely.get_coordinates(geometry)[:, None] - corners[None]).max(-1).min(axis=1)
        assert distance.max() <= 1e-6 * min(grid.spacing)


@pytest.mark.parametrize("grid", MAPS.values(), ids=MAPS)
def test_geojson_is_rfc_7946(tmp_path: Path, grid: Grid) -> None:
    result = FakeResult.drawn(grid)
    path = writers.write(result, tmp_path / "objects.geojson")
    found = geopandas.read_file(path)
    assert '"crs"' not in path.read_text(encoding="utf-8")
    assert found["id"].tolist() == [1, 7, 300]
    assert found.geometry.is_valid.all()
    assert all(p.exterior.is_ccw for g in found.geometry for p in getattr(g, "geoms", [g]))
    back = Transformer.from_crs("OGC:CRS84", grid.space, always_xy=True)
    corners = grid.to_world(np.argwhere(np.ones(np.add(grid.shape, 1))) - 0.5)
    for number, geometry in zip(found["id"], found.geometry, strict=True):
        here = shapely.transform(geometry, lambda p: np.column_stack(back.transform(p[:, 0], p[:, 1])))
        distance = np.abs(shapely.get_coordinates(here)[:, None] - corners[None]).max(-1).min(axis=1)
        assert distance.max() <= 0.01 * min(grid.spacing)
        assert (rasterised(here, grid) == result.masks[number].read(grid.window)).all()


def test_geojson_edges_stay_straight_on_the_map(tmp_path: Path) -> None:
    """A square of 200 km: its edges in degrees, taken as straight, would be kilometres off."""
    grid = Grid.of((2000, 2000), [[0, 100, 600_000], [-100, 0, 7_000_000], [0, 0, 1]], "EPSG:32633")
    mask = ObjectMask.of(grid.shape, grid.window, np.ones(grid.shape, bool))
    path = writers.write(FakeResult(grid, {1: mask}), tmp_path / "square.geojson")
    ring = geopandas.read_file(path).geometry.explode().iloc[0].exterior
    between = shapely.line_interpolate_point(ring, np.linspace(0, 1, 4001), normalized=True)
    back = Transformer.from_crs("OGC:CRS84", grid.space, always_xy=True)
    index = grid.to_index(np.column_stack(back.transform(shapely.get_x(between), shapely.get_y(between))))
    off = np.minimum(np.abs(index + 0.5), np.abs(index - 1999.5)).min(axis=1)
    assert off.max() < 0.02


def test_geojson_over_the_antimeridian_is_cut(tmp_path: Path) -> None:
    grid = Grid.of((40, 30), [[0, 1000, 725_000], [-1000, 0, 5_000_000], [0, 0, 1]], "EPSG:32660")
    result = FakeResult.drawn(grid, (1,))
    found = geopandas.read_file(writers.write(result, tmp_path / "o.geojson"))
    west, _, east, _ = found.total_bounds
    assert (west, east) == (-180, 180)
    width = sum(p.bounds[2] - p.bounds[0] for p in found.geometry[0].geoms)
    assert width < 2


@pytest.mark.parametrize("grid", [FLAT, SLICE], ids=["pixels", "slice"])
@pytest.mark.parametrize("suffix", [s for s in VECTORS if s != ".geojson"])
def test_vectors_without_a_map(tmp_path: Path, suffix: str, grid: Grid) -> None:
    result = FakeResult.drawn(grid)
    found = read_vectors(writers.write(result, tmp_path / f"o{suffix}")).sort_values("id", ignore_index=True)
    assert found.crs is None or found.crs.to_authority() is None
    assert measure_name(grid) in found
    assert (rasterised(found.geometry[0], grid) == result.masks[1].read(grid.window)).all()


def test_geopackage_says_where_it_comes_from(tmp_path: Path) -> None:
    path = writers.write(FakeResult.drawn(MAPS["north_up"]), tmp_path / "o.gpkg")
    said = pyogrio.read_info(path)["layer_metadata"]
    assert said["model"] == "basin"
    assert pyogrio.read_info(path)["layer_name"] == "o"
    assert pyogrio.read_info(path)["geometry_type"] == "MultiPolygon"


@pytest.mark.parametrize("suffix", VECTORS)
def test_an_empty_result_is_a_valid_empty_layer(tmp_path: Path, suffix: str) -> None:
    grid = MAPS["north_up"]
    empty = ObjectMask.of(grid.shape, Window((0, 0), (1, 1)), np.zeros((1, 1), bool))
    for name, masks in {"none": {}, "hollow": {3: empty}}.items():
        found = read_vectors(writers.write(FakeResult(grid, masks), tmp_path / f"{name}{suffix}"))
        assert len(found) == 0
        if suffix != ".geojson":  # a GeoJSON file has no fields without features
            assert {"id", "category", "score", "area_m2", "open_edge"} <= set(found)
            assert found.crs is not None


def test_many_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptile.writers.features._BATCH_OBJECTS", 3)
    grid = Grid.of((50, 50), [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], "EPSG:32632")
    masks = {n + 1: ObjectMask.of(grid.shape, Window((n, n), (1, 2)), np.ones((1, 2), bool)) for n in range(20)}
    for suffix in VECTORS[:1] + VECTORS[2:]:
        found = read_vectors(writers.write(FakeResult(grid, masks), tmp_path / f"o{suffix}"))
        found = found.sort_values("id")  # FlatGeobuf sorts by place
        assert found["id"].tolist() == list(masks)
        assert found.geometry.bounds["minx"].tolist() == [n - 0.5 for n in range(20)]


# ---------------------------------------------------------------- rasters and volumes


def original(path: Path, grid: Grid, transform: rasterio.Affine | None) -> None:
    place = {"crs": grid.space, "transform": transform} if transform else {}
    with rasterio.open(path, "w", width=30, height=40, count=1, dtype="uint8", **place) as image:
        image.write(np.ones((1, 40, 30), np.uint8))


@pytest.mark.parametrize("suffix", RASTERS)
@pytest.mark.parametrize(
    ("transform", "space"),
    [
        (rasterio.Affine(0.3, 0, 300_000.1, 0, -0.3, 3_000_000.7), "EPSG:32645"),
        (rasterio.Affine(0.3, 0, 300_000.1, 0, 0.3, 3_000_000.7), "EPSG:32645"),
        (rasterio.Affine(2.582, -0.7894, 500_000.3, 0.7894, 2.582, 5_000_000.9), CUSTOM),
        (rasterio.Affine(1 / 3600, 0, 8 + 1 / 3, 0, -1 / 3600, 47.1), "EPSG:4326"),
    ],
    ids=["north_up", "south_up", "rotated", "thirds"],
)
def test_label_rasters_lie_exactly_on_the_image(
    tmp_path: Path, suffix: str, transform: rasterio.Affine, space: str
) -> None:
    image = tmp_path / "image.tif"
    original(image, Grid.of((40, 30), space=space), transform)
    result = FakeResult.drawn(open_source(image).grid)
    path = writers.write(result, tmp_path / f"labels{suffix}")
    with rasterio.open(path) as labels, rasterio.open(image) as source:
        assert labels.transform == source.transform
        assert labels.crs == source.crs
        assert labels.dtypes == ("uint16",)
        assert labels.nodata is None
        assert (labels.read(1) == result.read_labels(result.grid.window)).all()
        assert labels.tags()["model"] == "basin"


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("grid", [FLAT, SLICE], ids=["pixels", "slice"])
def test_label_rasters_without_a_map(tmp_path: Path, grid: Grid) -> None:
    path = writers.write(FakeResult.drawn(grid), tmp_path / "labels.tif")
    with rasterio.open(path) as labels:
        assert labels.crs is None
        assert labels.transform.is_identity == (grid == FLAT)
    assert open_source(path).grid.affine == grid.affine


def test_label_rasters_are_cogs_of_the_smallest_type(tmp_path: Path) -> None:
    grid = Grid.of((2500, 3000), [[0, 1, 0.5], [-1, 0, 0.5], [0, 0, 1]], "EPSG:32632")
    for number, dtype in ((255, "uint8"), (256, "uint16"), (65536, "uint32")):
        mask = ObjectMask.of(grid.shape, Window((2040, 2040), (20, 20)), np.ones((20, 20), bool))
        result = FakeResult(grid, {number: mask})
        with rasterio.open(writers.write(result, tmp_path / f"{dtype}.tif")) as labels:
            assert labels.dtypes == (dtype,)
            assert labels.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert labels.overviews(1) == [2, 4, 8]
            assert (labels.read(1) == result.read_labels(grid.window)).all()
            assert set(np.unique(labels.read(1, out_shape=(625, 750)))) <= {0, number}
        assert (tmp_path / f"{dtype}.tif").stat().st_size < 20_000  # blocks without labels take no space


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_value_rasters_have_means_for_overviews(tmp_path: Path) -> None:
    grid, samples = Grid.of((1024, 1024)), np.indices((1024, 1024)).sum(0) % 2 / np.float32(2)
    values.write([(grid.window, samples)], grid, path := tmp_path / "edges.tif", {})
    with rasterio.open(path) as written:
        assert written.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        np.testing.assert_array_equal(written.read(1), samples)
        assert (written.read(1, out_shape=(512, 512)) == 0.25).all()


@pytest.mark.parametrize("suffix", VOLUMES)
@pytest.mark.parametrize("grid", SOLIDS.values(), ids=SOLIDS)
def test_label_volumes_lie_on_the_image(tmp_path: Path, suffix: str, grid: Grid) -> None:
    result = FakeResult.drawn(grid)
    path = writers.write(result, tmp_path / f"labels{suffix}")
    labels = sitk.ReadImage(str(path))
    assert labels.GetPixelID() == sitk.sitkUInt16
    assert (sitk.GetArrayFromImage(labels) == result.read_labels(grid.window)).all()
    tolerance = 2e-4 if "nii" in suffix else 1e-9  # NIfTI stores 32-bit floats
    for index in ((0, 0, 0), (4, 39, 29), (1, 20, 3)):
        place = labels.TransformIndexToPhysicalPoint(index[::-1])
        assert place == pytest.approx(grid.to_world(index), abs=tolerance)
    assert labels.GetSpacing() == pytest.approx(grid.spacing[::-1], rel=1e-6)
    if "nii" in suffix:
        ras = nibabel.load(path).affine @ [29, 39, 4, 1]
        assert (ras[:3] * (-1, -1, 1)) == pytest.approx(grid.to_world((4, 39, 29)), abs=tolerance)


@pytest.mark.parametrize("suffix", VOLUMES)
def test_flat_medical_images(tmp_path: Path, suffix: str) -> None:
    result = FakeResult.drawn(SLICE)
    labels = sitk.ReadImage(str(writers.write(result, tmp_path / f"labels{suffix}")))
    assert (sitk.GetArrayFromImage(labels).squeeze() == result.read_labels(SLICE.window)).all()
    if "nii" not in suffix:
        assert labels.TransformIndexToPhysicalPoint((29, 39)) == pytest.approx(SLICE.to_world((39, 29)))


@pytest.mark.data
@pytest.mark.parametrize("suffix", VOLUMES)
def test_a_real_ct_keeps_its_header(tmp_path: Path, shared: Path, suffix: str) -> None:
    file = shared / "med" / "totalseg_ct" / "image.nii.gz"
    if not file.exists():
        pytest.skip(f"no {file}")
    source = open_source(file)
    mask = ObjectMask.of(source.grid.shape, Window((3, 4, 5), (6, 7, 8)), np.ones((6, 7, 8), bool))
    labels = sitk.ReadImage(str(writers.write(FakeResult(source.grid, {1: mask}), tmp_path / f"labels{suffix}")))
    image = sitk.ReadImage(str(file))
    assert labels.GetSpacing() == pytest.approx(image.GetSpacing(), rel=1e-12)
    assert labels.GetOrigin() == pytest.approx(image.GetOrigin(), rel=1e-12)
    assert labels.GetDirection() == pytest.approx(image.GetDirection(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("grid", [*SOLIDS.values(), MAPS["rotated"], FLAT], ids=[*SOLIDS, "rotated", "flat"])
def test_label_zarr(tmp_path: Path, grid: Grid) -> None:
    result = FakeResult.drawn(grid)
    path = writers.write(result, tmp_path / "labels.zarr")
    group = zarr.open_group(path, mode="r")
    assert (np.asarray(group["0"]) == result.read_labels(grid.window)).all()
    assert group.attrs["ome"]["version"] == "0.5"
    (multiscale,) = group.attrs["ome"]["multiscales"]
    assert [axis["name"] for axis in multiscale["axes"]] == ["z", "y", "x"][-grid.ndim :]
    scale, _ = multiscale["datasets"][0]["coordinateTransformations"]
    assert np.abs(scale["scale"]) == pytest.approx(grid.spacing)
    properties = group.attrs["ome"]["image-label"]["properties"]
    assert [p["label-value"] for p in properties] == [1, 7, 300]
    assert properties[1]["category"] is None
    assert Grid.of(grid.shape, group.attrs["promptile"]["affine"], group.attrs["promptile"]["space"]) == grid


@pytest.mark.parametrize("shape", [(1300, 2500), (30, 140, 200)])
def test_label_zarr_has_coarser_levels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    place = np.diag([2.0, 3.0, 0.5][: len(shape)])[:, ::-1]
    affine = np.block([[place, np.full((len(shape), 1), 7.0)], [np.zeros((1, len(shape))), np.ones((1, 1))]])
    grid = Grid.of(shape, affine, LPS)
    result = FakeResult.drawn(grid)
    path = writers.write(result, tmp_path / "labels.zarr")
    whole = result.read_labels(grid.window)
    source = open_source(path)
    levels = [(1, 1), (2, 2), (4, 4), (4, 8)] if len(shape) == 2 else [(1, 1, 1), (1, 2, 2), (1, 4, 4)]
    assert len(zarr.open_group(path, mode="r").attrs["ome"]["multiscales"][0]["datasets"]) == len(levels)
    assert list(source.levels[: len(levels)]) == levels  # the source may add some
    for number, factors in enumerate(levels):
        strided = whole[tuple(slice(None, None, f) for f in factors)]
        assert (source.read(Window.of(strided.shape), number)[0] == strided).all()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("suffix", [*RASTERS, *VOLUMES, ".zarr"])
def test_an_empty_result_is_all_background(tmp_path: Path, suffix: str) -> None:
    path = writers.write(FakeResult(FLAT, {}), tmp_path / f"labels{suffix}")
    labels = open_source(path)
    assert labels.dtype == np.uint8
    assert not labels.read(labels.grid.window).any()


# ---------------------------------------------------------------- places


ANYWHERE = [suffix for suffix in writers.SUFFIXES if suffix not in writers.DICOM]


def grid_for(suffix: str) -> Grid:
    return MAPS["north_up"] if suffix in VECTORS + RASTERS else SOLIDS["oblique"]


@pytest.mark.parametrize("suffix", ANYWHERE)
def test_an_existing_file_needs_overwrite(tmp_path: Path, suffix: str) -> None:
    result = FakeResult.drawn(grid_for(suffix))
    path = writers.write(result, tmp_path / f"o{suffix}")
    made = leftovers(tmp_path)
    with pytest.raises(OutputError, match="--overwrite"):
        writers.write(result, path)
    with pytest.raises(OutputError, match="--overwrite"):
        writers.check(path, result.grid)
    other = FakeResult.drawn(result.grid, (2,))
    writers.write(other, path, overwrite=True)
    assert leftovers(tmp_path) == made
    if suffix in VECTORS:
        assert read_vectors(path)["id"].tolist() == [2]
    else:
        source = open_source(path)
        assert source.read(source.grid.window).max() == 2


@pytest.mark.parametrize("error", [ValueError("torn"), KeyboardInterrupt()], ids=["error", "interrupt"])
@pytest.mark.parametrize("suffix", ANYWHERE)
def test_nothing_half_written_stays(tmp_path: Path, suffix: str, error: BaseException) -> None:
    result = FakeResult.drawn(grid_for(suffix))
    path = writers.write(result, tmp_path / f"o{suffix}")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    result.broken = error
    with pytest.raises(type(error)):
        writers.write(result, path, overwrite=True)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert leftovers(tmp_path) == sorted({p.relative_to(tmp_path).parts[0] for p in before})


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, {tests!r})
from test_writers import ANYWHERE, FakeResult, grid_for
from promptile import writers
from promptile.errors import OutputError
from promptile.masks import ObjectMask

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # a write beyond fails as on a full disk
for suffix in ANYWHERE:
    grid = grid_for(suffix)
    grid = type(grid)((*grid.shape[:-2], 600, 600), grid.affine, grid.space)
    samples = (np.random.default_rng(n).random(grid.shape) < 0.02 for n in range(5))
    masks = {{n: ObjectMask.of(grid.shape, grid.window, s) for n, s in enumerate(samples, 1)}}
    try:
        writers.write(FakeResult(grid, masks), Path({folder!r}) / f"o{{suffix}}")
    except OutputError as error:
        print(error)
"""


def test_a_full_disk_is_said_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    script = FULL_DISK.format(tests=str(Path(__file__).parent), folder=str(folder))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == len(ANYWHERE), done.stdout + done.stderr
    for line, suffix in zip(lines, ANYWHERE, strict=True):
        assert line.startswith(f"{folder}/o{suffix} cannot be written: ")
    assert leftovers(folder) == []


def test_sidecars_of_the_old_file_go(tmp_path: Path) -> None:
    writers.write(FakeResult.drawn(MAPS["north_up"]), tmp_path / "o.shp")
    (tmp_path / "o.qix").write_text("an index of the old shapes")
    writers.write(FakeResult.drawn(FLAT), tmp_path / "o.shp", overwrite=True)
    assert leftovers(tmp_path) == ["o.cpg", "o.dbf", "o.shp", "o.shx"]


def refusals(tmp_path: Path) -> dict[str, tuple[Path, Grid, str]]:
    north, solid = MAPS["north_up"], SOLIDS["oblique"]
    return {
        "unknown": (tmp_path / "o.png", north, r"\.gpkg .*\.zarr"),
        "dicom": (tmp_path / "o.dcm", solid, r"\.nii\.gz"),
        "no body": (tmp_path / "o.seg.dcm", north, r"medical volumes.*\.tif"),
        "none": (tmp_path / "objects", north, r"\.gpkg"),
        "only": (tmp_path / ".gpkg", north, r"\.gpkg"),
        "run": (tmp_path / "o.run.zarr", north, "name of a run"),
        "solid vector": (tmp_path / "o.gpkg", solid, r"3D: use \.nii"),
        "solid raster": (tmp_path / "o.tif", solid, r"3D: use \.nii"),
        "map volume": (tmp_path / "o.nii.gz", north, r"use \.tif"),
        "pixels": (tmp_path / "o.geojson", FLAT, r"use \.gpkg"),
        "local": (
            tmp_path / "o.geojson",
            Grid.of((3, 3), space='LOCAL_CS["site",UNIT["metre",1]]'),
            r"use \.gpkg",
        ),
        "folder": (tmp_path / "gone" / "o.gpkg", north, "mkdir"),
    }


@pytest.mark.parametrize("name", refusals(Path()))
def test_what_cannot_be_written_is_refused_first(tmp_path: Path, name: str) -> None:
    path, grid, cure = refusals(tmp_path)[name]
    with pytest.raises(OutputError, match=cure) as refused:
        writers.check(path, grid)
    assert "\n" not in str(refused.value)


def test_folders_are_not_replaced_blindly(tmp_path: Path) -> None:
    folder = tmp_path / "o.zarr"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years")
    with pytest.raises(OutputError, match="another name"):
        writers.check(folder, FLAT, overwrite=True)
    (tmp_path / "o.gpkg").mkdir()
    with pytest.raises(OutputError, match="another name"):
        writers.check(tmp_path / "o.gpkg", FLAT, overwrite=True)


def test_suffixes_in_capitals_are_known(tmp_path: Path) -> None:
    for suffix in ANYWHERE:
        writers.check(tmp_path / f"O{suffix.upper()}", grid_for(suffix))


def test_our_own_zarr_comes_back_where_it_was(tmp_path: Path) -> None:
    affine = [[0.3, 1.2, 500000.5], [-1.2, 0.3, 5000000.25], [0, 0, 1]]
    result = FakeResult.drawn(Grid.of((40, 50), affine, "EPSG:32633"))
    again = open_source(writers.write(result, tmp_path / "labels.zarr"))
    assert again.grid == result.grid
    assert (again.read(again.grid.window)[0] == result.read_labels(again.grid.window)).all()
