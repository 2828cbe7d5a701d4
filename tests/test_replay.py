"""Replaying: what was said gives the same labels again, and what is in the way is said in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from perfect import Perfect
from promptile import Prompts, Run, Session, Tiling, models, segment
from promptile.cli import main
from promptile.errors import ModelError, PromptileError, RunError
from promptile.grid import Window
from promptile.models.protocols import Masks, ModelCard
from promptile.prompts import Prompt
from promptile.prompts.regions import Outline
from promptile.run import PromptedRun
from promptile.session import Stroke, replay

SIDE = 320
"""Of the image: several windows of the tiling, and several levels in it."""


def picture() -> np.ndarray:
    """Smooth hills, some of them steep."""
    y, x = np.mgrid[:SIDE, :SIDE]
    hills = sum(np.exp(-((y - b) ** 2 + (x - a) ** 2) / c) for a, b, c in HILLS)
    return (hills * 9000).astype(np.uint16)


HILLS = [(60, 60, 900), (150, 70, 500), (250, 80, 2000), (70, 200, 1500), (180, 190, 3000), (270, 260, 400)]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "hills.tif"
    tifffile.imwrite(path, picture(), tile=(64, 64))
    return path


def run_at(path: Path) -> PromptedRun:
    run = Run.open(path)
    assert isinstance(run, PromptedRun)
    return run


def at(n: int, *, label: int = 1) -> Prompts:
    x, y, _ = HILLS[n]
    return Prompts.of(points=[(y, x)], labels=[label])


def say_much(work: Session) -> None:
    """Points, boxes, polygons; other candidates, levels, renderings; painted, revised, renamed, undone."""
    work.predict(at(0))
    work.accept("hill")
    grown = work.predict(at(1))
    work.choose(grown.candidates.by_size[0])
    work.accept()
    work.look(window=(0, 3000))
    work.predict(Prompts.of(points=[(80, 250), (20, 20)], labels=[1, 0], objects=[1, 1]))
    work.accept()
    work.look(level=1, window=(0, 6000))
    work.predict(Prompts.of(boxes=[[(150, 20), (250, 120)]]))
    work.accept("boxed")
    work.predict(at(4))
    assert work.accept() in work.states
    if "mask" in work.card.abilities:
        work.predict(polygon())
        work.accept()
    work.look(tiling=Tiling(96, 48))
    work.predict(at(5))
    work.accept()
    window = Window((250, 250), (20, 30))
    before = work.run.read_labels(window)
    work.paint([Stroke(window, before, np.where(np.eye(20, 30, dtype=bool), 4, before).astype(np.uint32))])
    work.paint([Stroke(window, before, np.full_like(before, 77))], "by hand")
    work.revise(2)
    work.predict(at(1))
    work.accept()
    work.rename([1], "mountain")
    work.delete([3])
    work.undo()
    work.predict(at(3))
    work.accept()
    work.undo()


def polygon() -> Prompts:
    ring = np.array([(150.0, 150.0), (150.0, 230.0), (220.0, 200.0), (150.0, 150.0)])
    return Prompts((Prompt(1, np.zeros((0, 2)), np.zeros(0, bool), region=Outline(((ring,),))),))


def test_a_session_replays_to_the_identical_labels(image: Path, tmp_path: Path) -> None:
    with Session(image, "basin", out=tmp_path / "s.run.zarr", tiling=Tiling(128, 64)) as work:
        say_much(work)
        labels = work.run.labels[...]
        assert len(np.unique(labels)) > 4
    again = replay(run_at(tmp_path / "s.run.zarr"), out=tmp_path / "again.run.zarr")
    assert again.identical
    assert not again.differing
    assert (again.objects, again.asked) == (len(work.states), len(work.states) - 1)
    kept = run_at(tmp_path / "again.run.zarr")
    assert (kept.labels[...] == labels).all()
    first, second = (
        {i: s.to_json() | {"record": s.record.to_json() | {"version": 0}} for i, s in run.states().items()}
        for run in (run_at(tmp_path / "s.run.zarr"), kept)
    )
    assert json.loads(json.dumps(first)) == json.loads(json.dumps(second))
    assert kept.spec == run_at(tmp_path / "s.run.zarr").spec
    assert replay(kept).identical  # also what was replayed


def test_a_run_of_segment_replays(image: Path, tmp_path: Path) -> None:
    run = segment(
        image, Prompts.of(points=[(y, x) for x, y, _ in HILLS]), out=tmp_path / "p.run.zarr", window=(0, 5000)
    )
    again = replay(run)
    assert again.identical
    assert again.asked == len(HILLS)
    path = again.run.path
    assert path.exists()
    del again
    assert not path.exists()


def test_volumes_replay(tmp_path: Path) -> None:
    z, y, x = np.mgrid[:60, :70, :80]
    volume = 1000 * np.exp(-((z - 30) ** 2 + (y - 30) ** 2 + (x - 40) ** 2) / 200)
    with Session(volume.astype(np.int16), "basin", out=tmp_path / "v.run.zarr", tiling=Tiling(48, 24)) as work:
        work.predict(Prompts.of(points=[(30, 30, 40)]))
        work.accept()
        work.predict(Prompts.of(boxes=[[(20, 20, 30), (40, 45, 50)]]))
        work.accept()
        window = Window((30, 5, 5), (2, 9, 9))
        before = work.run.read_labels(window)
        work.paint([Stroke(window, before, np.full_like(before, 1))])
        again = replay(work.run, work.source)
        assert again.identical
        assert (again.run.labels[...] == work.run.labels[...]).all()
        assert len(np.unique(again.run.labels[...])) == 3


class Named(Perfect):
    """A perfect model with a name of its own, which may answer differently today."""

    def __init__(self, name: str, digest: str = "", *, off: int = 0, fails: bool = False) -> None:
        super().__init__(2)
        self.card = ModelCard(**{**self.card.__dict__, "name": name, "digest": digest or name})
        self.off, self.fails = off, fails

    def predict(self, embedding, prompt):
        if self.fails and prompt.points[0][0] > 40:
            raise MemoryError("too small a machine")
        masks = super().predict(embedding, prompt)
        return Masks(np.roll(masks.logits, self.off, axis=-1), masks.scores)


def squares() -> np.ndarray:
    truth = np.zeros((60, 100), np.uint8)
    for n in range(3):
        truth[10 + 15 * n : 20 + 15 * n, 10 : 30 + 10 * n] = n + 1
    return truth


def square(n: int) -> Prompts:
    return Prompts.of(points=[(15 + 15 * n, 15)])


class Several(Named):
    """Answers with less and less of a square; the second answer is the best."""

    def predict(self, embedding, prompt):
        (mask,) = super().predict(embedding, prompt).logits
        answers = [np.where(np.arange(mask.shape[1]) < end, mask, -6) for end in (40, 28, 16)]
        return Masks(np.stack(answers).astype(np.float32), np.array([0.5, 0.9, 0.7]))


def test_the_answer_that_was_chosen_is_the_answer_that_is_replayed() -> None:
    with Session(squares(), Several("several"), window=(0, 3)) as work:
        for n, candidate in enumerate((0, 2, None)):
            work.predict(square(n), candidate)
            work.accept()
        assert work.run.objects["bbox"].tolist() == [[10, 10, 20, 30], [25, 10, 35, 16], [40, 10, 50, 28]]
        again = replay(work.run, work.source, model=Several("several"))
        assert again.identical
        assert [state.asked["candidate"] for state in again.run.states().values()] == [0, 2, 1]


def test_points_are_asked_again_at_the_level_that_they_were_asked_at() -> None:
    with Session(np.kron(squares(), np.ones((6, 6), np.uint8)), "basin", window=(0, 3)) as work:
        levels = []
        for level in (0, 1, None):
            work.look(level=level)
            grown = work.predict(Prompts.of(points=[(90, 90)]))
            levels.append(grown.level)
            work.accept()
        assert levels == [0, 1, 0]
        seen = []
        again = replay(work.run, work.source, progress=lambda *said: seen.append(said))
        assert again.identical
        assert [state.asked["level"] for state in again.run.states().values()] == [0, 1, None]
        assert [state.record.tiles for state in again.run.states().values()] == [
            state.record.tiles for state in work.states.values()
        ]
        assert seen == [("objects", n, 3) for n in range(4)]


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Named]:
    """A session with two models, of which the run itself names one; the installed models, by name."""
    installed = {"one": Named("one"), "two": Named("two"), "none": Named("none")}
    monkeypatch.setattr(models, "load", lambda name, ndim: installed[name])
    tifffile.imwrite(tmp_path / "squares.tif", squares())
    with Session(tmp_path / "squares.tif", installed["none"], out=tmp_path / "s.run.zarr", window=(0, 3)) as work:
        for n, name in enumerate(("one", "two", "one")):
            work.look(model=installed[name])
            work.predict(square(n))
            work.accept()
        assert (work.run.labels[...] == squares()).all()
    return installed


def test_objects_of_several_models_replay_and_each_model_looks_once(both: dict[str, Named], tmp_path: Path) -> None:
    looks = both["one"].embedded
    assert replay(run_at(tmp_path / "s.run.zarr")).identical
    assert both["one"].embedded == looks + 1


def test_a_model_that_no_object_asked_need_not_be_there(both: dict[str, Named], tmp_path: Path) -> None:
    del both["none"]
    assert replay(run_at(tmp_path / "s.run.zarr")).identical


def test_a_model_of_another_digest_is_refused_in_one_line(both: dict[str, Named], tmp_path: Path) -> None:
    both["two"] = Named("two", "another")
    with pytest.raises(ModelError, match="Model 'two' is not the one that answered then") as caught:
        replay(run_at(tmp_path / "s.run.zarr"), out=tmp_path / "again.run.zarr")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "again.run.zarr").exists()


def test_a_model_that_is_given_stands_for_its_name_only(both: dict[str, Named], tmp_path: Path) -> None:
    given = Named("two")
    assert replay(run_at(tmp_path / "s.run.zarr"), model=given).identical
    assert (given.embedded, both["two"].embedded) == (1, 1)


def test_other_answers_and_failures_are_named(
    both: dict[str, Named], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both["one"] = Named("one", off=2, fails=True)
    again = replay(run_at(tmp_path / "s.run.zarr"))
    assert not again.identical
    assert again.differing == {1: "40 of 200 samples differ", 3: "MemoryError: too small a machine"}
    assert again.samples == 40 + 400
    assert main(["replay", str(tmp_path / "s.run.zarr"), "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == ["3 objects, 3 asked for again: 440 samples of the labels differ"]
    assert err.splitlines() == [
        "promptile: object 1: 40 of 200 samples differ",
        "promptile: object 3: MemoryError: too small a machine",
    ]


def test_the_command_says_what_came_of_it(both: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "s.run.zarr")
    assert main(["replay", run]) == 0
    assert capsys.readouterr().out == "3 objects, 3 asked for again: identical\n"
    assert main(["replay", run, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == {"identical": True, "objects": 3, "asked": 3, "differing": {}, "differing_samples": 0}
    assert main(["replay", run, "--out", str(tmp_path / "again.run.zarr"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == str(tmp_path / "again.run.zarr")
    assert (run_at(tmp_path / "again.run.zarr").labels[...] == squares()).all()


def complaint(argv: list[str], capsys: pytest.CaptureFixture[str], status: int = 1) -> str:
    assert main(["replay", *argv]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    return err


def test_an_image_that_has_moved_is_asked_for(both: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, place = str(tmp_path / "s.run.zarr"), tmp_path / "squares.tif"
    place.rename(tmp_path / "moved.tif")
    assert f"squares.tif, is not at {place}: say where it is with --image" in complaint([run], capsys)
    assert main(["replay", run, "--image", str(tmp_path / "moved.tif")]) == 0
    capsys.readouterr()
    tifffile.imwrite(tmp_path / "other.tif", squares()[::-1])
    said = complaint([run, "--image", str(tmp_path / "other.tif")], capsys)
    assert "other.tif is not what s.run.zarr was made from, squares.tif" in said
    assert "--image" in said


def test_an_image_that_never_had_a_place_is_asked_for(tmp_path: Path) -> None:
    with Session(squares(), Perfect(2), out=tmp_path / "s.run.zarr", window=(0, 3)) as work:
        work.predict(square(0))
        work.accept()
    with pytest.raises(RunError, match="is not known: say where it is with --image"):
        replay(run_at(tmp_path / "s.run.zarr"))
    assert replay(run_at(tmp_path / "s.run.zarr"), squares(), model=Perfect(2)).identical


def test_what_cannot_be_replayed_says_why(both: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "s.run.zarr")
    before = run_at(tmp_path / "s.run.zarr").labels[...]
    assert "has objects already" in complaint([run, "--out", run], capsys)
    assert (run_at(tmp_path / "s.run.zarr").labels[...] == before).all()
    assert "is not a run folder" in complaint([str(tmp_path)], capsys)
    run_at(tmp_path / "s.run.zarr").unpainted = Window((0, 0), (5, 5))
    assert "was stopped before its labels were painted" in complaint([run], capsys)
    with pytest.raises(PromptileError):
        replay(run_at(tmp_path / "s.run.zarr"))


def test_a_run_of_everything_is_not_replayed(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment(image, everything=True, model="basin", out=tmp_path / "e.run.zarr")
    assert "is a run of everything" in complaint([str(tmp_path / "e.run.zarr")], capsys)
