"""A perfect model for images gives exact objects of volumes, slice by slice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from promptile.prompts import Prompts
from slices_cases import PerfectSlices, assert_is, grow, volume


def ball(shape: tuple[int, ...], middle: tuple[float, ...], radius: tuple[float, ...]) -> np.ndarray:
    places = np.moveaxis(np.indices(shape), 0, -1)
    return (((places - middle) / radius) ** 2).sum(axis=-1) <= 1


def horseshoe() -> np.ndarray:
    """Two arms, joined in the last slices; a third arm that begins there and goes back half way."""
    truth = np.zeros((24, 60, 70), np.uint8)
    truth[2:22, 10:20, 8:18] = 1
    truth[5:22, 12:18, 50:58] = 1
    truth[18:22, 10:20, 8:58] = 1
    truth[12:22, 30:36, 28:36] = 1
    truth[20:22, 10:36, 28:36] = 1
    truth[2:17, 40:50, 40:60] = 2
    return truth


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_branches_are_followed_back_and_forth_along_any_axis(pieces: bool, axis: int) -> None:
    truth = horseshoe()
    for click in [(3, 15, 12), (6, 15, 55), (13, 33, 30)][: 3 if axis == 0 else 1]:
        (grown,) = grow(volume(truth), Prompts.of(points=[click]), PerfectSlices(pieces=pieces), axis=axis)
        assert_is(grown, truth == 1)


@pytest.mark.parametrize("pieces", [False, True])
def test_clicks_on_each_part_of_an_object_that_vanishes_and_comes_back(pieces: bool) -> None:
    truth = np.zeros((30, 40, 50), np.uint8)
    truth[ball(truth.shape, (6, 15, 15), (5, 9, 9))] = 1
    truth[ball(truth.shape, (22, 25, 35), (5, 8, 8))] = 1
    prompts = Prompts.of(points=[(6, 15, 15), (22, 25, 35)], objects=[1, 1])
    (grown,) = grow(volume(truth), prompts, PerfectSlices(pieces=pieces))
    assert_is(grown, truth == 1)


@pytest.mark.parametrize("pieces", [False, True])
def test_clicks_in_both_arms_of_one_object(pieces: bool) -> None:
    truth = horseshoe()
    prompts = Prompts.of(points=[(4, 15, 12), (9, 15, 55), (14, 33, 30)], objects=[1, 1, 1])
    (grown,) = grow(volume(truth), prompts, PerfectSlices(pieces=pieces))
    assert_is(grown, truth == 1)


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("spacing", [(1, 1, 1), (5, 0.7, 0.7), (0.8, 3, 0.9)])
def test_oblique_and_anisotropic(pieces: bool, spacing: tuple[float, float, float]) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    truth = np.zeros((22, 40, 44), np.uint8)
    truth[ball(truth.shape, (10, 20, 21), (8, 14, 9))] = 1
    truth[ball(truth.shape, (10, 20, 38), (8, 14, 6))] = 2
    source = volume(truth, spacing, turn)
    for label, click in ((1, (4, 20, 21)), (2, (10, 20, 40))):
        (grown,) = grow(source, Prompts.of(points=[click]), PerfectSlices(pieces=pieces))
        assert_is(grown, truth == label)


@pytest.mark.parametrize("pieces", [False, True])
def test_slices_larger_than_a_tile(pieces: bool) -> None:
    truth = np.zeros((9, 90, 120), np.uint8)
    truth[1:8, 10:80, 10:20] = 1
    truth[3:6, 40:50, 10:115] = 1
    truth[2:8, 20:70, 100:112] = 1
    (grown,) = grow(volume(truth), Prompts.of(points=[(2, 15, 15)]), PerfectSlices(pieces=pieces), tile=32)
    assert_is(grown, truth == 1)


def test_a_vessel_that_moves_from_slice_to_slice() -> None:
    z, y, x = np.ogrid[:40, :60, :60]
    truth = (np.hypot(y - 30 - 18 * np.sin(z / 6), x - 30 - 18 * np.cos(z / 6)) < 4).astype(np.uint8)
    (grown,) = grow(volume(truth), Prompts.of(points=[np.argwhere(truth)[0]]), PerfectSlices(pieces=True))
    assert_is(grown, truth == 1)


@pytest.mark.parametrize("pieces", [False, True])
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.data())
def test_any_connected_object_from_any_click_along_any_axis(pieces: bool, drawn: st.DataObject) -> None:
    shape = drawn.draw(st.tuples(*[st.integers(5, 24)] * 3), label="shape")
    noise = np.random.default_rng(drawn.draw(st.integers(0, 2**32 - 1), label="seed")).normal(size=shape)
    smooth = ndimage.gaussian_filter(noise, drawn.draw(st.floats(0.8, 3.0), label="blur"))
    mask = smooth > np.quantile(smooth, drawn.draw(st.floats(0.4, 0.9), label="part"))
    truth = ndimage.label(mask, np.ones((3, 3, 3)))[0].astype(np.int32)
    where = np.argwhere(truth)
    click = where[drawn.draw(st.integers(0, len(where) - 1), label="click")]
    axis = drawn.draw(st.integers(0, 2), label="axis")
    (grown,) = grow(volume(truth), Prompts.of(points=[click]), PerfectSlices(pieces=pieces), axis=axis)
    assert_is(grown, truth == truth[tuple(click)])
