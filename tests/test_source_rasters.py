"""GeoTIFF and its relatives: half pixels, references, masks, overviews, and files that are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning

from kinds import NORTH_UP, noise, read_all, write_tif
from promptile.errors import SourceError, UsageError
from promptile.grid import PIXELS, Window
from promptile.sources import open_source
from promptile.sources.geotiff import centre_to_corner, corner_to_centre

ALBERS = "+proj=aea +lat_1=29.5 +lat_2=45.5 +lat_0=23.25 +lon_0=-96.5 +x_0=12 +y_0=0 +datum=NAD83 +units=m +no_defs"
finite = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(finite, min_size=6, max_size=6))
def test_corner_and_centre_are_inverse(values):
    transform = Affine(*values)
    back = centre_to_corner(corner_to_centre(transform))
    np.testing.assert_allclose(back, transform, rtol=1e-9, atol=1e-6)


def test_the_first_centre_is_half_a_sample_from_the_corner():
    affine = corner_to_centre(Affine(2, 0, 100, 0, -3, 200))
    assert (affine @ [0, 0, 1]).tolist() == [101, 198.5, 1]
    assert (affine @ [1, 0, 1]).tolist() == [101, 195.5, 1], "the first index is the row"


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32633", "EPSG:3857", "EPSG:2193"])
def test_a_registered_system_is_named(tmp_path, crs):
    write_tif(tmp_path / "a.tif", noise((1, 20, 30), np.uint8), crs=crs)
    assert open_source(tmp_path / "a.tif").grid.space == crs


def test_an_unregistered_system_is_kept_as_wkt(tmp_path):
    write_tif(tmp_path / "a.tif", noise((1, 20, 30), np.uint8), crs=ALBERS)
    space = open_source(tmp_path / "a.tif").grid.space
    with rasterio.open(tmp_path / "a.tif") as source:
        assert rasterio.crs.CRS.from_wkt(space) == source.crs
    assert "Albers" in space


def test_no_reference_means_pixels(tmp_path):
    with pytest.warns(NotGeoreferencedWarning):
        write_tif(tmp_path / "a.tif", noise((1, 20, 30), np.uint8), crs=None, transform=Affine.identity())
    grid = open_source(tmp_path / "a.tif").grid
    assert grid.space == PIXELS
    assert grid.to_world((3, 4)).tolist() == [4, 3]


def test_a_transform_without_a_system_is_kept(tmp_path):
    write_tif(tmp_path / "a.tif", noise((1, 20, 30), np.uint8), NORTH_UP, crs=None)
    grid = open_source(tmp_path / "a.tif").grid
    assert grid.space == PIXELS
    assert grid.to_world((0, 0)).tolist() == [100.25, 199.75]


def test_ground_control_points_alone_are_refused_with_the_cure(tmp_path):
    points = [GroundControlPoint(r, c, c + 10, 50 - r) for r, c in ((0, 0), (0, 30), (20, 0))]
    with rasterio.open(
        tmp_path / "a.tif",
        "w",
        driver="GTiff",
        width=30,
        height=20,
        count=1,
        dtype="uint8",
        gcps=points,
        crs="EPSG:4326",
    ) as target:
        target.write(noise((1, 20, 30), np.uint8))
    with pytest.raises(SourceError, match=r"ground control points only: warp it first with `gdalwarp a.tif OUT.tif`"):
        open_source(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_samples_are_refused(tmp_path, dtype):
    write_tif(tmp_path / "a.tif", np.ones((1, 20, 30), dtype))
    with pytest.raises(SourceError, match="complex samples"):
        open_source(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
)
def test_any_other_type_is_read_as_it_is(tmp_path, dtype):
    samples = noise((1, 20, 30), np.dtype(dtype), high=100)
    write_tif(tmp_path / "a.tif", samples)
    source = open_source(tmp_path / "a.tif")
    assert source.dtype == dtype
    np.testing.assert_array_equal(source.read(source.grid.window), samples)


def test_blocks_too_large_to_decode_are_refused(tmp_path):
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=40000, height=40000, count=1, dtype="uint8", tiled=True,
        blockxsize=32000, blockysize=32000, sparse_ok=True, compress="deflate", crs="EPSG:32633", transform=NORTH_UP,
    ):  # fmt: skip
        pass
    with pytest.raises(SourceError, match=r"blocks of 32000 × 32000 samples, 1.0 GB each: store it in tiles"):
        open_source(tmp_path / "a.tif")


def test_channels_by_description_are_named_once(tmp_path):
    write_tif(tmp_path / "a.tif", noise((4, 20, 30), np.uint8), photometric="MINISBLACK")
    with rasterio.open(tmp_path / "a.tif", "r+") as target:
        target.descriptions = ("nir", "nir", None, "swir")
    assert open_source(tmp_path / "a.tif").channels == ("nir", "2", "3", "swir")


def test_overviews_are_what_coarse_levels_are_read_from(tmp_path):
    write_tif(tmp_path / "a.tif", np.zeros((1, 2048, 2048), np.uint8))
    with rasterio.open(tmp_path / "a.tif", "r+") as target:
        target.build_overviews([2, 4, 8], Resampling.average)
        target.write(np.full((2048, 2048), 100, np.uint8), 1)  # the overviews still say 0
    source = open_source(tmp_path / "a.tif")
    assert source.levels == ((1, 1), (2, 2), (4, 4), (8, 8))
    means = [source.read(source.grid.coarsen(f).window, i).mean() for i, f in enumerate(source.levels)]
    assert means == [100, 0, 0, 0]


def test_levels_without_overviews_of_their_own_use_finer_ones(tmp_path):
    write_tif(tmp_path / "a.tif", np.zeros((1, 2048, 2048), np.uint8))
    with rasterio.open(tmp_path / "a.tif", "r+") as target:
        target.build_overviews([3], Resampling.average)
        target.write(np.full((2048, 2048), 100, np.uint8), 1)
    source = open_source(tmp_path / "a.tif")
    means = [source.read(source.grid.coarsen(f).window, i).mean() for i, f in enumerate(source.levels)]
    assert means == [100, 100, 0, 0], "a factor of 2 is finer than the overview of 3"


@pytest.mark.parametrize("side", [1021, 1023, 1025, 1531])
def test_overviews_of_odd_sides_do_not_drift(tmp_path, side):
    """A ramp tells where every coarse sample is: its value is its centre."""
    ramp = np.broadcast_to(np.arange(side, dtype=np.float64), (1, 600, side)).copy()
    write_tif(tmp_path / "a.tif", ramp)
    with rasterio.open(tmp_path / "a.tif", "r+") as target:
        target.build_overviews([2, 4, 8], Resampling.average)
    source = open_source(tmp_path / "a.tif")
    for level, (_, factor) in enumerate(source.levels):
        grid = source.grid.coarsen(source.levels[level])
        row = source.read(Window((5, 0), (1, grid.shape[1])), level)[0, 0]
        centres = np.arange(grid.shape[1]) * factor + (factor - 1) / 2
        whole = side // factor
        assert np.abs(row - centres)[:whole].max() < 0.05, "in samples of level 0"


def test_invalid_samples_do_not_bleed_into_levels(tmp_path):
    samples = np.full((1, 600, 600), 7, np.int16)
    samples[0, ::2, 1::2] = -9999
    samples[0, 300:] = -9999
    write_tif(tmp_path / "a.tif", samples, nodata=-9999)
    source = open_source(tmp_path / "a.tif")
    coarse = source.read(source.grid.coarsen(source.levels[1]).window, 1)[0]
    assert (coarse[:150] == 7).all()
    assert (coarse[150:] == -9999).all()


def test_nodata_that_no_sample_can_have_is_ignored(tmp_path):
    (tmp_path / "a.vrt").write_text(
        '<VRTDataset rasterXSize="30" rasterYSize="20"><GeoTransform>0,1,0,0,0,-1</GeoTransform>'
        '<VRTRasterBand dataType="Byte" band="1"><NoDataValue>-9999</NoDataValue></VRTRasterBand></VRTDataset>'
    )
    source = open_source(tmp_path / "a.vrt")
    assert source.valid(source.grid.window).all()


def test_a_damaged_block_is_a_source_error_when_it_is_read(tmp_path):
    write_tif(tmp_path / "a.tif", noise((1, 256, 256), np.uint8), compress="deflate")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    (tmp_path / "a.tif").write_bytes(content)
    source = open_source(tmp_path / "a.tif")
    with pytest.raises(SourceError, match=r"^a.tif cannot be read: .*[^\n]$"):
        source.read(source.grid.window)
    with pytest.raises(SourceError, match="cannot be read"):
        source.read(source.grid.window)  # and again, with a fresh handle


def test_a_truncated_file_is_a_source_error(tmp_path):
    write_tif(tmp_path / "a.tif", noise((1, 256, 256), np.uint8))
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match="cannot be read"):
        read_all(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("name", "content", "finding"),
    [
        ("a.tif", b"", "is empty"),
        ("a.tif", b"II*\0 and then nothing", "cannot be read"),
        ("a.txt", b"no image at all", "no format that GDAL or ITK knows"),
        ("a.nii.gz", b"no gzip", "cannot be read"),
        ("a.nrrd", b"NRRD0004\nsizes: x y\n\n", "cannot be read"),
        ("a.mha", b"ObjectType = Image\n", "cannot be read"),
        ("a.dcm", b"\0" * 128 + b"DICM" + b"\xff" * 64, "cannot be read"),
    ],
)
def test_what_is_no_image_is_a_source_error_of_one_line(tmp_path, name, content, finding):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=finding) as caught:
        open_source(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_path_that_does_not_exist(tmp_path):
    with pytest.raises(SourceError, match="does not exist"):
        open_source(tmp_path / "none.tif")


def test_options_of_other_kinds_are_refused(tmp_path):
    write_tif(tmp_path / "a.tif", noise((1, 20, 30), np.uint8))
    for options in ({"time": 0}, {"series": "1"}, {"channel_axis": 0}):
        with pytest.raises(UsageError, match=r"means nothing for a\.tif"):
            open_source(tmp_path / "a.tif", **options)
    with pytest.raises(UsageError, match="means nothing for an array"):
        open_source(np.zeros((4, 4)), time=1)
    with pytest.raises(UsageError, match="not list"):
        open_source([[1, 2], [3, 4]])


def test_arrays_that_are_no_image_are_refused():
    for array in (np.zeros(4), np.zeros((2, 2, 2, 2)), np.zeros((0, 4)), np.zeros((4, 4), complex), np.array([["a"]])):
        with pytest.raises(SourceError):
            open_source(array)


MEASURE = """
import sys, time
import promptile
from promptile.grid import Window
begin = time.perf_counter()
source = promptile.open(sys.argv[1])
source.read(Window((50_000, 70_000), (1024, 1024)))
source.valid(Window((50_000, 70_000), (1024, 1024)))
print(time.perf_counter() - begin)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux's /proc")
def test_one_window_of_ten_gigapixels(tmp_path):
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=100_000, height=100_000, count=1, dtype="uint8", tiled=True,
        blockxsize=512, blockysize=512, sparse_ok=True, compress="deflate", bigtiff="YES", crs="EPSG:32633",
        transform=NORTH_UP,
    ):  # fmt: skip
        pass
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "a.tif")], capture_output=True, text=True, check=True
    )
    seconds, kilobytes = map(float, done.stdout.split())
    assert not done.stderr
    assert kilobytes < 300e3
    assert seconds < 5  # below 1 on an idle machine, imports included
