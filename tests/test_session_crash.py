"""Sessions that are killed, and folders that fail: what was done is there, whole, and the labels show it."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from promptile import Prompts, Run, Session
from promptile.errors import RunError
from promptile.folders import Local
from promptile.grid import Window
from promptile.run import PromptedRun, TiledRun, prompted
from promptile.session import Stroke
from test_run import run_on, scene
from test_session import click, session
from test_session_paint import accept_box, open_session, stroke_of


@pytest.fixture(autouse=True, scope="module")
def quick_disk() -> Iterator[None]:
    """Waiting for the disk is for power cuts, which no test makes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield


class Killed(BaseException):
    """Nothing that anybody could catch."""


@dataclass(frozen=True)
class Dying(Local):
    """A folder whose process is killed after so many operations, or in the middle of the next one."""

    left: ClassVar[list[int]] = [10**9]

    def write(self, name: str, content: bytes) -> None:
        self._count()
        super().write(name, content)

    def remove(self, name: str) -> None:
        self._count()
        super().remove(name)

    def _count(self) -> None:
        self.left[0] -= 1
        if self.left[0] < 0:
            raise Killed


Known = dict[int, tuple[str, bytes]]


def known(run: PromptedRun) -> Known:
    """All that is known of all objects, and their samples."""
    states = run.states().items()
    return {i: (json.dumps(s.to_json()), run.mask(i).read(run.grid.window).tobytes()) for i, s in states}


def check_whole(run: PromptedRun) -> None:
    """The labels are what the masks paint, and nothing is half-written that is read."""
    labels = np.zeros(run.grid.shape, np.uint32)
    states = run.states()
    for i in sorted(states, key=lambda i: (states[i].record.score, -i)):
        labels[run.mask(i).read(run.grid.window)] = i
        if states[i].edited:
            run.edit(states[i].record)
    assert (run.labels[...] == labels).all()
    assert run.finished


def brush(work: Session) -> list[Stroke]:
    """One over two objects, one that makes a new one, one that erases."""
    over = stroke_of(work, Window((15, 15), (30, 10)), np.ones((30, 10), bool), 1)
    new = stroke_of(work, Window((70, 70), (5, 5)), np.ones((5, 5), bool), 50)
    gone = stroke_of(work, Window((60, 10), (10, 10)), np.ones((10, 10), bool), 0)
    return [over, new, gone]


def redo_all(work: Session) -> None:
    while work.redo():
        pass


def accept(work: Session) -> None:
    accept_box(work, Window((50, 50), (20, 30)), "field")


def revise(work: Session) -> None:
    work.revise(1)
    accept(work)


ACTS: dict[str, Callable[[Session], object]] = {
    "accept": accept,
    "revise": revise,
    "paint": lambda work: work.paint(brush(work)),
    "delete": lambda work: work.delete([1, 3]),
    "rename": lambda work: work.rename([2], "x"),
    "undo": lambda work: work.undo(),
    "redo": lambda work: work.redo(),
    "redo all": redo_all,
}


def begin(path: Path) -> Session:
    """Three objects, one of them painted on, and two steps that were taken back."""
    work = open_session(path)
    for window in (Window((10, 10), (20, 20)), Window((20, 15), (20, 20)), Window((60, 10), (10, 10))):
        accept_box(work, window)
    work.paint([stroke_of(work, Window((5, 5), (8, 8)), np.ones((8, 8), bool), 1)])
    for _ in range(2):
        accept_box(work, Window((80, 80), (9, 9)))
        work.paint([stroke_of(work, Window((12, 40), (8, 8)), np.ones((8, 8), bool), 1)])
    for _ in range(4):
        work.undo()
    return work


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("begun") / "s.run.zarr"
    begin(path).close()
    return path


@pytest.mark.parametrize("act", ACTS)
def test_a_kill_between_any_two_writes(act: str, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompted, "folder_of", lambda place: Dying(Path(place)))
    whole, moments = whole_after(act, shutil.copytree(begun, tmp_path / "whole.run.zarr")), 0
    for count in range(80):
        path = shutil.copytree(begun, tmp_path / f"{count}.run.zarr")
        work = open_session(path)
        before = known(work.run)
        survived = lives_through(work, act, count)
        work.close()
        with open_session(path) as again:
            check_whole(again.run)
            check_steps(again.run, begun)
            found = known(again.run)
            assert found == whole or (not survived and (found == before or act == "redo all"))
            assert again.ledger.next_id() > 5  # also of those that were undone
            moments += found == before
            while again.undo():
                check_whole(again.run)
            assert not again.states
        if survived:
            break
    assert survived
    assert moments > 1  # it was killed before it counted


def check_steps(run: PromptedRun, begun: Path) -> None:
    """Steps that were there before, undone ones too, have the masks that they had."""
    old = Run.open(begun)
    assert isinstance(old, PromptedRun)
    for step in run.journal.steps:
        for change in step.changes if step in old.journal.steps else ():
            for state in filter(None, (change.before, change.after)):
                masks = [r.kept(change.id, state.record.version).read(r.grid.window) for r in (old, run)]
                assert (masks[0] == masks[1]).all()


def lives_through(work: Session, act: str, count: int) -> bool:
    """Do something with a folder that dies after so many operations; whether it did not."""
    Dying.left[0] = count
    try:
        ACTS[act](work)
    except Killed:
        return False
    finally:
        Dying.left[0] = 10**9
    return True


def whole_after(act: str, path: Path) -> Known:
    """What there is if nothing goes wrong."""
    with open_session(path) as work:
        assert work.run.journal.highest == 5
        ACTS[act](work)
        return known(work.run)


def test_a_kill_between_two_pieces_of_the_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.run.zarr"
    work = open_session(path, (1100, 1200))
    for start in ((1000, 1000), (10, 10), (1060, 10)):
        accept_box(work, Window(start, (40, 50)))
    array = type(work.run.labels)
    write, left = array.__setitem__, [2]

    def dying(*args: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        write(*args)

    monkeypatch.setattr(array, "__setitem__", dying)
    with pytest.raises(Killed):
        work.delete([1, 2])
    monkeypatch.undo()
    assert work.run.unpainted is not None
    work.close()
    with open_session(path, (1100, 1200)) as again:
        check_whole(again.run)
        assert list(again.states) == [3]


def test_an_interrupted_run_counts_as_finished_only_once_it_is_painted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.run.zarr"
    run_on(scene(), path)
    (path / "finished.json").unlink()
    labels = Run.open(path).labels
    labels[...] = 0

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(type(labels), "__setitem__", killed)
    with pytest.raises(Killed):
        session(path)
    monkeypatch.undo()
    assert not Run.open(path).finished
    with session(path) as work:  # the one that was killed does not hold it any more
        assert (work.run.labels[...] == scene()).all()
        assert work.run.finished


def test_a_draft_is_gone_once_its_object_was_accepted_though_killed_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.run.zarr"
    work = session(path)
    work.predict(click(4))
    monkeypatch.setattr(
        PromptedRun, "draft", property(PromptedRun.draft.fget, lambda *_: (_ for _ in ()).throw(Killed))
    )
    with pytest.raises(Killed):
        work.accept("roof")
    monkeypatch.undo()
    work.close()
    with session(path) as again:
        assert again.states[1].record.category == "roof"
        assert again.draft is None
        assert again.resume() is None


def test_a_draft_is_gone_on_with_also_if_it_was_about_an_object(tmp_path: Path) -> None:
    path = tmp_path / "s.run.zarr"
    with session(path) as work:
        work.predict(click(0))
        work.accept()
        work.revise(1)
        work.predict(click(4))
    with session(path) as work:
        assert work.revised is None
        prompt = work.resume()
        assert prompt is not None
        assert prompt.points.tolist() == [[70, 70]]
        assert work.revised == 1
        work.predict(Prompts((prompt,)))
        assert work.accept() == 1
        assert work.run.objects["bbox"].tolist() == [[55, 55, 85, 85]]
        assert work.draft is None


SCRIPT = """
    import sys
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from test_session_crash import work_forever
    work_forever(Path({path!r}), {seed})
"""


def work_forever(path: Path, seed: int) -> None:
    """Random work, and after each step the objects that there are, to stdout."""
    chance = random.Random(seed)
    work = open_session(path)
    print("begin", flush=True)
    while True:
        what, ids = chance.choice(["accept", "accept", "paint", "undo", "redo", "delete"]), list(work.states)
        window = Window(
            (chance.randrange(60), chance.randrange(80)), (chance.randrange(1, 30), chance.randrange(1, 30))
        )
        print("try", flush=True)
        if what == "accept":
            accept_box(work, window)
        elif what == "paint":
            number = chance.choice([0, *ids, work.ledger.next_id()])
            work.paint([stroke_of(work, window, np.ones(window.shape, bool), number)])
        elif what == "delete" and ids:
            work.delete([chance.choice(ids)])
        elif what in ("undo", "redo"):
            getattr(work, what)()
        print(json.dumps([work.run.journal.done, {i: s.to_json() for i, s in work.states.items()}]), flush=True)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_kill_at_any_moment_loses_nothing_that_was_done(tmp_path: Path) -> None:
    kill_and_look(tmp_path, range(6))


def kill_and_look(folder: Path, seeds: range) -> None:
    path, highest = folder / "killed.run.zarr", 0
    for seed in seeds:
        out = (folder / "out.txt").open("w+")
        script = textwrap.dedent(SCRIPT).format(tests=str(Path(__file__).parent), path=str(path), seed=seed)
        process = subprocess.Popen([sys.executable, "-c", script], stdout=out, stderr=subprocess.PIPE)
        while not Path(out.name).read_text():
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            time.sleep(0.005)
        time.sleep(random.Random(seed).uniform(0.0, 0.8))
        os.kill(process.pid, signal.SIGKILL)
        assert process.communicate()[1] == b""
        lines = Path(out.name).read_text().splitlines()
        out.close()
        with open_session(path) as work:
            check_whole(work.run)
            told = [json.loads(line) for line in lines if line.startswith("[") and line.endswith("]")]
            if told and lines[-1] != "try":
                now = json.loads(json.dumps([work.run.journal.done, {i: s.to_json() for i, s in work.states.items()}]))
                assert now == told[-1]
            elif told:  # what was not told may be done or not
                assert abs(work.run.journal.done - told[-1][0]) <= 1
            assert work.ledger.next_id() > highest
            highest = work.run.journal.highest
        assert not [name for name in os.listdir(path / "journal") if not name.endswith((".json", ".part"))]


# Folders that fail


def test_labels_that_a_full_disk_has_left_behind_are_painted_by_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_session(tmp_path / "s.run.zarr") as work:
        for start in ((10, 10), (60, 60)):
            accept_box(work, Window(start, (20, 20)))

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(type(work.run.labels), "__setitem__", full)
        with pytest.raises(OSError, match="No space"):
            work.delete([1])
        monkeypatch.undo()
        assert not work.run.finished
        work.delete([2])
        assert not work.run.labels[...].any()
        check_whole(work.run)
        work.undo()
        work.undo()
        check_whole(work.run)
        assert list(work.states) == [1, 2]


def test_two_sessions_on_one_folder(tmp_path: Path) -> None:
    with session(tmp_path / "s.run.zarr"), pytest.raises(RunError, match="in use by another process"):
        session(tmp_path / "s.run.zarr")


def test_a_run_of_everything_is_no_place_for_a_session(tmp_path: Path) -> None:
    path = tmp_path / "e.run.zarr"
    with session(tmp_path / "s.run.zarr") as work:
        spec = {**work.run.spec, "everything": {"levels": [[0, [1, 1]]], "layers": 1}}
    TiledRun.start(path, {k: v for k, v in spec.items() if k != "format"}, restart=False).close()
    for _ in range(2):  # the second time, it is not locked by the first
        with pytest.raises(RunError, match="run of everything: choose another place, and take objects"):
            session(path)


@pytest.mark.parametrize("content", ["", "{", '{"what": "accept"}', "[]", '{"last": 1}'])
@pytest.mark.parametrize("name", ["000002.json", "undone.json"])
def test_a_damaged_step_is_named_and_the_others_are_not_lost(tmp_path: Path, content: str, name: str) -> None:
    path = tmp_path / "s.run.zarr"
    with session(path) as work:
        for number in (0, 1, 2, 3):
            work.predict(click(number))
            work.accept()
        work.undo()
    file = path / "journal" / name
    good = file.read_bytes()
    file.write_text(content)
    for _ in range(2):
        with pytest.raises(RunError, match=rf"journal/{name} is damaged: move it elsewhere") as caught:
            session(path)
        assert "\n" not in str(caught.value)
    file.rename(tmp_path / name)
    with session(path) as work:
        check_whole(work.run)
        assert list(work.states) == ([1, 3] if name == "000002.json" else [1, 2, 3, 4])
        work.predict(click(4))
        assert work.accept() == 5
    with session(path) as work:
        assert list(work.states) == ([1, 3, 5] if name == "000002.json" else [1, 2, 3, 4, 5])
        while work.undo():
            check_whole(work.run)
    (tmp_path / name).write_bytes(good)


def test_a_mask_that_is_lost_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.run.zarr"
    with session(path) as work:
        work.predict(click(0))
        work.accept()
        work.run.unpainted = work.run.grid.window
    (path / "masks" / "000001.npz").unlink()
    for _ in range(2):
        with pytest.raises(RunError, match=r"Object 1 has no mask, .*000001.npz is missing or damaged"):
            session(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs another user")
@pytest.mark.parametrize("name", ["s.run.zarr", "new.run.zarr"])
@pytest.mark.parametrize("mode", [0o500, 0o555])
def test_a_folder_that_cannot_be_written_is_refused_in_one_line(name: str, mode: int) -> None:
    """Root may write everywhere, so another user tries."""
    folder = Path(tempfile.mkdtemp(prefix="promptile-fixed-"))
    with session(folder / "s.run.zarr") as work:
        work.predict(click(0))
        work.accept()
    for place in [*folder.rglob("*"), folder]:
        place.chmod(mode if place.is_dir() else 0o444)
    script = textwrap.dedent(f"""
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_session import session
        if os.getuid() == 0:
            os.setuid(65534)
        try:
            session(Path({str(folder / name)!r}))
        except Exception as error:
            print(type(error).__name__, error)
    """)
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("RunError"), said.stdout + said.stderr
    assert "cannot be written" in said.stdout
    assert len(said.stdout.splitlines()) == 1
    for place in [folder, *(place for place in folder.rglob("*") if place.is_dir())]:
        place.chmod(0o700)
    shutil.rmtree(folder)
