"""OME-Zarr as it is found: levels that fit and those that do not, missing metadata, and what is no image."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

from kinds import block_means, noise, read_all
from perfect import Perfect
from promptile import Prompts, Tiling, segment
from promptile.errors import SourceError
from promptile.grid import Window
from promptile.sources import open_source, zarrs

WRONG = 7000
"""What the arrays hold that must not be used."""


def write_ome(path, arrays, scales, shifts=None, axes="yx", **more):
    group = zarr.create_group(path, zarr_format=2)
    datasets = []
    for i, (array, scale) in enumerate(zip(arrays, scales, strict=True)):
        group.create_array(str(i), data=array, chunks=(64,) * array.ndim)
        transforms = [{"type": "scale", "scale": scale}]
        if shifts:
            transforms.append({"type": "translation", "translation": shifts[i]})
        datasets.append({"path": str(i), "coordinateTransformations": transforms})
    named = [{"name": a, "type": "space"} for a in axes]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": named, "datasets": datasets} | more]
    return path


def fine():
    return noise((401, 300), np.uint16, high=1000)


def coarse(shape):
    return np.full(shape, WRONG, np.uint16)


def uses_own_level(source):
    """Whether level 1 comes from the file's second array."""
    return (source.read(source.grid.coarsen(source.levels[1]).window, 1) == WRONG).all()


@pytest.mark.parametrize("shifts", [None, [[0, 0], [0, 0]], [[0, 0], [0.5, 0.5]]])
def test_levels_that_cover_the_image_are_used(tmp_path, shifts):
    path = write_ome(tmp_path / "a.zarr", [fine(), coarse((201, 150))], [[1, 1], [2, 2]], shifts)
    source = open_source(path)
    assert source.levels[:2] == ((1, 1), (2, 2))
    assert uses_own_level(source)


@pytest.mark.parametrize(
    ("shape", "scale", "shift"),
    [
        ((200, 150), [2, 2], [0.5, 0.5]),  # the last row is missing
        ((268, 200), [1.5, 1.5], [0.25, 0.25]),  # no whole factor
        ((201, 150), [2, 2], [3, 0]),  # elsewhere
    ],
)
def test_levels_that_do_not_are_not(tmp_path, shape, scale, shift):
    samples = fine()
    path = write_ome(tmp_path / "a.zarr", [samples, coarse(shape)], [[1, 1], scale], [[0, 0], shift])
    source = open_source(path)
    assert not uses_own_level(source)
    expected = block_means(samples[None], source.levels[1])
    np.testing.assert_allclose(source.read(source.grid.coarsen(source.levels[1]).window, 1), expected, atol=0.5)


def test_levels_go_on_where_the_file_stops(tmp_path):
    samples = noise((1200, 1100), np.uint8)
    path = write_ome(tmp_path / "a.zarr", [samples, samples[::3, ::3]], [[1, 1], [3, 3]])
    assert open_source(path).levels == ((1, 1), (3, 3), (6, 6))


def test_transforms_of_the_image_come_after_those_of_the_level(tmp_path):
    after = [{"type": "scale", "scale": [10, 10]}, {"type": "translation", "translation": [1, 2]}]
    path = write_ome(tmp_path / "a.zarr", [fine()], [[2, 3]], [[5, 5]], coordinateTransformations=after)
    assert open_source(path).grid.to_world((0, 0)).tolist() == [52, 51]
    assert open_source(path).grid.to_world((1, 1)).tolist() == [82, 71]


def test_named_axes_of_a_plain_array(tmp_path):
    samples = noise((2, 3, 20, 30), np.uint8)
    zarr.create_array(tmp_path / "a.zarr", data=samples, chunks=(1, 1, 20, 30), dimension_names=["c", "t", "y", "x"])
    np.testing.assert_array_equal(read_all(tmp_path / "a.zarr", time=1), samples[:, 1])


def test_a_time_point_has_to_be_chosen(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=noise((4, 1, 5, 20, 30), np.uint8))
    with pytest.raises(SourceError, match=r"has 4 time points: choose one with --time 0\.\.3"):
        open_source(tmp_path / "a.zarr")


def refused(path, finding):
    with pytest.raises(SourceError, match=finding) as caught:
        read_all(path)
    assert "\n" not in str(caught.value)


def test_a_group_without_image(tmp_path):
    group = zarr.create_group(tmp_path / "a.zarr")
    group.create_array("first", data=np.zeros((4, 4)))
    refused(tmp_path / "a.zarr", r"no OME-Zarr image: open one of its arrays \(first\)")


def test_axes_nobody_knows(tmp_path):
    refused(write_ome(tmp_path / "a.zarr", [fine()], [[1, 1]], axes="vx"), "has the axes v, x")
    refused(write_ome(tmp_path / "b.zarr", [fine()], [[1, 1]], axes="xy"), "with y, x last")


def test_types_that_are_no_samples(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=np.zeros((4, 4), complex))
    refused(tmp_path / "a.zarr", "samples of the type complex128")


def test_blocks_too_large_to_decode(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(100_000, 100_000), chunks=(50_000, 50_000), dtype="uint8")
    refused(tmp_path / "a.zarr", "stored in blocks of 2.5 GB")


def test_damaged_metadata_and_blocks(tmp_path):
    path = write_ome(tmp_path / "a.zarr", [fine()], [[1, 1]])
    (path / "0" / ".zarray").unlink()
    refused(path, "cannot be read as Zarr")
    zarr.create_array(tmp_path / "b.zarr", data=fine(), chunks=(64, 64))
    block = max((tmp_path / "b.zarr" / "c").rglob("0"), key=lambda p: p.is_file())
    block.write_bytes(b"not a block")
    refused(tmp_path / "b.zarr", "cannot be read as Zarr")
    (tmp_path / "c.zarr").mkdir()
    (tmp_path / "c.zarr" / "zarr.json").write_text("{")
    refused(tmp_path / "c.zarr", "cannot be read as Zarr")


@pytest.fixture
def reads(monkeypatch):
    """How often each sample of level 0 of an array of 192³ is read."""
    counts = np.zeros((192,) * 3, np.int16)
    real = zarrs._Blocks.samples

    def counted(self, window, channels):
        counts[window.slices] += 1
        return real(self, window, channels)

    monkeypatch.setattr(zarrs._Blocks, "samples", counted)
    return counts


def test_coarser_levels_that_are_not_stored_are_made_once_and_where_they_are_looked_at(tmp_path, reads):
    array = zarr.create_array(tmp_path / "v.zarr", shape=reads.shape, chunks=(32,) * 3, dtype=np.uint8)
    array[40:100, 40:100, 40:100] = block = noise((60,) * 3, np.uint8, high=200)
    source = open_source(tmp_path / "v.zarr")
    for corner in ((0, 0, 0), (0, 16, 0), (16, 16, 32), (0, 0, 0)):
        window = Window(corner, (32, 32, 32))
        found = source.read(window, 1)
        assert source.valid(window, 1).all()
    np.testing.assert_array_equal(
        found[0][20:, 20:, 20:], np.rint(block_means(block[None], (2, 2, 2))[0][:12, :12, :12])
    )
    assert reads.max() == 1
    assert not reads[:, :, 128:].any()


def test_a_click_at_such_a_level_reads_what_lies_around_the_object(tmp_path, reads):
    array = zarr.create_array(tmp_path / "v.zarr", shape=reads.shape, chunks=(32,) * 3, dtype=np.uint8)
    array[20:80, 20:80, 20:80] = 1
    options = {"model": Perfect(3), "tiling": Tiling(32, 16), "window": (0, 9), "level": 1}
    run = segment(tmp_path / "v.zarr", Prompts.of(points=[(50, 50, 50)]), **options)
    assert (run.labels[...] == array[...]).all()
    assert not reads[128:].any()
    assert not reads[:, 128:].any()
