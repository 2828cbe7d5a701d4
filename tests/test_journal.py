"""The journal: steps, taken back and done again, against a plain list; ids are never given twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptile.errors import RunError
from promptile.folders import Local
from promptile.run import Change, Journal, Record, State, Step


class Memory:
    """A folder in memory."""

    place = "memory"

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def read(self, name: str) -> bytes:
        return self.files[name]

    def write(self, name: str, content: bytes) -> None:
        self.files[name] = content

    def names(self, room: str = "") -> list[str]:
        return sorted(name for name in self.files if name.startswith(f"{room}/"))

    def exists(self, name: str) -> bool:
        return name in self.files

    def remove(self, name: str) -> None:
        self.files.pop(name, None)


def state(i: int, version: int = 1, **facts: object) -> State:
    return State(Record(i, "", "points", bbox=((0, 0), (i, i)), count=i, version=version), **facts)


def made(i: int) -> Step:
    return Step("accept", (Change(i, None, state(i)),), highest=i)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["append", "append", "undo", "redo", "reopen", "cut"]), max_size=40), st.data())
def test_any_sequence_is_what_a_list_says(acts: list[str], data: st.DataObject) -> None:
    folder = Memory()
    journal, done, undone, highest = Journal(folder), [], [], 0
    for act in acts:
        if act == "append":
            highest += 1
            journal.append(made(highest))
            done, undone = [*done, highest], []
        elif act == "undo" and done:
            journal.undo()
            undone.append(done.pop())
        elif act == "redo" and undone:
            journal.redo()
            done.append(undone.pop())
        elif act == "reopen":
            journal = Journal(folder)
        elif act == "cut" and undone:  # killed while a step was written
            kept = dict(folder.files)
            journal.append(made(highest + 1))
            steps = sorted(set(kept) - set(folder.files), reverse=True)
            gone = steps[: data.draw(st.integers(0, len(steps)))]
            folder.files = {name: content for name, content in kept.items() if name not in gone or "undone" in name}
            lost = sum("undone" not in name for name in gone)
            undone = undone[lost:]
            journal = Journal(folder)
        assert [step.changes[0].id for step in journal.steps] == [*done, *reversed(undone)]
        assert journal.done == len(done)
        assert {i for i, s in journal.states.items() if s is not None} == set(done)
        assert journal.highest == highest
        assert (journal.next_undone is not None) == bool(done)
        assert (journal.next_redone is not None) == bool(undone)


def test_a_step_survives_the_way_through_a_file(tmp_path: Path) -> None:
    folder = Local(tmp_path)
    changes = (
        Change(3, None, state(3, prompt={"id": 3, "points": [[1.5, 2.0]]}, asked={"level": None}, colour="#2ecc40")),
        Change(7, state(7, 4, edited=True), None),
    )
    step = Step("paint", changes, {"run": "é"}, highest=9)
    Journal(folder).append(step)
    again = Journal(folder)
    assert again.steps == [step]
    assert again.highest == 9
    assert (again.version(7), again.version(3), again.version(5)) == (4, 1, 0)


def test_what_was_undone_is_learnt_but_does_not_count(tmp_path: Path) -> None:
    folder = Local(tmp_path)
    journal = Journal(folder)
    journal.append(made(1))
    journal.append(Step("paint", (Change(1, state(1), state(1, 2)),), highest=1))
    journal.undo()
    again = Journal(folder)
    assert again.states[1] == state(1)
    assert again.version(1) == 2  # its mask is there, and another one must not replace it


def test_more_steps_than_a_name_has_digits(tmp_path: Path) -> None:
    folder = Memory()
    folder.files = {f"journal/{n}.json": b"" for n in (999_999, 1_000_000)}
    journal = Journal(Memory())
    for n in (1, 2):
        journal.append(made(n))
    for old, new in ((1, 999_999), (2, 1_000_000)):
        folder.files[f"journal/{new}.json"] = journal._folder.read(f"journal/{old:06d}.json")
    again = Journal(folder)
    assert [step.highest for step in again.steps] == [1, 2]
    again.append(made(3))
    assert "journal/1000001.json" in folder.files
    assert [step.highest for step in Journal(folder).steps] == [1, 2, 3]


def test_what_is_no_step_is_left_alone(tmp_path: Path) -> None:
    folder = Local(tmp_path)
    Journal(folder).append(made(1))
    for name in ("000002.json.0a1b.part", "notes.txt", "000002 (copy).json"):
        folder.write(f"journal/{name}", b"{")
    journal = Journal(folder)
    assert len(journal.steps) == 1
    journal.append(made(2))
    assert len(Journal(folder).steps) == 2


def test_a_step_that_is_lost_takes_no_other_with_it(tmp_path: Path) -> None:
    """Its number is not given again to another one that is still there."""
    folder = Local(tmp_path)
    journal = Journal(folder)
    for n in range(1, 6):
        journal.append(made(n))
    journal.undo()
    folder.write("journal/000002.json", b"\0\0\0")
    with pytest.raises(RunError, match=r"journal/000002.json is damaged"):
        Journal(folder)
    folder.remove("journal/000002.json")
    again = Journal(folder)
    assert [step.highest for step in again.steps] == [1, 3, 4, 5]
    assert again.done == 3
    again.redo()
    again.append(made(6))
    assert [step.highest for step in Journal(folder).steps] == [1, 3, 4, 5, 6]


def test_ids_of_steps_that_were_cut_off_are_not_given_again() -> None:
    folder = Memory()
    journal = Journal(folder)
    for n in (1, 2, 3):
        journal.append(made(n))
    journal.undo()
    journal.undo()
    folder.remove("journal/000003.json")  # killed when the next step was about to be written
    for done in (1, 2):
        again = Journal(folder)
        assert (again.done, again.highest) == (done, 3)
        if again.next_redone:
            again.redo()
    again.append(made(4))
    assert Journal(folder).highest == 4
    assert Journal(folder).done == 3
