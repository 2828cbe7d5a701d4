"""Objects by name: with a perfect detector and a perfect model the result is the truth, however the image is cut."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import promptile as pt
from detectors import Erring, Failing, Perfect, Truth, boxes_of, scene_of
from promptile.engine.detect import Findings, findings_of
from promptile.engine.detect.boxes import areas, common
from promptile.engine.detect.findings import Looks
from promptile.errors import ModelError, RunError, UsageError
from promptile.grid import tiles
from promptile.models.protocols import Detections
from promptile.run import PromptedRun
from promptile.segmentation import segment

SMALL = pt.Tiling(64, 32)


def town(seed: int = 0, shape: tuple[int, int] = (200, 260)) -> np.ndarray:
    """Houses in rows that touch, and a few that are larger than tiles of 48."""
    rng = np.random.default_rng(seed)
    truth = np.zeros(shape, np.int32)
    count = 0
    for y in range(0, shape[0] - 30, 40):
        for x in range(0, shape[1] - 20, 20):
            count += 1
            truth[y : y + rng.integers(6, 30), x : x + rng.integers(5, 21)] = count
    truth[120:200, 30:180] = count + 1
    truth[120:200, 180:260] = count + 2
    _, numbered = np.unique(truth, return_inverse=True)
    return numbered.reshape(shape).astype(np.int32)


def looking(size: int, levels: object = "auto", **options: object) -> pt.Text:
    return pt.Text("house", tiling=pt.Tiling(size, size // 4), levels=levels, **options)


def assert_is(run: pt.Run, truth: np.ndarray) -> None:
    """One object per true one, and each is it, sample by sample."""
    labels = run.read_labels(run.grid.window).astype(np.int64)
    assert ((labels > 0) == (truth > 0)).all()
    assert len(run.objects) == truth.max()
    assert len(np.unique(np.stack([labels, truth]).reshape(2, -1), axis=1).T) == len(np.unique(truth))


@pytest.mark.parametrize(("size", "levels"), [(48, "auto"), (64, "auto"), (100, (0,)), (64, (0, 1)), (400, "auto")])
def test_every_house_once(size: int, levels: object) -> None:
    truth = town()
    detector = Truth(boxes_of(truth), ["house"] * truth.max())
    run = segment(scene_of(truth), text=looking(size, levels), detector=detector, model=Perfect(truth), tiling=SMALL)
    assert_is(run, truth)
    assert (run.objects["category"] == "house").all()
    assert (run.objects["detection"] == 1).all()
    low = np.array([*run.objects["bbox"]])[:, :2]
    assert (np.lexsort(low.T[::-1]) == np.arange(len(low))).all()  # ids go by place


def test_small_houses_that_coarse_levels_do_not_show() -> None:
    truth = town(1)
    detector = Truth(boxes_of(truth), ["house"] * truth.max(), least=4)
    run = segment(scene_of(truth), text=looking(64), detector=detector, model=Perfect(truth), tiling=SMALL)
    assert_is(run, truth)


def looks_of(shape: tuple[int, int], levels: tuple[int, ...], size: int, overlap: int) -> Looks:
    """The views of some levels, each half as fine as the one before."""
    rows = []
    for level in levels:
        factor = 2**level
        coarse = np.array([-(-n // factor) for n in shape])
        for tile in tiles(coarse.tolist(), size, overlap):
            start, stop = np.array(tile.outer.start), np.array(tile.outer.stop)
            frame = np.stack([start * factor, np.minimum(stop * factor, shape)]) - 0.5
            rows.append((level, 0, frame, [start > 0, stop < coarse], [factor, factor]))
    return Looks(*(np.array(column) for column in zip(*rows, strict=True)))


def seen(looks: Looks, boxes: np.ndarray, labels: np.ndarray, phrases: tuple[str, ...]) -> Findings:
    """What a perfect detector says about these views."""
    shared = common(boxes[None], looks.frames[:, None])
    views, objects = np.nonzero(areas(shared) > 0)
    scores = np.ones(len(views))
    return Findings(phrases, 0.3, 0.1, looks, views, shared[views, objects], scores, labels[objects])


@st.composite
def scenes(draw: st.DrawFn) -> tuple[tuple[int, int], np.ndarray]:
    """The shape of an image, and boxes in it that touch and do not overlap, some much larger than others."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    shape = (draw(st.integers(40, 180)), draw(st.integers(40, 180)))
    found: list[list[np.ndarray]] = []

    def cut(low: np.ndarray, high: np.ndarray) -> None:
        sides = high - low
        if (sides < 12).all() or (rng.random() < 0.1 and (sides < np.array(shape) / 2).any()):
            found.extend([[low - 0.5, high - 0.5]] if rng.random() < 0.8 else [])
            return
        axis = int(np.argmax(sides))
        middle = int(rng.integers(low[axis] + 2, high[axis] - 1))
        for a, b in ((low[axis], middle), (middle, high[axis])):
            first, last = low.copy(), high.copy()
            first[axis], last[axis] = a, b
            cut(first, last)

    cut(np.zeros(2, int), np.array(shape))
    return shape, np.array(found).reshape(-1, 2, 2)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenes(), st.sampled_from([23, 32, 64]), st.sampled_from([2, 4]))
def test_boxes_of_any_scene(scene: tuple[tuple[int, int], np.ndarray], size: int, share: int) -> None:
    shape, houses = scene
    doors = houses[(houses[:, 1] - houses[:, 0] > 4).all(axis=1)] + np.array([[1], [-2]])
    boxes, labels = np.concatenate([houses, doors]), np.repeat([1, 0], [len(houses), len(doors)])
    looks = looks_of(shape, tuple(range(5)), size, size // share)
    found = seen(looks, boxes, labels, ("door", "house")).merged()
    for told, true in ((0, doors), (1, houses)):
        mine = found.boxes[found.phrases == told]
        assert len(mine) == len(true)
        assert sorted(mine.round(3).reshape(-1, 4).tolist()) == sorted(true.reshape(-1, 4).tolist())


class Nothing(Perfect):
    """Draws nothing: for what is found before."""

    def __init__(self) -> None:
        super().__init__(np.array([[1]]))

    def predict(self, embedding, prompt):
        raise RuntimeError("nothing is drawn here")
