"""Sessions as somebody treats them who has not read the manual: odd values, lost files, forgotten folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import copytree, rmtree

import numpy as np
import pytest
from numpy.typing import NDArray

import promptile as pt
from promptile.errors import PromptError, RunError, UsageError
from promptile.grid import Window
from promptile.session import Stroke, waiting

_WINDOW = Window((2, 2), (3, 3))
_NOTHING = np.zeros((3, 3), np.uint32)


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    samples = np.random.default_rng(0).integers(0, 40, (96, 96), np.uint8)
    samples[20:50, 20:50] = 200
    samples[60:90, 60:90] = 250
    return samples


@pytest.fixture(scope="module")
def worked_on(image: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two objects, the second of which was painted on, and a draft."""
    out = tmp_path_factory.mktemp("run") / "a.run.zarr"
    with pt.Session(image, out=out) as session:
        for place in ((35, 35), (75, 75)):
            session.predict(pt.Prompts.of(points=[place]))
            session.accept("field")
        window = Window((70, 70), (3, 3))
        session.paint([Stroke(window, np.full((3, 3), 2, np.uint32), _NOTHING)])
        session.predict(pt.Prompts.of(points=[(35, 40)]))
    return out


@pytest.fixture
def run(worked_on: Path, tmp_path: Path) -> Path:
    copytree(worked_on, tmp_path / "b.run.zarr")
    return tmp_path / "b.run.zarr"


@pytest.mark.parametrize("painted", [-1, 2**32, 2**40])
def test_ids_that_are_none_are_not_painted(image: NDArray[np.uint8], run: Path, painted: int) -> None:
    with pt.Session(image, out=run) as session, pytest.raises(UsageError, match="Ids of objects are 1 to 4294967295"):
        session.paint([Stroke(_WINDOW, _NOTHING, np.full((3, 3), painted))])
    with pt.Session(image, out=run) as session:
        assert list(session.states) == [1, 2]


@pytest.mark.parametrize("window", [Window((95, 95), (3, 3)), Window((-1, 0), (3, 3)), Window((2, 2), (2, 3))])
def test_strokes_beside_the_image_are_refused(image: NDArray[np.uint8], window: Window) -> None:
    with pt.Session(image) as session, pytest.raises(UsageError, match="is no stroke on an image of"):
        session.paint([Stroke(window, _NOTHING, np.ones((3, 3), np.uint32))])


def test_ids_may_come_from_numpy(image: NDArray[np.uint8], run: Path) -> None:
    with pt.Session(image, out=run) as session:
        session.rename(np.array([1, 2]), "meadow")
    with pt.Session(image, out=run) as session:
        assert [state.record.category for state in session.states.values()] == ["meadow"] * 2


@pytest.mark.parametrize("category", ["\ud800", 5, b"field"])
def test_categories_that_no_file_could_hold_are_refused(image: NDArray[np.uint8], run: Path, category: str) -> None:
    with pt.Session(image, out=run) as session:
        deeds: list[Callable[[], object]] = [
            lambda: session.rename([1], category),
            lambda: session.accept(category),
            lambda: session.paint([Stroke(_WINDOW, _NOTHING, np.full((3, 3), 7, np.uint32))], category),
            lambda: session.take(session.run, [1], category),
        ]
        session.predict(pt.Prompts.of(points=[(35, 35)]))
        for deed in deeds:
            with pytest.raises(UsageError, match="is no category: give a text"):
                deed()
        assert len(session.run.journal.steps) == 3


def test_correcting_what_is_deleted_says_what_to_do(image: NDArray[np.uint8], run: Path) -> None:
    with pt.Session(image, out=run) as session:
        session.revise(1)
        session.delete([1])
        session.predict(pt.Prompts.of(points=[(35, 35)]))
        with pytest.raises(PromptError, match="Object 1, which this corrects, is deleted: undo that, or discard this"):
            session.accept()
        session.undo()
        assert session.accept() == 1


def test_without_prompts_nothing_that_was_done_by_hand_is_thrown_away(image: NDArray[np.uint8], run: Path) -> None:
    (run / "prompts.json").unlink()
    with pytest.raises(RunError, match=r"prompts.json is missing or damaged: put it back from a copy, or write \[\]"):
        pt.Session(image, out=run)
    (run / "prompts.json").write_text("[]")
    with pt.Session(image, out=run) as session:
        assert list(session.states) == [1, 2]


@pytest.mark.parametrize("name", ["draft.json", "image.json", "finished.json"])
def test_files_that_can_be_missed_may_be_moved_away(image: NDArray[np.uint8], run: Path, name: str) -> None:
    (run / name).write_text('{"half')
    with pytest.raises(RunError, match=f"{name} is missing or damaged: move it elsewhere"):
        _resumed(image, run)
    (run / name).unlink()
    assert _resumed(image, run) == [1, 2]


def test_labels_that_were_lost_are_painted_anew(image: NDArray[np.uint8], run: Path) -> None:
    before = pt.Run.open(run).labels[:]
    rmtree(run / "labels")
    with pt.Session(image, out=run) as session:
        np.testing.assert_array_equal(session.run.labels[:], before)


def test_labels_that_are_damaged_are_not_thrown_away_with_the_work(image: NDArray[np.uint8], run: Path) -> None:
    before = pt.Run.open(run).labels[:]
    (run / "labels/c/0/0").write_bytes(b"half")
    with pt.Session(image, out=run) as session:
        session.rename([1], "meadow")
        with pytest.raises(RunError, match="labels is missing or damaged: move it elsewhere, and open the run in a"):
            session.delete([1])
    rmtree(run / "labels")
    with pt.Session(image, out=run) as session:
        session.undo()
        np.testing.assert_array_equal(session.run.labels[:], before)


def test_where_it_cannot_be_read_what_is_unpainted_everything_is_painted(image: NDArray[np.uint8], run: Path) -> None:
    before = pt.Run.open(run).labels[:]
    pt.Run.open(run).labels[:] = 0
    (run / "unpainted.json").write_text("[1, 2]")
    with pt.Session(image, out=run) as session:
        np.testing.assert_array_equal(session.run.labels[:], before)


def test_objects_whose_mask_is_lost_can_be_deleted(image: NDArray[np.uint8], run: Path) -> None:
    (run / "masks/000001.npz").unlink()
    with pytest.raises(RunError, match=r"Object 1 has no mask, .*: put it back, or delete object 1"):
        pt.Run.open(run).mask(1)
    with pt.Session(image, out=run) as session:
        session.delete([1])
        assert list(session.states) == [2]


@pytest.mark.parametrize("name", ["n" * 300, "a.tif/b.run.zarr"])
def test_places_that_cannot_be_are_refused_in_a_line(image: NDArray[np.uint8], tmp_path: Path, name: str) -> None:
    (tmp_path / "a.tif").touch()
    with pytest.raises(RunError, match=r"cannot be written \(.*\): choose another"):
        pt.Session(image, out=tmp_path / name)


def test_boxes_may_be_far_larger_than_the_image(image: NDArray[np.uint8]) -> None:
    with pt.Session(image) as session:
        assert session.predict(pt.Prompts.of(boxes=[((-1e9, -1e9), (1e9, 1e9))])).mask.count


def _resumed(image: NDArray[np.uint8], run: Path) -> list[int]:
    with pt.Session(image, out=run) as session:
        session.resume()
        return list(session.states)


def test_a_request_that_is_damaged_is_named(image: NDArray[np.uint8], run: Path) -> None:
    (run.parent / "b.runs").mkdir()
    (run.parent / "b.runs/everything-1.run.json").write_text('{"half')
    with pt.Session(image, out=run) as session, pytest.raises(RunError, match=r"1\.run\.json is damaged: move"):
        waiting(session)
