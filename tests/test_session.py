"""Interactive work without a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perfect import Perfect
from promptile import Prompts, Run, Session, Tiling
from promptile.errors import PromptError, RunError, UsageError
from promptile.grid import Window
from promptile.run import Step
from promptile.session import Stroke, thumbnails
from test_run import run_on, scene


def session(out: Path | None = None) -> Session:
    return Session(scene(), Perfect(2), out=out, tiling=Tiling(64, 32), window=(0, 9))


def click(number: int) -> Prompts:
    return Prompts.of(points=[(25 + 45 * (number // 3), 25 + 45 * (number % 3))])


def changed(step: Step | None) -> list[int] | None:
    return None if step is None else [change.id for change in step.changes]


def test_ask_look_keep_take_back_and_put_back(tmp_path: Path) -> None:
    with session(tmp_path / "s.run.zarr") as work:
        assert work.predict(click(4)).mask.count == 900
        assert not work.run.labels[...].any()
        assert work.accept("roof") == 1
        assert (work.run.labels[55:85, 55:85] == 1).all()
        assert work.predict(click(0)).mask.count == 900
        assert work.accept() == 2
        assert [changed(work.undo()), changed(work.undo()), changed(work.undo())] == [[2], [1], None]
        assert not work.run.labels[...].any()
        assert [changed(work.redo()), changed(work.redo()), changed(work.redo())] == [[1], [2], None]
        assert ((work.run.labels[...] > 0) == ((scene() == 1) | (scene() == 5))).all()
    kept = Run.open(tmp_path / "s.run.zarr")
    assert kept.objects["category"].tolist() == ["roof", ""]
    assert [state.prompt["id"] for state in kept.states().values()] == [1, 2]


def test_answers_to_clicks_around_which_nothing_ends_are_doubted() -> None:
    body = np.full((40, 40, 40), 60, np.int16)
    body[0] = 0
    with Session(body, "basin") as work:
        assert not work.doubt
        work.predict(Prompts.of(points=[(20, 20, 20)]))
        assert work.doubt.startswith("may be a part only")
        work.predict(Prompts.of(boxes=[[(0.5, -0.5, -0.5), (39.5, 39.5, 39.5)]]))
        assert not work.doubt
        body[0] = body[10:] = body[:, 10:] = body[:, :, 10:] = 0
    with Session(body, "basin") as work:
        work.predict(Prompts.of(points=[(5, 5, 5)]))
        assert not work.doubt


def test_categories_that_differ_in_case_and_spaces_are_one() -> None:
    with session() as work:

        def keep(number: int, category: str) -> None:
            work.predict(click(number))
            work.accept(category)

        def names() -> list[str]:
            return [state.record.category for state in work.states.values()]

        for number, category in enumerate(["flat roof", "Flat  Roof", " FLAT ROOF", "shed"]):
            keep(number, category)
        assert names() == ["flat roof"] * 3 + ["shed"]
        assert work.states[2].prompt["category"] == "flat roof"
        work.rename([4], "FLAT roof")
        assert names() == ["flat roof"] * 4
        work.rename([4], "Shed")  # no other object has it: it may be written anew
        work.revise(3)
        keep(2, "sHED")
        assert names() == ["flat roof", "flat roof", "Shed", "Shed"]
        work.paint([Stroke(Window((0, 0), (1, 1)), np.zeros((1, 1), np.uint32), np.full((1, 1), 9, np.uint32))], "SHED")
        work.rename([1, 2], "Flat Roof")
        work.take(work.run, [1], "FLAT ROOF")
        assert names() == ["Flat Roof", "Flat Roof", "Shed", "Shed", "Shed", "Flat Roof"]


def test_answers_have_small_pictures_of_what_lies_around_them() -> None:
    work = session()
    grown = work.predict(click(4))
    (small,) = thumbnails(work.setting.job, grown.candidates, side=20)
    assert 10 <= max(small.picture.shape[:2]) <= 20
    green = small.picture[..., 1].astype(int) > small.picture[..., 0] + 20
    assert 0.3 < green.mean() < 0.9


def test_a_new_object_after_undo_forgets_what_was_undone() -> None:
    work = session()
    for number in (0, 1):
        work.predict(click(number))
        work.accept()
    work.undo()
    work.predict(click(2))
    assert work.accept() == 3  # an id is never given twice
    assert work.redo() is None
    assert work.run.objects["id"].tolist() == [1, 3]


def test_a_session_goes_on_where_an_earlier_one_stopped(tmp_path: Path) -> None:
    with session(tmp_path / "s.run.zarr") as work:
        work.predict(click(0))
        work.accept()
        with pytest.raises(RunError, match="in use"):
            session(tmp_path / "s.run.zarr")
    with session(tmp_path / "s.run.zarr") as work:
        work.predict(click(1))
        assert work.accept() == 2
        assert work.run.objects["id"].tolist() == [1, 2]
        assert [changed(work.undo()), changed(work.undo()), changed(work.undo())] == [[2], [1], None]


def test_what_makes_no_sense_is_refused() -> None:
    work = session()
    with pytest.raises(UsageError, match="predict first"):
        work.accept()
    with pytest.raises(PromptError, match="one object at a time"):
        work.predict(Prompts.of(points=[(25, 25), (70, 70)]))
    with pytest.raises(PromptError, match="outside"):
        work.predict(Prompts.of(points=[(2500, 25)]))
    assert work.preview is None


def test_a_session_on_a_finished_run_adds_to_it(tmp_path: Path) -> None:
    path = tmp_path / "s.run.zarr"
    run_on(scene(), path)
    with session(path) as work:
        for _ in range(2):
            work.predict(click(0))
            work.accept()
        assert work.run.objects["id"].tolist() == list(range(1, 12))
        work.undo()
    assert Run.open(path).finished
    assert Run.open(path).objects["id"].tolist() == list(range(1, 11))


def test_a_session_paints_what_a_killed_one_had_not(tmp_path: Path) -> None:
    path = tmp_path / "s.run.zarr"
    with session(path) as work:
        work.predict(click(0))
        work.accept()
        work.run.labels[...] = 0
        work.run.unpainted = work.run.grid.window
    with session(path) as work:
        assert (work.run.labels[10:40, 10:40] == 1).all()


def test_a_glimpse_comes_before_the_whole() -> None:
    """A river through many windows: the first one shows it long before its end is known."""
    image = np.zeros((64, 600), np.uint8)
    image[30:34] = 1
    work = Session(image, Perfect(2), tiling=Tiling(64, 32), window=(0, 9))
    seen = []
    whole = work.predict(Prompts.of(points=[(31, 20)]), glimpse=seen.append)
    assert [int((candidates.masks.logits[candidates.taken] > 0).sum()) for candidates in seen] == [4 * 64]
    assert whole.mask.count == 4 * 600


def test_nothing_is_not_accepted() -> None:
    work = session()
    work.predict(Prompts.of(points=[(2, 2)]))  # background, on which a perfect model finds nothing
    with pytest.raises(PromptError, match="finds nothing there"):
        work.accept()
    assert not work.states


def test_what_a_run_is_tells_of_the_session(tmp_path: Path) -> None:
    from promptile.report import describe_run

    path = tmp_path / "s.run.zarr"
    run_on(scene(), path)
    assert describe_run(Run.open(path))["asked"] == "9 prompts"
    with session(path) as work:
        work.delete([1, 2])
    assert describe_run(Run.open(path))["asked"] == "9 prompts, 1 step by hand"
