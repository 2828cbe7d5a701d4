"""Objects are named by texts: what is cut out, what is kept, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import promptile as pt
from promptile import models
from promptile.cli import main
from promptile.engine.ranking import Cutter, Phrases
from promptile.engine.ranking.ranking import labels_of
from promptile.errors import ModelError, PromptileError, RunError, UsageError
from promptile.grid import Window
from promptile.masks import ObjectMask
from promptile.models.protocols import ModelCard
from promptile.rendering import Rendering
from promptile.run import Run
from promptile.session.classifying import classify
from promptile.sources import open_source
from proposers import Whole

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 70), "blue": (50, 60, 230), "background": (120, 120, 120)}
PLACES = {"red": (10, 20), "green": (90, 130), "blue": (150, 30), "grey": (30, 160)}
SIDE = 34


class ByColour:
    """Ranks pictures by their mean colour; knows the names of some."""

    card = ModelCard(
        name="by-colour",
        family="test",
        abilities=frozenset({"rank"}),
        ndim=2,
        licence="BSD-3-Clause",
        digest="by-colour",
    )

    def __init__(self, sharpness=40.0):
        self.sharpness = sharpness
        self.shapes = []

    def rank(self, pictures, phrases):
        self.shapes += [p.shape for p in pictures]
        means = np.stack([p.mean(axis=(1, 2)) for p in pictures])
        wanted = np.array([COLOURS[phrase] for phrase in phrases]) / 255
        apart = np.linalg.norm(means[:, None] - wanted[None], axis=2)
        return (-self.sharpness * apart).astype(np.float32)


def truth(side=240):
    labels = np.zeros((side, side), np.uint8)
    for n, (row, column) in enumerate(PLACES.values(), 1):
        labels[row : row + SIDE, column : column + SIDE] = n
    return labels


@pytest.fixture
def scene(tmp_path) -> Path:
    """Squares in four colours on dark ground; the grey one is none of what is asked for."""
    samples = np.full((240, 240, 3), 10, np.uint8)
    for n, name in enumerate(PLACES, 1):
        samples[truth() == n] = COLOURS.get(name, COLOURS["background"])
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=240, height=240, count=3, dtype="uint8", photometric="RGB",
        crs="EPSG:32633", transform=from_origin(500000, 5000000, 2, 2),
    ) as file:  # fmt: skip
        file.write(samples.transpose(2, 0, 1))
    return path


def boxes() -> pt.Prompts:
    made = [
        pt.Prompt(
            n, np.zeros((0, 2)), np.zeros(0, bool), np.array([[r - 2.5, c - 2.5], [r + SIDE + 1.5, c + SIDE + 1.5]])
        )
        for n, (r, c) in enumerate(PLACES.values(), 1)
    ]
    return pt.Prompts(tuple(made))


@pytest.fixture
def prompted(scene, tmp_path):
    return pt.segment(scene, boxes(), window=(0, 255), out=tmp_path / "boxes.run.zarr")


def everything(scene, out):
    """All squares, from a model that sees each where its sum of channels differs from the ground's."""
    return pt.segment(scene, everything=True, model=Coloured(2), window=(0, 255), out=out)


class Coloured(Whole):
    def propose(self, view):
        seen = view.samples.astype(int).sum(axis=0, keepdims=True)
        return super().propose(replace(view, samples=np.where(seen > 30, seen, 0)))


TEXTS = ["red", "green", "blue"]
NAMED = {1: "red", 2: "green", 3: "blue", 4: ""}


def categories(run):
    return dict(zip(run.objects["id"].tolist(), run.objects["category"].tolist(), strict=True))


def by_place(run):
    """Categories by the place of each object."""
    found = {}
    for box, category in zip(run.objects["bbox"], run.objects["category"], strict=True):
        name = next(n for n, (r, c) in PLACES.items() if abs(box[0] - r) < 5 and abs(box[1] - c) < 5)
        found[name] = category
    return found


def test_objects_of_prompts_are_named_in_one_step_that_can_be_taken_back(prompted, scene):
    found = classify(prompted, TEXTS, ranker=ByColour())
    assert categories(found.run) == NAMED
    assert found.counts == {"red": 1, "green": 1, "blue": 1, "": 1}
    assert found.run.objects["rank_score"].between(0, 1).all()
    assert (found.run.objects["rank_score"][:3] > 0.9).all()
    with pt.Session(scene, window=(0, 255), out=prompted.path) as session:
        assert session.undo().what == "classify"
        assert set(categories(session.run).values()) == {""}
        session.redo()
    assert categories(Run.open(prompted.path)) == NAMED


def test_the_objects_of_a_session_are_named_when_it_is_over(scene, tmp_path):
    out = tmp_path / "session.run.zarr"
    with pt.Session(scene, window=(0, 255), out=out) as session:
        for name, (row, column) in PLACES.items():
            session.predict(pt.Prompts.of(boxes=[[[row - 2.5, column - 2.5], [row + SIDE + 1.5, column + SIDE + 1.5]]]))
            session.accept(category=f"looks {name}")
        session.delete([2])
        with pytest.raises(RunError, match="in use"):
            classify(out, TEXTS, ranker=ByColour())
    classify(out, TEXTS, ranker=ByColour())
    assert categories(Run.open(out)) == {1: "red", 3: "blue", 4: ""}
    with pt.Session(scene, window=(0, 255), out=out) as session:
        session.undo()
        assert categories(session.run) == {1: "looks red", 3: "looks blue", 4: "looks grey"}


def test_objects_of_everything_are_named_in_their_table(scene, tmp_path):
    run = everything(scene, tmp_path / "all.run.zarr")
    before = run.labels[...]
    found = classify(run, TEXTS, ranker=ByColour())
    assert by_place(found.run) == {"red": "red", "green": "green", "blue": "blue", "grey": ""}
    assert "rank_score" in found.run.objects
    np.testing.assert_array_equal(found.run.labels[...], before)
    found.run.write(tmp_path / "named.gpkg")
    again = classify(found.run, "green", ranker=ByColour())
    assert by_place(again.run)["red"] == ""
    assert by_place(again.run)["green"] == "green"
    assert everything(scene, tmp_path / "all.run.zarr").objects.equals(again.run.objects)  # it is not computed again


def test_everything_with_texts_leaves_the_objects_that_they_describe(scene, tmp_path):
    out, said = tmp_path / "named.run.zarr", {"model": Coloured(2), "window": (0, 255), "ranker": ByColour()}
    run = pt.segment(scene, everything=True, text=["red", "blue"], out=out, **said)
    assert by_place(run) == {"red": "red", "blue": "blue"}
    assert sorted(np.unique(run.labels[...])) == [0, *run.objects["id"]]
    assert len(np.unique(truth()[run.labels[...] > 0])) == 2
    again = pt.segment(scene, everything=True, text=["red", "blue"], out=out, **said | {"ranker": ByColour()})
    assert again.objects.equals(run.objects)
    with pytest.raises(RunError, match="made from something else"):
        pt.segment(scene, everything=True, text=["green"], out=out, **said)
    layered = pt.segment(scene, everything=pt.Everything(keep="all"), text="red", **said)
    assert by_place(layered) == {"red": "red"}
    with pytest.raises(UsageError, match="give Phrases"):
        pt.segment(scene, everything=True, text=pt.Text("red"), **said)
    with pytest.raises(UsageError, match="add everything=True"):
        pt.segment(scene, text=pt.Phrases("red"), **said | {"model": "basin"})


def test_naming_that_was_killed_is_done_again(scene, tmp_path, monkeypatch):
    from promptile.run import TiledRun

    out, said = tmp_path / "named.run.zarr", {"model": Coloured(2), "window": (0, 255), "ranker": ByColour()}
    finish = TiledRun.finish

    def killed(self, objects, failed):
        if "rank_score" in objects:
            raise KeyboardInterrupt
        finish(self, objects, failed)

    monkeypatch.setattr(TiledRun, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        pt.segment(scene, everything=True, text=["red", "blue"], out=out, **said)
    monkeypatch.setattr(TiledRun, "finish", finish)
    run = pt.segment(scene, everything=True, text=["red", "blue"], out=out, **said)
    assert by_place(run) == {"red": "red", "blue": "blue"}


def test_the_background_and_the_threshold_leave_objects_without_a_category():
    logits = np.log(np.array([[0.5, 0.2, 0.3], [0.3, 0.3, 0.4], [0.45, 0.15, 0.4]], np.float32))
    assert [label.category for label in labels_of(logits, Phrases(["a", "b"]))] == ["a", "", ""]
    assert [label.category for label in labels_of(logits, Phrases(["a", "b"], threshold=0))] == ["a", "", "a"]
    bare = Phrases(["a", "b", "c"], background="", threshold=0.4)
    assert [label.category for label in labels_of(logits, bare)] == ["a", "c", "a"]
    np.testing.assert_allclose([label.score for label in labels_of(logits, bare)], [0.5, 0.4, 0.45], rtol=1e-6)


def test_many_objects_are_ranked_a_few_at_a_time(scene, tmp_path):
    class Counting(ByColour):
        most = 0

        def rank(self, pictures, phrases):
            self.most = max(self.most, len(pictures))
            return super().rank(pictures, phrases)

    image = np.full((3, 300, 300), 10, np.uint8)
    image[:, 5::30, 5::30] = 200
    points = pt.Prompts.of(
        boxes=[[[r - 1.5, c - 1.5], [r + 1.5, c + 1.5]] for r in range(5, 300, 30) for c in (5, 35, 65)]
    )
    run = pt.segment(image[0], points, window=(0, 255), out=tmp_path / "many.run.zarr")
    counting = Counting()
    found = classify(run, ["red"], ranker=counting, image=image[0])
    assert len(found.run.objects) == 30
    assert counting.most == 16


# What is cut out


def test_a_cut_out_shows_the_bounding_box_with_what_is_around_the_object(scene):
    source = open_source(scene)
    cutter = Cutter(source, Rendering.of(source, window=(0, 255)))
    box = Window((20, 30), (40, 50))
    picture = cutter.picture(box, never)
    np.testing.assert_allclose(picture, source.read(box, 0) / 255, atol=1e-6)


def test_large_objects_are_cut_out_at_a_coarser_level():
    image = np.zeros((3000, 2600), np.uint8)
    image[:, 1300:] = 255
    source = open_source(image)
    cutter = Cutter(source, Rendering.of(source, window=(0, 255)))
    picture = cutter.picture(Window((10, 20), (2900, 2500)), never)
    assert picture.shape[0] == 3
    assert 200 < max(picture.shape[1:]) <= 449
    assert picture[:, :, 10].max() == 0
    assert picture[:, :, -10].min() == 1


def test_what_has_no_data_is_white():
    image = np.full((40, 40), 50.0, np.float32)
    image[:, :20] = np.nan
    source = open_source(image)
    cutter = Cutter(source, Rendering.of(source, window=(0, 100)))
    picture = cutter.picture(Window((10, 10), (20, 20)), never)
    assert (picture[:, :, :10] == 1).all()
    np.testing.assert_allclose(picture[:, :, 10:], 0.5)


def test_of_a_volume_the_slice_is_shown_that_holds_the_most():
    volume = np.zeros((9, 40, 40), np.float32)
    mask = np.zeros((9, 40, 40), bool)
    for z, half in ((2, 3), (3, 9), (4, 5)):
        mask[z, 20 - half : 20 + half, 20 - half : 20 + half] = True
        volume[z] = z * 10
    source = open_source(volume)
    cutter = Cutter(source, Rendering.of(source, window=(0, 100)))
    held = ObjectMask.of(mask.shape, Window.of(mask.shape), mask)
    picture = cutter.picture(held.window, lambda: held)
    assert picture.shape == (3, 18, 18)
    np.testing.assert_allclose(picture, 0.3, atol=1e-6)


def never():
    raise AssertionError("an image needs no mask")


# The command line, and what is refused


def test_the_command_names_objects_and_counts_them(prompted, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(models, "load", lambda name, ndim, **_: ByColour())
    command = ["classify", str(prompted.path), "--text", "red", "--text", "blue", "--ranker", "by-colour", "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"red": 1, "blue": 1, "": 2}
    assert main([*command[:-1], "--threshold", "1", "--quiet"]) == 0
    assert "4  (none of them)" in capsys.readouterr().out
    assert main(["export", str(prompted.path), "-o", str(tmp_path / "named.geojson")]) == 0
    features = json.loads((tmp_path / "named.geojson").read_text(encoding="utf-8"))["features"]
    assert {"category", "rank_score"} <= set(features[0]["properties"])


def test_the_command_names_everything(scene, monkeypatch, tmp_path, capsys):
    named = {"by-colour": ByColour(), "coloured": Coloured(2)}
    monkeypatch.setattr(models, "load", lambda name, ndim, **_: named[name])
    command = ["segment", str(scene), "--model", "coloured", "--window", "0,255", "--ranker", "by-colour", "--quiet"]
    wish = ["--text", "red", "--text", "blue", "--via", "proposals", "-o", str(tmp_path / "named.geojson")]
    assert main([*command, *wish]) == 0, capsys.readouterr().err
    features = json.loads((tmp_path / "named.geojson").read_text(encoding="utf-8"))["features"]
    assert sorted(f["properties"]["category"] for f in features) == ["blue", "red"]
    for wrong, cure in (
        (["--everything"], "--text"),
        (["--text", "red"], "--via proposals"),
        (["--text", "red", "--via", "proposals", "--detector", "owlv2-base"], "--via detector"),
        (["--everything", "--via", "proposals"], "--text"),
    ):
        assert main([*command, *wrong, "-o", str(tmp_path / "no.gpkg")]) == 2
        assert cure in capsys.readouterr().err


@pytest.mark.parametrize("texts", ["", " ", [], ["Background"], [7]])
def test_texts_that_say_nothing_are_refused(texts):
    with pytest.raises(UsageError):
        Phrases(texts)


def test_case_and_spaces_make_no_other_category(prompted):
    assert Phrases(["red", "Red", "RED ", "light  blue"], "  the  rest ").all == ("red", "light blue", "the rest")
    once = classify(prompted, ["red", "blue"], ranker=ByColour()).run.objects["rank_score"].tolist()
    named = classify(prompted, ["red", "blue", "Red"], ranker=ByColour())
    assert list(named.counts) == ["red", "blue", ""]
    assert named.run.objects["rank_score"].tolist() == once  # two reds would share what is one's


def test_what_cannot_be_ranked_is_refused_before_anything_is_changed(prompted, scene, tmp_path):
    with pytest.raises(ModelError, match="ranks no pictures"):
        classify(prompted, TEXTS, ranker="basin")
    with pytest.raises(UsageError, match="threshold"):
        classify(prompted, Phrases(TEXTS, threshold=2), ranker=ByColour())
    other = tmp_path / "other.tif"
    with rasterio.open(
        other, "w", driver="GTiff", width=9, height=9, count=1, dtype="uint8", transform=from_origin(5, 5, 2, 2)
    ) as file:
        file.write(np.ones((1, 9, 9), np.uint8))
    with pytest.raises(RunError, match="is not what"):
        classify(prompted, TEXTS, ranker=ByColour(), image=other)

    class Wrong(ByColour):
        def rank(self, pictures, phrases):
            return np.full((len(pictures), len(phrases)), np.nan)

    with pytest.raises(ModelError, match="finite logit"):
        classify(prompted, TEXTS, ranker=Wrong())
    scene.unlink()
    with pytest.raises(PromptileError):
        classify(prompted, TEXTS, ranker=ByColour())
    assert "rank_score" not in Run.open(prompted.path).objects
