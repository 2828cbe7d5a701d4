"""Proposals of another run: walked through, judged, taken; what was judged is remembered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from promptile import Everything, Review, Run, Session, Tiling, segment
from promptile.errors import RunError
from proposers import Whole
from test_run import run_on, scene
from test_session import session


@pytest.fixture
def proposals(tmp_path: Path) -> Run:
    return propose(tmp_path / "e.run.zarr")


def propose(path: Path, **wishes: object) -> Run:
    everything = Everything(**wishes)
    return segment(scene(), everything=everything, model=Whole(2), out=path, tiling=Tiling(64, 32), restart=True)


def test_proposals_are_walked_through_and_judged(proposals: Run, tmp_path: Path) -> None:
    with session(tmp_path / "s.run.zarr") as work:
        review = Review(work, proposals)
        ids = [int(i) for i in proposals.objects["id"]]
        assert (review.current, review.left) == (ids[0], 9)
        mask = review.mask()
        assert mask is not None
        assert mask.count == 900
        step = review.accept("roof")
        assert step is not None
        assert work.states[1].record.category == "roof"
        assert (work.run.mask(1).read(mask.window) == mask.read(mask.window)).all()
        assert review.current == ids[1]
        review.reject()
        assert review.current == ids[2]
        assert [review.next(), review.previous(), review.previous()] == [
            ids[3],
            ids[2],
            ids[8],
        ]  # round, past the judged
        review.accept()
        assert (review.current, review.left) == (ids[2], 6)
        assert list(work.states) == [1, 2]


def test_what_was_judged_waits_again_when_it_is_taken_back(proposals: Run, tmp_path: Path) -> None:
    with session(tmp_path / "s.run.zarr") as work:
        review = Review(work, proposals)
        first = review.current
        review.accept()
        review.reject()
        work.undo()
        work.undo()
        assert review.left == 9
        assert review.previous() is not None
        assert Review(work, proposals).current == first
        work.redo()
        assert review.left == 8


def test_what_was_judged_is_remembered_by_the_next_session(proposals: Run, tmp_path: Path) -> None:
    with session(tmp_path / "s.run.zarr") as work:
        review = Review(work, proposals)
        review.accept()
        review.reject()
        third = review.current
    with session(tmp_path / "s.run.zarr") as work:
        review = Review(work, Run.open(proposals.path))
        assert (review.current, review.left) == (third, 7)


def test_another_run_of_the_same_name_is_judged_anew(proposals: Run, tmp_path: Path) -> None:
    with session(tmp_path / "s.run.zarr") as work:
        Review(work, proposals).reject()
        assert Review(work, propose(proposals.path, keep="part")).left == 9


def test_all_judged_is_the_end(proposals: Run) -> None:
    with session() as work:
        review = Review(work, proposals)
        for _ in range(9):
            review.reject()
        assert (review.current, review.left, review.mask()) == (None, 0, None)
        assert (review.accept(), review.reject(), review.next(), review.previous()) == (None, None, None, None)
        assert not work.states
        work.undo()
        assert review.settle() is not None
        assert review.left == 1


def test_a_run_that_found_nothing_ends_at_once(tmp_path: Path) -> None:
    empty = propose(tmp_path / "e.run.zarr", min_region=10_000)
    with session() as work:
        assert (Review(work, empty).current, Review(work, empty).left) == (None, 0)


def test_all_objects_are_taken_in_one_step(proposals: Run) -> None:
    with session() as work:
        step = work.take(proposals, proposals.objects["id"])
        assert [change.id for change in step.changes] == list(range(1, 10))
        assert ((work.run.labels[...] > 0) == (scene() > 0)).all()
        work.undo()
        assert not work.run.labels[...].any()


def test_objects_of_a_run_of_prompts_can_be_asked_again(tmp_path: Path) -> None:
    run = run_on(scene(), tmp_path / "p.run.zarr")
    with session() as work:
        work.take(run, [7, 3])
        prompt = work.revise(1)
        assert prompt is not None
        assert prompt.points.tolist() == [[115, 25]]
        assert work.states[1].asked is not None
        with pytest.raises(RunError, match="has no object 10: choose one of its table"):
            work.take(run, [10])
        assert list(work.states) == [1, 2]


def test_another_image_is_refused(proposals: Run) -> None:
    with Session(np.ones((150, 150), np.uint8)) as work:
        with pytest.raises(RunError, match=r"e.run.zarr is of another image"):
            Review(work, proposals)
        with pytest.raises(RunError, match=r"e.run.zarr is of another image"):
            work.take(proposals, [1])
