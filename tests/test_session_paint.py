"""Objects painted by hand: labels, states and what can be taken back, against plain boolean arrays."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from perfect import Perfect
from promptile import Prompts, Run, Session, Tiling
from promptile.engine.paint import paint
from promptile.grid import Window
from promptile.masks import Edit, ObjectMask
from promptile.models.protocols import Masks
from promptile.run import PromptedRun
from promptile.session import Stroke, replay

SHAPE = (90, 110)
Truth = dict[int, NDArray[np.bool_]]


@pytest.fixture(autouse=True, scope="module")
def quick_disk() -> Iterator[None]:
    """Waiting for the disk is for power cuts, which no test makes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield


class Boxes(Perfect):
    """Answers a box with the box; the smaller it is, the surer."""

    def predict(self, embedding, prompt):
        mask = np.zeros(embedding.content.shape, bool)
        low, high = (np.clip(np.round(corner + 0.5).astype(int), 0, mask.shape) for corner in prompt.box)
        mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
        return Masks(np.where(mask, np.float32(6), np.float32(-6))[None], np.array([1 / (1 + mask.sum())]))


def open_session(path: Path | None = None, shape: tuple[int, ...] = SHAPE) -> Session:
    return Session(np.ones(shape, np.uint8), Boxes(len(shape)), out=path, tiling=Tiling(200, 100), window=(0, 1))


def accept_box(work: Session, window: Window, category: str = "") -> int:
    low, high = np.subtract(window.start, 0.5), np.subtract(window.stop, 0.5)
    work.predict(Prompts.of(boxes=[(low, high)]))
    return work.accept(category)


def stroke_of(work: Session, window: Window, brush: NDArray[np.bool_], number: int) -> Stroke:
    before = work.run.read_labels(window)
    return Stroke(window, before, np.where(brush, np.uint32(number), before))


@dataclass
class Oracle:
    """All objects as boolean arrays; every state that there was is kept, for undo and redo."""

    truth: Truth = field(default_factory=dict)
    past: list[Truth] = field(default_factory=list)
    future: list[Truth] = field(default_factory=list)
    given: set[int] = field(default_factory=set)

    def step(self, truth: Truth) -> None:
        self.past.append(self.truth)
        self.truth, self.future = truth, []

    def undo(self) -> None:
        if self.past:
            self.future.append(self.truth)
            self.truth = self.past.pop()

    def redo(self) -> None:
        if self.future:
            self.past.append(self.truth)
            self.truth = self.future.pop()

    def labels(self, work: Session) -> NDArray[np.uint32]:
        labels = np.zeros(SHAPE, np.uint32)
        for i in sorted(self.truth, key=lambda i: (work.states[i].record.score, -i)):
            labels[self.truth[i]] = i
        return labels


def check(work: Session, oracle: Oracle) -> None:
    assert list(work.states) == sorted(oracle.truth)
    for i, mask in oracle.truth.items():
        assert (work.run.mask(i).read(work.run.grid.window) == mask).all(), i
        record = work.states[i].record
        assert record.count == mask.sum()
        assert record.measures == {"area_px": mask.sum()}
    assert (work.run.labels[...] == oracle.labels(work)).all()
    assert work.run.unpainted is None


@st.composite
def windows(draw: Callable[..., int]) -> Window:
    start = [draw(st.integers(0, n - 2)) for n in SHAPE]
    return Window(tuple(start), tuple(draw(st.integers(1, min(40, n - a))) for n, a in zip(SHAPE, start, strict=True)))


STEPS = st.one_of(
    st.tuples(st.just("accept"), windows()),
    st.tuples(st.just("paint"), windows(), st.integers(0, 2**16), st.integers(0, 99)),
    st.tuples(st.sampled_from(["undo", "redo", "reopen", "delete", "rename"]), st.integers(0, 99)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=4, max_size=14))
def test_random_work_is_what_arrays_say(steps: list[tuple]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.run.zarr"
        work, oracle = open_session(path), Oracle()
        for what, *rest in steps:
            work = perform(work, oracle, what, rest, path)
            check(work, oracle)
        work.close()


def perform(work: Session, oracle: Oracle, what: str, rest: list, path: Path) -> Session:
    ids = sorted(oracle.truth)
    if what == "accept":
        mask = np.zeros(SHAPE, bool)
        mask[rest[0].slices] = True
        number = accept_box(work, rest[0])
        assert number not in oracle.given
        oracle.given.add(number)
        oracle.step({**oracle.truth, number: mask})
    elif what == "paint":
        paint_randomly(work, oracle, *rest)
    elif what in ("delete", "rename") and ids:
        number = ids[rest[0] % len(ids)]
        kept = {i: mask for i, mask in oracle.truth.items() if i != number or what == "rename"}
        work.delete([number]) if what == "delete" else work.rename([number], f"{rest[0]}")
        oracle.step(kept)
    elif what in ("undo", "redo"):
        getattr(work, what)()
        getattr(oracle, what)()
    elif what == "reopen":
        work.close()
        return open_session(path)
    return work


def paint_randomly(work: Session, oracle: Oracle, window: Window, seed: int, choice: int) -> None:
    """Two strokes, one over the other: with an object, with nothing, or with a new one."""
    chance = np.random.default_rng(seed)
    ids = [0, *sorted(oracle.truth)]
    number = ids[choice % len(ids)] if choice % 3 else work.ledger.next_id()
    if number not in ids:
        assert number not in oracle.given
    truth, strokes, shown = dict(oracle.truth), [], work.run.read_labels(window)
    for n in (number, ids[-1]):
        after = np.where(chance.random(window.shape) < 0.3, np.uint32(n), shown)
        changed = np.zeros(SHAPE, bool)
        changed[window.slices] = after != shown
        strokes.append(Stroke(window, shown, after))
        truth = {i: mask & ~changed for i, mask in truth.items()}
        if n:
            truth[n] = truth.get(n, np.zeros(SHAPE, bool)) | changed
        shown = after
    truth = {i: mask for i, mask in truth.items() if mask.any()}
    step = work.paint(strokes)
    if step is None:
        assert all((truth[i] == oracle.truth[i]).all() for i in truth)
        assert truth.keys() == oracle.truth.keys()
        return
    oracle.given |= {change.id for change in step.changes}
    oracle.step(truth)


def test_repainting_a_part_is_repainting_all() -> None:
    """`paint` within windows, which may overlap and reach over stored pieces, against painting everything anew."""
    work = open_session(None, (1500, 1300))
    for y, x in ((900, 900), (950, 1000), (1000, 900), (1400, 1200), (10, 10)):
        accept_box(work, Window((y, x), (80, 90)))
    right = work.run.labels[...]
    records = [state.record for state in work.states.values()]
    for within in ([Window((950, 950), (120, 120))], [Window((0, 0), (1500, 1300)), Window((30, 30), (1000, 1200))]):
        for window in within:
            work.run.labels[window.slices] = 77
        paint(work.run, records, within=within)
        assert (work.run.labels[...] == right).all()
    work.run.labels[...] = 0
    paint(work.run, records)
    assert (work.run.labels[...] == right).all()


def test_a_step_over_many_objects_writes_each_stored_piece_once(monkeypatch: pytest.MonkeyPatch) -> None:
    work = open_session()
    for n in range(9):
        accept_box(work, Window((5 + 9 * n, 5), (5, 50)))
    written = []
    array = type(work.run.labels)
    whole = array.__setitem__
    monkeypatch.setattr(array, "__setitem__", lambda *args: (written.append(args[1]), whole(*args)))
    work.delete(range(1, 10))
    assert len(written) == 1
    assert not work.run.labels[...].any()


def test_a_stroke_that_changes_nothing_is_no_step() -> None:
    work = open_session()
    accept_box(work, Window((10, 10), (20, 20)))
    same = stroke_of(work, Window((5, 5), (30, 30)), np.zeros((30, 30), bool), 9)
    new = stroke_of(work, Window((50, 50), (4, 4)), np.ones((4, 4), bool), 9)
    back = Stroke(new.window, new.after, new.before)
    assert work.paint([same]) is None
    assert work.paint([]) is None
    assert work.paint([new, back]) is None
    assert len(work.run.journal.steps) == 1


BRUSH = Window((25, 5), (10, 20))


def test_what_was_painted_stays_when_the_object_is_asked_again(tmp_path: Path) -> None:
    with open_session(tmp_path / "s.run.zarr") as work:
        accept_box(work, Window((10, 10), (20, 20)))
        work.paint([stroke_of(work, BRUSH, np.ones(BRUSH.shape, bool), 1)])
        work.paint([stroke_of(work, Window((12, 12), (3, 3)), np.ones((3, 3), bool), 0)])
    with open_session(tmp_path / "s.run.zarr") as work:
        prompt = work.revise(1)
        assert prompt is not None
        assert prompt.box is not None
        accept_box(work, Window((8, 8), (30, 40)))
        truth = np.zeros(SHAPE, bool)
        truth[8:38, 8:48] = True
        truth[BRUSH.slices] = True
        truth[12:15, 12:15] = False
        check(work, Oracle({1: truth}))
        work.undo()
        assert work.run.mask(1).count == 400 + 200 - 75 - 9
        work.redo()
        again = replay(work.run, work.source, model=Boxes(2), out=tmp_path / "again.run.zarr")
        assert again.identical
        assert (again.run.labels[...] == work.run.labels[...]).all()
        assert again.run.states()[1].edited


def test_edited_objects_of_another_run_are_taken_with_their_edits(tmp_path: Path) -> None:
    with open_session(tmp_path / "a.run.zarr") as work:
        accept_box(work, Window((10, 10), (20, 20)), "roof")
        work.recolour([1], "#2ecc40")
        work.paint([stroke_of(work, BRUSH, np.ones(BRUSH.shape, bool), 1)])
        work.paint([stroke_of(work, Window((60, 60), (5, 5)), np.ones((5, 5), bool), 2)], "hand made")
        before = work.run.mask(1).read(work.run.grid.window)
    other = Run.open(tmp_path / "a.run.zarr")
    assert isinstance(other, PromptedRun)
    with open_session(tmp_path / "b.run.zarr") as work:
        accept_box(work, Window((40, 40), (5, 5)))
        work.take(other, [1, 2])
        assert [work.states[i].record.category for i in (1, 2, 3)] == ["", "roof", "hand made"]
        assert work.states[2].edited
        assert work.states[2].colour == "#2ecc40"
        assert (work.run.mask(2).read(work.run.grid.window) == before).all()
        assert work.states[2].prompt is not None
        assert work.states[2].prompt["id"] == 2
        work.revise(2)
        accept_box(work, Window((0, 0), (5, 5)))
        truth = np.zeros(SHAPE, bool)
        truth[:5, :5] = True
        truth[BRUSH.slices] = True
        truth[25:30, 10:25] = False  # they were part of what the model found, not painted
        assert (work.run.mask(2).read(work.run.grid.window) == truth).all()
        assert replay(work.run, work.source, model=Boxes(2)).identical


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(1100, 530), (70, 130, 66)]))
def test_masks_are_joined_cut_and_replaced_as_arrays_are(seed: int, shape: tuple[int, ...]) -> None:
    chance = np.random.default_rng(seed)

    def window() -> Window:
        start = [int(chance.integers(0, n)) for n in shape]
        return Window.between(start, [int(chance.integers(a + 1, n + 1)) for a, n in zip(start, shape, strict=True)])

    def some() -> tuple[NDArray[np.bool_], ObjectMask]:
        array, where = np.zeros(shape, bool), window()
        array[where.slices] = chance.random(where.shape) < chance.choice([0, 0.5, 1])
        return array, ObjectMask.of(shape, where, array[where.slices])

    def same(mask: ObjectMask, array: NDArray[np.bool_]) -> None:
        assert mask.count == array.sum()
        assert (mask.read(Window.of(shape)) == array).all()
        bounds = [np.flatnonzero(array.any(axis=tuple({*range(array.ndim)} - {n}))) for n in range(array.ndim)]
        if mask.count:
            assert mask.window == Window.between([b[0] for b in bounds], [b[-1] + 1 for b in bounds])

    (a, mine), (b, other), (c, third) = some(), some(), some()
    same(mine | other, a | b)
    same(mine - other, a & ~b)
    where = window()
    new = chance.random(where.shape) < 0.5
    replaced = a.copy()
    replaced[where.slices] = new
    same(mine.replaced(where, new), replaced)
    edit = Edit(mine, other - mine)
    same(edit.on(third), (c | a) & ~(b & ~a))
    later = edit.then(third, mine - third)
    same(later.on(other), (((b | a) & ~(b & ~a)) | c) & ~(a & ~c))
