"""Objects followed by what a perfect model remembers: exact, with one question per slice, and only where it can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

import promptile as pt
from promptile.cli import main
from promptile.engine.job import Job
from promptile.errors import ModelError
from promptile.models.protocols import Embedding, Masks, Memorable, Memory, WindowPrompt
from promptile.prompts import Prompts
from promptile.session.setting import Setting
from slices_cases import PerfectSlices, assert_is, grow, grower, samples_of, volume
from test_slices import ball, horseshoe


class PerfectMemory(PerfectSlices):
    """Remembers masks, and finds what lies beside the one of the slice before, or the nearest known one."""

    def __init__(self, *, pieces: bool = False) -> None:
        super().__init__(pieces=pieces)
        self.recalled: list[int] = []
        self.begun: list[list[int]] = []

    def remember(self, known: Sequence[Memorable]) -> Memory:
        self.begun.append([one.place for one in known])
        assert all(one.mask.shape == one.embedding.content.shape and one.mask.any() for one in known)
        return Memory({one.place: one.mask for one in known}, self.card.digest, 1000)

    def recall(self, memory: Memory, embedding: Embedding, place: int, way: int) -> tuple[Masks, Memory]:
        self.recalled.append(place)
        held: Mapping[int, np.ndarray] = memory.content
        assert place - way in held
        shown = np.where(held[place - way], np.float32(5), np.float32(-5))
        masks = self.predict(embedding, WindowPrompt(np.empty((0, 2)), np.empty(0, bool), mask=shown))
        if not held[place - way].any():
            masks = Masks(np.full_like(masks.logits, -6), np.array([0.0]))
        return masks, Memory({**held, place: masks.logits[0] > 0}, self.card.digest, 1000)


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("axis", [0, 2])
def test_branches_are_followed_back_and_forth(pieces: bool, axis: int) -> None:
    for click in [(3, 15, 12), (13, 33, 30)]:
        model = PerfectMemory(pieces=pieces)
        (grown,) = grow(volume(horseshoe()), Prompts.of(points=[click]), model, axis=axis, memory=True)
        assert_is(grown, horseshoe() == 1)
        assert model.recalled


def test_a_simple_object_is_recalled_slice_by_slice_from_two_beginnings() -> None:
    truth = ball((20, 40, 40), (10, 20, 20), (6, 12, 12)).astype(np.uint8)
    model = PerfectMemory()
    (grown,) = grow(volume(truth), Prompts.of(points=[(9, 20, 20)]), model, memory=True)
    assert_is(grown, truth == 1)
    assert model.begun == [[9]]
    assert sorted(model.recalled) == [3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17]


@pytest.mark.parametrize("pieces", [False, True])
def test_the_nearest_marks_are_remembered_too(pieces: bool) -> None:
    truth = horseshoe()
    model = PerfectMemory(pieces=pieces)
    prompts = Prompts.of(points=[(19, 15, 12), (4, 15, 12), (9, 15, 55)], objects=[1, 1, 1])
    (grown,) = grow(volume(truth), prompts, model, memory=True)
    assert_is(grown, truth == 1)
    assert [4, 9] in model.begun
    assert [4, 9, 19] in model.begun


def test_an_object_that_vanishes_needs_a_mark_on_each_part() -> None:
    truth = np.zeros((30, 40, 50), np.uint8)
    truth[ball(truth.shape, (6, 15, 15), (5, 9, 9))] = 1
    truth[ball(truth.shape, (22, 25, 35), (5, 8, 8))] = 1
    prompts = Prompts.of(points=[(6, 15, 15), (22, 25, 35)], objects=[1, 1])
    (both,) = grow(volume(truth), prompts, PerfectMemory(), memory=True)
    assert_is(both, truth == 1)
    (one,) = grow(volume(truth), Prompts.of(points=[(6, 15, 15)]), PerfectMemory(), memory=True)
    assert samples_of(one).any()
    assert not samples_of(one)[14:].any()


def test_a_piece_that_leaks_takes_no_other_with_it() -> None:
    """Two legs; where the memory of both leads astray in one, the other goes on."""
    truth = np.zeros((20, 40, 60), np.uint8)
    truth[2:6, 10:30, 10:50] = 1
    truth[6:18, 10:30, 10:20] = truth[6:18, 10:30, 40:50] = 1
    truth[8:, 5:35, 36:60][truth[8:, 5:35, 36:60] == 0] = 2

    class Leaky(PerfectMemory):
        def recall(self, memory: Memory, embedding: Embedding, place: int, way: int) -> tuple[Masks, Memory]:
            masks, after = super().recall(memory, embedding, place, way)
            if place == 12 and memory.content[11][:, 40:].any():
                masks.logits[0][:, 30:] = np.where(embedding.content[:, 30:] > 0, 6, -6)
            return masks, after

    (grown,) = grow(volume(truth), Prompts.of(points=[(3, 15, 12)]), Leaky(pieces=True), memory=True)
    found = samples_of(grown)
    assert grown.open_edge
    assert (found[:12] == (truth == 1)[:12]).all()
    assert (found[12:] == (truth == 1)[12:] & (np.arange(60) < 30)).all()


@pytest.mark.parametrize("pieces", [False, True])
def test_slices_larger_than_a_tile(pieces: bool) -> None:
    truth = np.zeros((9, 90, 120), np.uint8)
    truth[1:8, 10:80, 10:20] = 1
    truth[3:6, 40:50, 10:115] = 1
    truth[2:8, 20:70, 100:112] = 1
    truth[5:9, 5:12, 60:68] = 2
    for label, click in ((1, (2, 15, 15)), (2, (7, 8, 64))):
        (grown,) = grow(volume(truth), Prompts.of(points=[click]), PerfectMemory(pieces=pieces), tile=32, memory=True)
        assert_is(grown, truth == label)


def test_a_vessel_that_leaves_its_window() -> None:
    z, y, x = np.ogrid[:40, :60, :60]
    truth = (np.hypot(y - 30 - 18 * np.sin(z / 6), x - 30 - 18 * np.cos(z / 6)) < 4).astype(np.uint8)
    model = PerfectMemory(pieces=True)
    (grown,) = grow(volume(truth), Prompts.of(points=[np.argwhere(truth)[0]]), model, tile=32, memory=True)
    assert_is(grown, truth == 1)
    assert 1 < len(model.begun) < 20


@pytest.mark.parametrize("pieces", [False, True])
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.data())
def test_any_connected_object_from_any_click(pieces: bool, drawn: st.DataObject) -> None:
    shape = drawn.draw(st.tuples(*[st.integers(5, 20)] * 3), label="shape")
    noise = np.random.default_rng(drawn.draw(st.integers(0, 2**32 - 1), label="seed")).normal(size=shape)
    smooth = ndimage.gaussian_filter(noise, drawn.draw(st.floats(0.8, 3.0), label="blur"))
    mask = smooth > np.quantile(smooth, drawn.draw(st.floats(0.4, 0.9), label="part"))
    truth = ndimage.label(mask, np.ones((3, 3, 3)))[0].astype(np.int32)
    where = np.argwhere(truth)
    click = where[drawn.draw(st.integers(0, len(where) - 1), label="click")]
    (grown,) = grow(volume(truth), Prompts.of(points=[click]), PerfectMemory(pieces=pieces), memory=True)
    assert_is(grown, truth == truth[tuple(click)])


def test_a_model_without_memory_is_refused() -> None:
    source = volume(horseshoe())
    with pytest.raises(ModelError, match=r"'perfect' has no memory of slices: leave memory out, or use sam2.1-tiny"):
        pt.segment(source, Prompts.of(points=[(3, 15, 12)]), model=PerfectSlices(), slices=pt.Slices(memory=True))


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, out = tmp_path / "ct.nii.gz", tmp_path / "organ.nii.gz"
    nibabel.save(nibabel.Nifti1Image(horseshoe(), np.eye(4)), image)
    points = tmp_path / "points.csv"
    points.write_text("z,y,x\n3,15,12\n", encoding="utf-8")
    said = ["segment", str(image), "--points", str(points), "--model", "basin", "--memory", "--out", str(out)]
    assert main(said) != 0
    assert "has no memory of slices: leave memory out, or use sam2.1-tiny" in capsys.readouterr().err
    assert not out.exists()


def test_limits_arrivals_and_cancellation() -> None:
    truth = np.zeros((20, 30, 30), np.uint8)
    truth[2:18, 5:25, 5:25] = 1
    made = grower(volume(truth), PerfectMemory(), slices=pt.Slices(reach=14, memory=True))
    arrived: list[int] = []
    made.arrived = lambda arrival: arrived.append(arrival.index)
    (prompt,) = Prompts.of(points=[(9, 15, 15)])
    assert np.flatnonzero(samples_of(made.grow(prompt)).any(axis=(1, 2))).tolist() == list(range(9, 15))
    assert sorted(arrived) == [10, 11, 12, 13, 14]

    def stop() -> None:
        if len(arrived) > 2:
            raise InterruptedError

    arrived.clear()
    again = grower(volume(truth), model := PerfectMemory(), slices=pt.Slices(memory=True))
    again.arrived = lambda arrival: arrived.append(arrival.index)
    again.embedder.checkpoint = stop
    with pytest.raises(InterruptedError):
        again.grow(prompt)
    assert len(model.recalled) == 3


def test_what_a_mark_does_not_change_is_not_recalled_again() -> None:
    truth = np.zeros((30, 30, 30), np.uint8)
    truth[2:28, 5:25, 5:25] = 1
    made = grower(volume(truth), model := PerfectMemory(), slices=pt.Slices(memory=True))
    (before,) = Prompts.of(points=[(9, 15, 15), (15, 15, 15)], objects=[1, 1])
    (after,) = Prompts.of(points=[(9, 15, 15), (15, 15, 15), (22, 15, 15)], objects=[1, 1, 1])
    made.grow(before)
    model.recalled.clear()
    made.grow(after)
    assert min(model.recalled) > 9


def test_it_is_said_in_what_a_run_keeps_and_only_then() -> None:
    assert "memory" not in pt.Slices().to_json()
    assert pt.Slices.from_json(pt.Slices(memory=True).to_json()) == pt.Slices(memory=True)
    model = PerfectMemory()
    job = Job.prepare(volume(horseshoe()), model, slices=pt.Slices(memory=True))
    setting = Setting(job)
    assert setting.along(pt.Slices(memory=True, reach="forward")).grower.embedder is setting.grower.embedder
    assert setting.along(pt.Slices()).grower.embedder is not setting.grower.embedder


def test_a_session_follows_by_memory_only_with_a_model_that_has_one() -> None:
    source, model = volume(horseshoe()), PerfectMemory()
    along = Setting(Job.prepare(source, model, slices=pt.Slices())).along(pt.Slices(0, memory=True))
    (prompt,) = Prompts.of(points=[(3, 15, 12)])
    assert_is(along.grower.grow(prompt), horseshoe() == 1)
    assert model.recalled
    without = Setting(Job.prepare(source, PerfectSlices(), slices=pt.Slices()))
    with pytest.raises(ModelError, match="has no memory of slices"):
        without.along(pt.Slices(0, memory=True))
