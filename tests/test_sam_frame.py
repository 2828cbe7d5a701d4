"""Between a window and a model's input: every sample lands where it should, and comes back there."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'promptile[torch]'")

import torch
from hypothesis import given
from hypothesis import strategies as st

from promptile.models.sam.frame import STEP, Frame

SHAPES = [(1024, 1024), (512, 512), (600, 800), (1500, 1100), (333, 90), (2048, 700), (5, 9)]
SIDE = 1024


def places(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel of the input its row and column in the window's index coordinates, by definition."""
    scale = np.divide(frame.inner, frame.shape)
    y, x = ((np.arange(n) + 0.5) / s - 0.5 for n, s in zip(frame.inner, scale, strict=True))
    return np.meshgrid(y, x, indexing="ij")


def middle(frame: Frame, shape: tuple[int, ...], margin: float) -> tuple[slice, ...]:
    """Away from the border, where interpolation has neighbours on all sides; `margin` in samples of the window."""
    margins = [int(np.ceil(margin * n / m)) for n, m in zip(shape, frame.shape, strict=True)]
    return tuple(slice(m, n - m) for m, n in zip(margins, shape, strict=True))


@pytest.mark.parametrize("stretch", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_images_are_scaled_without_a_shift(shape: tuple[int, int], stretch: bool) -> None:
    frame = Frame(shape, SIDE, stretch)
    ramps = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).astype(np.float32)
    seen = frame.image(torch.tensor(ramps)).numpy()
    rows, columns = frame.inner
    assert seen.shape == (2, SIDE, SIDE)
    inside = middle(frame, frame.inner, 3)
    for found, wanted in zip(seen[:, :rows, :columns], places(frame), strict=True):
        np.testing.assert_allclose(
            found[inside], wanted[inside], atol=0.03
        )  # a smoothing kernel of whole samples is a little off
    assert not seen[:, rows:].any()
    assert not seen[:, :, columns:].any()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_longest_side_fills_the_input(shape: tuple[int, int]) -> None:
    rows, columns = Frame(shape, SIDE).inner
    assert max(rows, columns) == SIDE
    assert abs(rows / columns - shape[0] / shape[1]) < 0.01 * rows / columns + 0.01
    assert Frame(shape, SIDE, stretch=True).inner == (SIDE, SIDE)


@pytest.mark.parametrize("stretch", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_masks_come_back_without_a_shift(shape: tuple[int, int], stretch: bool) -> None:
    """Logits that rise by one per pixel of the input, in cells of four, are right at each sample's own place."""
    frame = Frame(shape, SIDE, stretch)
    centres = (np.arange(SIDE // STEP) + 0.5) * STEP - 0.5
    rising = np.stack(np.meshgrid(centres, centres, indexing="ij"))[None].astype(np.float32)
    found = frame.back(torch.tensor(rising)).numpy()[0]
    assert found.shape == (2, *shape)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(float)
    x, y = np.moveaxis(frame.places(index), -1, 0)
    for values, wanted in ((found[0], y), (found[1], x)):
        fits = (y > 10) & (x > 10) & (y < frame.inner[0] - 11) & (x < frame.inner[1] - 11)
        # The cubic interpolation that EfficientSAM uses bends straight lines a little.
        np.testing.assert_allclose(values[fits], wanted[fits], atol=0.25 if stretch else 0.01)
        assert abs((values - wanted)[fits].mean()) < 0.01


@pytest.mark.parametrize("shape", SHAPES)
def test_masks_are_given_without_a_shift(shape: tuple[int, int]) -> None:
    frame = Frame(shape, SIDE)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).astype(np.float32)
    rows, columns = (n // STEP for n in frame.inner)
    centres = [(np.arange(n) + 0.5) * STEP - 0.5 for n in (rows, columns)]
    scale = np.divide(frame.inner, shape)
    wanted = np.meshgrid(*[(c + 0.5) / s - 0.5 for c, s in zip(centres, scale, strict=True)], indexing="ij")
    inside = middle(frame, (rows, columns), 3 * max(1, 1 / scale.min()))
    for ramp, right in zip(index, wanted, strict=True):
        cells = frame.mask(torch.tensor(ramp)).numpy()
        assert cells.shape == (1, SIDE // STEP, SIDE // STEP)
        np.testing.assert_allclose(
            cells[0, :rows, :columns][inside], right[inside], atol=0.01 * max(1, 1 / scale.min())
        )


def test_where_there_is_no_image_a_given_mask_denies() -> None:
    cells = Frame((512, 1024), SIDE).mask(torch.full((512, 1024), 3.0))
    assert (cells[0, :128] == 3).all()
    assert (cells[0, 128:] < -1).all()


def test_an_answer_given_back_is_nearly_itself() -> None:
    y, x = np.mgrid[:256, :256] / 256
    cells = torch.tensor(5 * np.sin(9 * x) * np.cos(7 * y), dtype=torch.float32)[None, None]
    for shape in [(1024, 1024), (512, 512), (2048, 2048)]:
        frame = Frame(shape, SIDE)
        again = frame.mask(frame.back(cells)[0, 0])
        np.testing.assert_allclose(again[0, 2:-2, 2:-2], cells[0, 0, 2:-2, 2:-2], atol=0.02)


def test_at_the_input_s_own_size_nothing_is_resampled() -> None:
    samples = torch.rand(3, SIDE, SIDE)
    assert Frame((SIDE, SIDE), SIDE).image(samples).equal(samples)
    points = np.array([[0, 0], [3.5, 1023], [700.25, 12]])
    np.testing.assert_array_equal(Frame((SIDE, SIDE), SIDE).places(points), points[:, ::-1])


@given(
    st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.booleans(),
)
def test_the_window_s_edges_are_the_input_s_edges(
    shape: tuple[int, int], part: tuple[float, float], stretch: bool
) -> None:
    frame = Frame(shape, SIDE, stretch)
    point = np.array(part) * shape - 0.5  # from the outer edge of the first sample to that of the last
    x, y = frame.places(point)
    np.testing.assert_allclose([y + 0.5, x + 0.5], np.array(part) * frame.inner, atol=1e-3)


def test_boxes_are_cut_at_the_window_s_edges() -> None:
    corners = Frame((100, 200), 1000).corners(np.array([[-40.0, 19.5], [70.5, 1e9]]))
    np.testing.assert_allclose(corners, [[99.5, -0.5], [999.5, 354.5]])


def test_half_a_pixel_matters() -> None:
    """A window of two samples in an input of four pixels: sample 0 covers pixels 0 and 1, so its centre is at 0.5."""
    np.testing.assert_allclose(Frame((2, 2), 4).places(np.array([[0.0, 1.0]])), [[2.5, 0.5]])
