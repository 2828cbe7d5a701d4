"""What every source must do, for every kind of image.

1. Metadata is right: shape, channels, dtype, space; the grid agrees with rasterio and SimpleITK at the corners.
2. `read` gives what is in the file, for windows anywhere, for channels in any order, as an array of its own.
3. Levels are means of whole blocks of level 0, without what is invalid; of labels, the sample in the middle.
4. `valid` says where the image has no data.
5. Reading is the same from eight threads at once.
6. `identity` is the same on every opening, and another one after a change.
7. It can be pickled: another process, in another folder, opens and reads the same.
8. Windows, levels and channels that do not exist are refused in one line.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from kinds import KINDS, block_means, right_handed, write_series
from promptile.errors import UsageError
from promptile.grid import Window
from promptile.sources import Source, open_source


@pytest.fixture(scope="module", params=KINDS)
def example(request, tmp_path_factory):
    return KINDS[request.param](tmp_path_factory.mktemp("image"))


@pytest.fixture
def source(example):
    return example.open()


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """A process that shares nothing with this one but the disk, not even the working directory."""
    context = multiprocessing.get_context("spawn")
    folder = tmp_path_factory.mktemp("elsewhere")
    with ProcessPoolExecutor(1, mp_context=context, initializer=os.chdir, initargs=(folder,)) as pool:
        yield pool


def some_windows(shape, count=12, seed=0):
    """The whole, every corner, single samples, and random ones."""
    random = np.random.default_rng(seed)
    yield Window.of(shape)
    for corner in itertools.product(*((0, n - 1) for n in shape)):
        yield Window(corner, (1,) * len(shape))
    for _ in range(count):
        start = random.integers(0, shape)
        yield Window(tuple(map(int, start)), tuple(int(n) for n in random.integers(1, np.array(shape) - start + 1)))


def test_it_is_a_source(source):
    assert isinstance(source, Source)
    assert open_source(source) is source
    assert source.name


def test_facts(example, source):
    assert source.grid.shape == example.samples.shape[1:]
    assert source.dtype == example.samples.dtype
    assert source.grid.space == example.space
    assert len(source.channels) == len(example.samples)
    assert len(set(source.channels)) == len(source.channels)
    assert source.channels == example.extra.get("channels", source.channels)
    assert source.modality == example.extra.get("modality", "")
    assert source.levels[0] == (1,) * source.grid.ndim


def test_grid_agrees_with_another_reader_at_the_corners(example, source):
    n = source.grid.ndim
    affine = np.eye(n + 1) if example.affine is None else example.affine
    for corner in itertools.product(*((-0.5, size - 0.5) for size in source.grid.shape)):
        expected = (affine @ [*corner[::-1], 1])[:n]
        error = np.abs(source.grid.to_world(corner) - expected) / min(source.grid.spacing)
        assert error.max() < 1e-4


def test_windows_anywhere(example, source):
    for window in some_windows(source.grid.shape):
        read = source.read(window)
        assert read.dtype == source.dtype
        np.testing.assert_array_equal(read, example.samples[:, *window.slices])


def test_channels_in_any_order(example, source):
    window = Window.of(source.grid.shape)
    order = [len(source.channels) - 1, 0]
    np.testing.assert_array_equal(source.read(window, channels=order), example.samples[order])
    assert source.read(window, channels=()).shape == (0, *window.shape)


def test_what_was_read_may_be_written_to(example, source):
    window = Window.of(source.grid.shape)
    read = source.read(window)
    read[:] = 0
    np.testing.assert_array_equal(source.read(window), example.samples)


def test_valid(example, source):
    expected = np.ones(source.grid.shape, bool) if example.valid is None else example.valid
    for window in some_windows(source.grid.shape):
        np.testing.assert_array_equal(source.valid(window), expected[window.slices])


def test_there_are_levels_down_to_a_small_one(example, source):
    assert source.levels == (example.levels or source.levels)
    sizes = [max(source.grid.coarsen(f).shape) for f in source.levels]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= 256
    assert all(
        b % a == 0 for fine, coarse in itertools.pairwise(source.levels) for a, b in zip(fine, coarse, strict=True)
    )


def held(example):
    """Which samples count, per channel."""
    valid = np.ones(example.samples.shape, bool)
    if example.valid is not None:
        valid &= example.valid
    if np.issubdtype(example.samples.dtype, np.floating):
        valid &= np.isfinite(example.samples)
    return valid & (example.samples != -9999)


def expected_level(example, factors):
    """Level samples by definition, as floats; NaN where nothing is valid."""
    if not example.nearest:
        return block_means(example.samples, factors, held(example)).astype(float)
    index = [
        np.minimum(np.arange(0, n, f) + f // 2, n - 1) for n, f in zip(example.samples.shape[1:], factors, strict=True)
    ]
    return example.samples[np.ix_(range(len(example.samples)), *index)].astype(float)


def test_levels_are_block_means_or_samples_of_labels(example, source):
    tolerance = 0 if example.nearest else example.mean_tolerance + 1e-5
    for level, factors in enumerate(source.levels[1:], 1):
        expected = expected_level(example, factors)
        for window in some_windows(source.grid.coarsen(factors).shape, count=4):
            read = source.read(window, level)
            assert read.dtype == source.dtype
            part = expected[:, *window.slices]
            off = np.abs(np.where(np.isfinite(part), read - part, 0))
            assert off.max() <= (example.border_tolerance or tolerance)
            whole = [slice(0, n // f - a) for n, f, a in zip(source.grid.shape, factors, window.start, strict=True)]
            assert off[:, *whole].max(initial=0) <= tolerance


def test_a_coarse_sample_is_valid_where_any_fine_one_is(example, source):
    fine = np.ones(source.grid.shape, bool) if example.valid is None else example.valid
    for level, factors in enumerate(source.levels[1:], 1):
        expected = block_means(fine[None].astype(float), factors)[0] > 0
        for window in some_windows(expected.shape, count=4):
            np.testing.assert_array_equal(source.valid(window, level), expected[window.slices])


def test_eight_threads(example, source):
    windows = list(some_windows(source.grid.shape, count=40, seed=1))
    coarsest = source.grid.coarsen(source.levels[-1]).window

    def look(window):
        return source.read(window), source.valid(window), source.read(coarsest, len(source.levels) - 1)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(look, windows))
    for window, (read, valid, coarse) in zip(windows, answers, strict=True):
        np.testing.assert_array_equal(read, example.samples[:, *window.slices])
        assert valid.shape == window.shape
        np.testing.assert_array_equal(coarse, answers[0][2])


def test_identity_stays(example, source):
    assert source.identity == example.open().identity
    assert set(source.identity) >= {"name", "bytes", "digest"}
    assert json.loads(json.dumps(source.identity)) == source.identity


def test_identity_changes_with_the_content(example, source):
    if example.path is None:
        other = open_source(example.samples + 1, channel_axis=0)
        assert other.identity["digest"] != source.identity["digest"]
        return
    before = dict(source.identity)
    files = [example.path] if example.path.is_file() else sorted(p for p in example.path.rglob("*") if p.is_file())
    if example.path.suffix in (".vrt", ".mhd"):
        files = [p for p in example.path.parent.iterdir() if p.suffix in (".tif", ".raw", ".zraw")]
    file = max(files, key=lambda p: p.stat().st_size)
    content = file.read_bytes()
    changed = bytearray(content)
    changed[len(content) * 2 // 3] ^= 1
    try:
        file.write_bytes(changed)
        assert example.open().identity != before
    finally:
        file.write_bytes(content)
    assert example.open().identity == before


def seen(source):
    """Everything that a process can see of an image, small."""
    read = [
        look(source.grid.coarsen(factors).window, level).tobytes()
        for level, factors in enumerate(source.levels)
        for look in (source.read, source.valid)
    ]
    facts = (source.name, source.grid, source.levels, source.channels, source.dtype, source.modality)
    return facts, repr(source.nodata), dict(source.identity), hashlib.sha256(b"".join(read)).hexdigest()


def test_another_process_sees_the_same(example, stranger):
    source = example.open()
    assert stranger.submit(seen, source).result() == seen(source)


def test_a_pickled_image_is_opened_again_and_again(example, source, stranger):
    source.valid(source.grid.window)  # what is open by now stays behind
    kept = pickle.dumps(pickle.loads(pickle.dumps(source)))
    if example.path is not None:
        assert len(kept) < 2000
    assert stranger.submit(seen, pickle.loads(kept)).result() == seen(example.open())


@pytest.mark.parametrize("kind", ["tif", "zarr3"])
def test_an_image_that_was_opened_by_a_relative_path_is_found_from_elsewhere(kind, tmp_path, stranger, monkeypatch):
    path = KINDS[kind](tmp_path).path
    monkeypatch.chdir(path.parent)
    source = open_source(path.name)
    assert stranger.submit(seen, source).result() == seen(source)


def test_the_series_that_was_asked_for_goes_along(tmp_path, stranger):
    for number in (1, 2):
        write_series(tmp_path / "scan", right_handed((3, 20, 20), seed=number), uid=f"1.2.{number}")
    first, second = (open_source(tmp_path / "scan", series=n) for n in (1, 2))
    assert seen(first) != seen(second)
    assert stranger.submit(seen, second).result() == seen(second)


def test_windows_outside_are_refused(source):
    shape = source.grid.shape
    outside = [
        Window((-1, *(0,) * (len(shape) - 1)), (1,) * len(shape)),
        Window((0,) * len(shape), (*shape[:-1], shape[-1] + 1)),
        Window(shape, (1,) * len(shape)),
        Window((0,) * (len(shape) + 1), (1,) * (len(shape) + 1)),
    ]
    for window in outside:
        for look in (source.read, source.valid):
            with pytest.raises(UsageError, match="clip it first") as caught:
                look(window)
            assert "\n" not in str(caught.value)


def test_levels_and_channels_that_do_not_exist_are_refused(source):
    window = Window((0,) * source.grid.ndim, (1,) * source.grid.ndim)
    with pytest.raises(UsageError, match="has no level"):
        source.read(window, len(source.levels))
    with pytest.raises(UsageError, match="has no level"):
        source.valid(window, -1)
    with pytest.raises(UsageError, match="has no channel"):
        source.read(window, channels=[len(source.channels)])


def test_an_empty_window_is_empty(source):
    window = Window((0,) * source.grid.ndim, (0,) * source.grid.ndim)
    assert source.read(window).shape == (len(source.channels), *window.shape)
    assert source.valid(window).shape == window.shape
