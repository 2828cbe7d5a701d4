"""Objects by name: with a perfect detector and a perfect model the result is the truth, however the image is cut."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import promptile as pt
from detectors import Failing, Perfect, Truth, boxes_of, scene_of
from promptile.engine.detect import Findings, findings_of
from promptile.engine.detect.boxes import areas, common
from promptile.engine.detect.findings import Looks
from promptile.errors import ModelError, RunError, UsageError
from promptile.grid import tiles
from promptile.models.protocols import Detections, Embedding, Masks
from promptile.prompts import Prompts
from promptile.run import Run
from promptile.segmentation import segment
from promptile.sources.arrays import ArraySource

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


@pytest.mark.parametrize(("size", "levels"), [(48, "auto"), (100, (0,)), (64, (0, 1)), (400, "auto")])
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


HOUSES = np.zeros((60, 90), np.int32)
"""Four houses, one of which is a shed."""
HOUSES[5:15, 5:20] = 1
HOUSES[5:15, 30:50] = 2
HOUSES[30:40, 5:20] = 3
HOUSES[28:58, 40:80] = 4
NAMES = ["house", "house", "shed", "house"]


def ask(truth: np.ndarray = HOUSES, prompts: Prompts | None = None, **options: object) -> Run:
    """A search in houses, as far as nothing else is said."""
    detector = Truth(boxes_of(HOUSES), NAMES, np.array([0.9, 0.4, 0.6, 0.8]))
    said = {"text": ["house", "shed"], "detector": detector, "model": Perfect(HOUSES), "tiling": SMALL}
    return segment(scene_of(truth), prompts, **(said | options))


def found(run: Run) -> list[int]:
    """Which houses the objects are, in the order of their ids."""
    return [int(HOUSES[tuple(box[:2])] or HOUSES[box[0], box[1] + 1]) for box in run.objects["bbox"]]


def test_each_phrase_is_a_category_with_scores() -> None:
    run = ask()
    assert found(run) == [1, 2, 4, 3]
    assert run.objects["category"].tolist() == ["house", "house", "house", "shed"]
    assert run.objects["detection"].tolist() == [0.9, 0.4, 0.8, 0.6]
    assert run.objects["score"].tolist() == [0.9] * 4


def test_case_and_spaces_make_no_other_category() -> None:
    text = pt.Text(["house ", "House", "  HOUSE", "Swimming  Pool", "swimming pool", "Ma\u0308dchen", "mädchen"])
    assert text.phrases == ("house", "Swimming Pool", "Ma\u0308dchen")
    run = ask(text=["house", "House", "shed"])
    assert run.objects["category"].tolist() == ["house", "house", "house", "shed"]
    findings = findings_of(run)
    assert len(findings.objects(0.5, ["SHED"])) == len(findings.objects(0.5, ["shed"])) == 1
    with pytest.raises(UsageError, match="'pond' was not asked for: use 'house', 'shed'"):
        findings.objects(0.5, ["pond"])


def test_a_result_without_objects_has_the_same_columns(tmp_path: Path) -> None:
    run = ask(text="pond")
    assert len(run.objects) == 0
    assert {*ask(text="shed").objects.columns} - {*run.objects.columns} == {"area_px"}
    run.write(tmp_path / "none.gpkg")


def test_thresholds_change_without_the_detector(tmp_path: Path) -> None:
    detector = Truth(boxes_of(HOUSES), NAMES, np.array([0.9, 0.4, 0.6, 0.16]))
    first = ask(detector=detector, out=tmp_path / "a.run.zarr")
    assert found(first) == [1, 2, 3]
    looked = detector.looked
    findings = findings_of(first)
    assert [len(findings.merged(x)) for x in (0.15, 0.3, 0.5, 0.7, 1)] == [4, 3, 2, 1, 0]
    assert len(findings.merged(0.5, ["shed"])) == 1
    with pytest.raises(UsageError, match=r"use 0.15 to 1, or run the detector again"):
        findings.merged(0.1)
    with pytest.raises(UsageError, match="'pond' was not asked for"):
        findings.merged(phrases=["pond"])
    with pytest.raises(RunError, match=r"text\.box_threshold was 0\.3, now 0\.5: choose another with --run, or"):
        ask(text=pt.Text(["house", "shed"], box_threshold=0.5), detector=detector, out=tmp_path / "a.run.zarr")
    for box, words, there in ((0.5, None, [1, 3]), (None, 0.7, [1]), (0.15, 0.1, [1, 2, 4, 3])):
        text = pt.Text(["house", "shed"], box_threshold=box, text_threshold=words)
        assert found(ask(text=text, detector=detector, out=tmp_path / "a.run.zarr", restart=True)) == there
    assert detector.looked == looked
    ask(text=pt.Text("house", box_threshold=0.5), detector=detector, out=tmp_path / "a.run.zarr", restart=True)
    assert detector.looked > looked  # other phrases need another look


def test_a_run_of_prompts_in_the_same_place_has_no_detections(tmp_path: Path) -> None:
    ask(out=tmp_path / "a.run.zarr")
    assert (tmp_path / "a.run.zarr" / "detections").is_dir()
    prompts = Prompts.of(points=[(8, 8)])
    segment(scene_of(HOUSES), prompts, model=Perfect(HOUSES), out=tmp_path / "a.run.zarr", restart=True)
    assert not (tmp_path / "a.run.zarr" / "detections").exists()
    with pytest.raises(RunError, match="was not asked for by text"):
        findings_of(Run.open(tmp_path / "a.run.zarr"))


def test_a_finished_run_is_not_computed_again(tmp_path: Path) -> None:
    detector = Truth(boxes_of(HOUSES), NAMES)
    ask(detector=detector, out=tmp_path / "a.run.zarr")
    looked = detector.looked

    class Untouched(Perfect):
        def predict(self, embedding, prompt):
            raise AssertionError("it was asked again")

    again = ask(detector=detector, model=Untouched(HOUSES), out=tmp_path / "a.run.zarr")
    assert found(again) == [1, 2, 4, 3]
    assert detector.looked == looked


def test_a_tile_that_fails_is_tried_again_and_then_named(tmp_path: Path) -> None:
    (tmp_path / "once").mkdir()
    (tmp_path / "always").mkdir()
    looking = pt.Text(["house", "shed"], tiling=pt.Tiling(32, 8))
    detector = Truth(boxes_of(HOUSES), NAMES)
    run = ask(text=looking, detector=Failing(detector, tmp_path / "once", [1]))
    assert found(run) == [1, 2, 4, 3]
    assert run.failed == []
    path = tmp_path / "a.run.zarr"
    run = ask(text=looking, detector=Failing(detector, tmp_path / "always", [1], times=3), out=path)
    assert found(run) == [2, 4, 3]
    assert [str(failure) for failure in run.failed] == ["tile (0, 0, 0)"]
    assert "failed on purpose" in run.failed[0].error
    run = ask(text=looking, detector=Failing(detector, tmp_path / "always", [1], times=3), out=path)
    assert run.failed == []
    assert found(run) == [2, 4, 3, 1]  # the others keep their numbers
    assert ((run.read_labels(run.grid.window) > 0) == (HOUSES > 0)).all()


def test_a_box_limits_where_to_look() -> None:
    run = ask(prompts=Prompts.of(boxes=[[(0, 0), (59, 30)]]))
    assert found(run) == [1, 3]
    area = pt.Area(Prompts.of(boxes=[[(0, 0), (20, 89)]]))
    assert found(ask(text=pt.Text(["house", "shed"], area=area))) == [1, 2]
    both = ask(prompts=Prompts.of(boxes=[[(0, 0), (59, 30)]]), text=pt.Text(["house", "shed"], area=area))
    assert found(both) == [1]


def test_tiles_outside_the_area_are_not_looked_at() -> None:
    detector = Truth(boxes_of(HOUSES), NAMES)
    looking = pt.Text(["house", "shed"], tiling=pt.Tiling(32, 8), levels=(0,))
    ask(text=looking, detector=detector)
    everywhere = detector.looked
    ask(prompts=Prompts.of(boxes=[[(0, 0), (20, 20)]]), text=looking, detector=detector)
    assert detector.looked - everywhere < everywhere / 4


def test_points_correct_what_is_found() -> None:
    prompts = Prompts.of(points=[(10, 10), (12, 12), (10, 40), (35, 10)], labels=[1, 0, 0, 1], objects=[1, 1, 0, 2])
    run = ask(prompts=prompts)
    assert found(run) == [1, 4, 3]  # 2 has a negative point alone
    said = {p["id"]: (p["box"] is not None, p["labels"]) for p in run.prompts}
    assert said == {1: (True, [1, 0, 0]), 2: (True, []), 3: (True, [1, 0])}


def test_negative_points_alone_take_objects_away() -> None:
    assert found(ask(prompts=Prompts((), denied=np.array([(10.0, 10.0), (55.0, 5.0), (35.0, 60.0)])))) == [2, 3]


def test_a_point_on_nothing_found_is_an_object_of_its_own() -> None:
    run = ask(text="shed", prompts=Prompts.of(points=[(10, 10)]))
    assert found(run) == [3, 1]
    assert run.objects["category"].tolist() == ["shed", ""]
    assert np.isnan(run.objects["detection"][1])


def test_a_window_killed_while_looking_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.run.zarr"
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(path)]
    with subprocess.Popen(command) as process:
        waited = time.monotonic() + 60
        while len([*path.glob("detections/0/*.npz")]) < 3 and time.monotonic() < waited:
            time.sleep(0.01)
        process.kill()
    assert 3 <= len([*path.glob("detections/*/*.npz")]) < 15
    assert not path.joinpath("finished.json").exists()
    detector = Truth(boxes_of(HOUSES), NAMES)
    text = pt.Text(["house", "shed"], tiling=pt.Tiling(32, 8))
    run = ask(text=text, detector=detector, out=path)
    untouched = ask(text=text)
    assert detector.looked < 15
    assert (run.read_labels(run.grid.window) == untouched.read_labels(untouched.grid.window)).all()
    assert run.objects.drop(columns="detection").equals(untouched.objects.drop(columns="detection"))


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from test_text import *
class Slow(Truth):
    def detect(self, *asked):
        time.sleep(0.3)
        return super().detect(*asked)
ask(text=pt.Text(["house", "shed"], tiling=pt.Tiling(32, 8)), detector=Slow(boxes_of(HOUSES), NAMES), out=sys.argv[2])
"""


def test_what_cannot_be_asked() -> None:
    for text, message in (
        ("  ", "A text is empty: say what to look for"),
        ([], "A text is empty"),
        ([1], "A text is words, not 1"),
    ):
        with pytest.raises(UsageError, match=message):
            ask(text=text)
    with pytest.raises(UsageError, match=r"--box-threshold 1.2 is not possible: use 0 to 1"):
        pt.Text("a", box_threshold=1.2)
    with pytest.raises(UsageError, match=r"--text-threshold nan is not possible"):
        pt.Text("a", text_threshold=float("nan"))
    with pytest.raises(ModelError, match="'perfect' finds nothing by text: choose another --detector"):
        ask(detector=Perfect(HOUSES))
    with pytest.raises(ModelError, match="cannot take a box"):
        ask(model=Pointed(HOUSES))
    with pytest.raises(UsageError, match="Level 7 cannot be looked at: use auto or levels among 0"):
        ask(text=pt.Text("house", levels=(7,)))
    wrong = Truth(boxes_of(HOUSES), NAMES)
    wrong.seen = lambda *_: Detections(np.zeros((1, 4)), np.zeros(1), np.zeros(1, int))  # type: ignore[method-assign]
    assert "its detect must return boxes" in ask(detector=wrong).failed[0].error


def test_what_a_detector_draws_becomes_a_mask_prompt() -> None:
    truth = np.zeros((70, 300), np.int32)
    truth[10:20, 20:40] = 1
    truth[12:60, 100:280] = 2  # larger than a tile
    truth[12:40, 150:280] = 0

    class Drawing(Truth):
        def seen(self, view, phrases, least):
            told = super().seen(view, phrases, least)
            inside = np.array([view.samples[0] == n for n in (1, 2) if (view.samples[0] == n).any()], bool)
            return replace(told, masks=inside.reshape(-1, *view.shape))

    detector = Drawing(boxes_of(truth), ["house"] * 2)
    options = {"text": looking(128), "detector": detector, "tiling": SMALL}
    run = segment(scene_of(truth), model=Perfect(truth), **options)
    assert run.objects["prompt"].tolist() == ["box+mask"] * 2
    for n, prompt in enumerate(map(pt.Prompt.from_json, run.prompts), 1):
        drawn = prompt.region.within(run.grid.window, (1, 1))
        assert (drawn == (truth == n))[:, ::4].mean() > 0.98  # the large one as coarse as it was seen
        assert (prompt.region.box == boxes_of(truth)[n - 1]).all()
    assert (run.read_labels(run.grid.window) == truth).all()
    assert segment(scene_of(truth), model=Boxed(truth), **options).objects["prompt"].tolist() == ["box"] * 2


class Boxed(Perfect):
    """Takes boxes only."""

    def __init__(self, truth: np.ndarray) -> None:
        super().__init__(truth)
        self.card = replace(self.card, abilities=frozenset({"box", "points"}))


class Pointed(Perfect):
    """Takes points only."""

    def __init__(self, truth: np.ndarray) -> None:
        super().__init__(truth)
        self.card = replace(self.card, abilities=frozenset({"points"}))


def organs() -> np.ndarray:
    """Two that lie side by side in some slices, and one that is above them."""
    truth = np.zeros((14, 60, 70), np.int32)
    for z in range(2, 11):
        truth[z, 10 + z : 30, 5:25] = 1
        truth[z, 12:30, 25 : 40 + z] = 2
    truth[11:14, 15:35, 5:40] = 3
    return truth


@pytest.mark.parametrize("size", [32, 100])
def test_boxes_of_slices_become_objects_of_a_volume(size: int) -> None:
    truth = organs()
    text = pt.Text("organ", tiling=pt.Tiling(size, size // 2))
    run = segment(volume_of(truth), text=text, detector=Sliced(truth), model=solid(truth), tiling=SMALL)
    boxes = np.array([prompt["box"] for prompt in run.prompts])
    assert boxes.tolist() == boxes_of(truth).tolist()
    assert (run.read_labels(run.grid.window) == truth).all()


def test_a_slice_that_was_overlooked_does_not_part_an_object() -> None:
    truth = organs()
    run = segment(volume_of(truth), text="organ", detector=Sliced(truth, blind=[6]), model=solid(truth), tiling=SMALL)
    assert len(run.objects) == 3
    assert (run.read_labels(run.grid.window) == truth).all()


def test_a_model_for_images_begins_in_the_middle_slice() -> None:
    truth = organs()
    run = segment(volume_of(truth), text="organ", detector=Sliced(truth), model=Drawn())
    starts = np.array([prompt["box"] for prompt in run.prompts])
    assert (starts[:, 1, 0] - starts[:, 0, 0] == 1).all()
    assert starts[:, 0, 0].tolist() == [5.5, 5.5, 11.5]
    assert starts[0, :, 1:].tolist() == [[15.5, 4.5], [29.5, 24.5]]


def volume_of(truth: np.ndarray) -> ArraySource:
    """`scene_of` a volume with slices 3 mm apart."""
    return scene_of(truth, spacing=(3, 1, 1))


def solid(truth: np.ndarray) -> Perfect:
    """A model for the volume."""
    return Perfect(truth, spacing=(3, 1, 1))


class Sliced(Truth):
    """Sees the truth in each slice.

    Parameters
    ----------
    truth : ndarray of int
    blind : sequence of int
        Slices in which nothing is seen.
    """

    def __init__(self, truth: np.ndarray, blind: Sequence[int] = ()) -> None:
        self.slices = [(boxes_of(plane), np.unique(plane[plane > 0])) for plane in truth]
        self.blind = blind
        super().__init__(np.zeros((0, 2, 2)), [])

    def shown(self, view):
        z = int(view.samples[1].flat[0])
        boxes = np.zeros((0, 2, 2)) if z in self.blind or not len(self.slices[z][1]) else self.slices[z][0]
        return boxes, np.ones(len(boxes)), ["organ"] * len(boxes)


class Drawn:
    """Draws the box that it is given, in images."""

    card = replace(Perfect(np.array([[1]])).card, abilities=frozenset({"points", "box"}))

    def embed(self, views):
        return [Embedding(view.shape, "", 1) for view in views]

    def predict(self, embedding, prompt):
        mask = np.full(embedding.content, -6, np.float32)
        if prompt.box is not None:
            low, high = np.clip(np.ceil(prompt.box).astype(int), 0, embedding.content)
            mask[low[0] : high[0], low[1] : high[1]] = 6
        return Masks(mask[None], np.array([0.9]))
