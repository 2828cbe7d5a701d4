"""One look for the whole image."""

from __future__ import annotations

import numpy as np
import pytest

from promptile.errors import SourceError, UsageError
from promptile.grid import Window
from promptile.rendering import PERCENTILES, Rendering, parse_window
from promptile.sources.arrays import ArraySource


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(1000, 200, shape).astype(np.float32)


def test_a_small_image_gives_its_own_percentiles() -> None:
    image = noise(300, 400)
    rendering = Rendering.of(ArraySource(image))
    assert rendering.low + rendering.high == pytest.approx(np.percentile(image, PERCENTILES))


def test_a_large_image_is_sampled_and_the_sample_is_good() -> None:
    image = noise(2500, 3000)
    rendering = Rendering.of(ArraySource(image))
    low, high = np.percentile(image, PERCENTILES)
    assert rendering.low[0] == pytest.approx(low, abs=10)
    assert rendering.high[0] == pytest.approx(high, abs=10)
    assert rendering == Rendering.of(ArraySource(image))


def test_nodata_does_not_count_even_where_there_is_little_else() -> None:
    image = np.full((3000, 3000), np.nan, np.float32)
    image[1000:1600, 1000:1600] = noise(600, 600)
    rendering = Rendering.of(ArraySource(image))
    low, high = np.percentile(image[1000:1600, 1000:1600], PERCENTILES)
    assert rendering.low[0] == pytest.approx(low, abs=25)
    assert rendering.high[0] == pytest.approx(high, abs=25)


@pytest.mark.parametrize("image", [np.zeros((50, 50)), np.full((50, 50), np.nan), np.full((50, 50), -3, np.int16)])
def test_images_with_nothing_to_see_give_a_range_anyway(image: np.ndarray) -> None:
    rendering = Rendering.of(ArraySource(image))
    assert rendering.low[0] < rendering.high[0]
    seen = rendering.apply(image[None], np.isfinite(image))
    assert np.isfinite(seen).all()


def test_the_same_sample_looks_the_same_in_every_window() -> None:
    image = noise(400, 400)
    source = ArraySource(image)
    rendering = Rendering.of(source)
    windows = [Window((0, 0), (200, 200)), Window((100, 100), (200, 200))]
    a, b = (rendering.apply(source.read(w), source.valid(w))[0] for w in windows)
    assert (a[100:, 100:] == b[:100, :100]).all()


def test_apply_scales_without_clipping_and_blackens_what_is_no_data() -> None:
    rendering = Rendering((0,), (10.0,), (20.0,))
    samples = np.array([[[0.0, 10, 15, 20, 40, 15]]], np.float32)
    valid = np.array([[True, True, True, True, True, False]])
    assert rendering.apply(samples, valid).tolist() == [[[-1, 0, 0.5, 1, 3, 0]]]


def test_channels_follow_the_file_the_user_and_the_model() -> None:
    source = ArraySource(noise(5, 40, 40), channel_axis=0)
    assert Rendering.of(source).channels == (0, 1, 2, 3, 4)
    assert Rendering.of(source, limit=3).channels == (0, 1, 2)
    assert Rendering.of(source, channels=[3, 2, 1], limit=3).channels == (3, 2, 1)
    assert Rendering.of(ArraySource(noise(40, 40)), limit=3).channels == (0, 0, 0)
    with pytest.raises(UsageError, match=r"\[7\].*1 to 5"):
        Rendering.of(source, channels=[6])


def test_windows_by_name_and_by_numbers() -> None:
    assert parse_window("auto") is None
    assert parse_window("soft") == (-160, 240)
    assert parse_window("-100,300.5") == (-100, 300.5)
    assert parse_window((0, 1)) == (0, 1)
    with pytest.raises(UsageError, match="Hounsfield"):
        parse_window("lung", "MR")
    for wrong in ("liver", "3", "5,1", "1,2,3"):
        with pytest.raises(UsageError):
            parse_window(wrong)


def test_a_place_that_cannot_be_read_does_not_forbid_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    class Scratched(ArraySource):
        """Fails in its upper half."""

        def read(self, window, level=0, channels=None):
            if window.start[0] < 1200:
                raise SourceError("bad block")
            return super().read(window, level, channels)

    rendering = Rendering.of(Scratched(noise(2500, 3000)))
    assert rendering.low[0] == pytest.approx(1000 - 2.05 * 200, abs=20)
    assert "bad block" in caplog.text
    with pytest.raises(SourceError, match="bad block"):
        Rendering.of(Scratched(noise(300, 300)))
