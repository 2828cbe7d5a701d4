"""What people get wrong, and what breaks meanwhile: one line that says so, and nothing of theirs is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import zarr
from rasterio.transform import from_origin

import promptile as pt
from perfect import Perfect
from promptile.cli import main
from promptile.errors import ModelError, PromptError, RunError, UsageError
from promptile.grid import Grid
from promptile.models.protocols import Embedding, Masks
from promptile.prompts import Prompts
from promptile.rendering import Rendering
from promptile.run import Run
from promptile.segmentation import segment

SCENE = np.zeros((60, 80), np.uint8)
SCENE[10:30, 20:60] = 3
SCENE[40:55, 5:70] = 7
CLICKS = [(20, 40), (45, 30)]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A finished run of two objects."""
    path = tmp_path / "made.run.zarr"
    segment(SCENE, Prompts.of(points=CLICKS), model=Perfect(2), out=path)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "width": 80, "height": 60, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", **profile, transform=from_origin(400000, 5000000, 2, 2)) as file:
        file.write(SCENE, 1)
    return path


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    path = tmp_path / "clicks.geojson"
    path.write_text(
        '{"type": "FeatureCollection", "crs": {"type": "name", "properties": {"name": "EPSG:32633"}}, "features": '
        '[{"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [400081, 4999959]}}]}'
    )
    return path


def run(*args: object) -> int:
    return main([str(arg) for arg in args])


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert text.startswith("promptile: ")
    assert text.count("\n") == 1
    return text


class TestNothingOfTheirsIsReplaced:
    """Whatever --overwrite and --restart say."""

    @pytest.mark.parametrize("name", ["scene.tif", "clicks.geojson", "link.tif", "~/scene.tif"])
    def test_what_is_read_is_not_written(self, name, image, clicks, capsys, monkeypatch) -> None:
        monkeypatch.setenv("HOME", str(image.parent))
        image.with_name("link.tif").symlink_to(image)
        before = image.read_bytes(), clicks.read_bytes()
        out = name if name.startswith("~") else image.with_name(name)
        assert run("segment", image, "--points", clicks, "--out", out, "--overwrite") == 2
        assert "itself: choose another name" in one_line(capsys)
        assert (image.read_bytes(), clicks.read_bytes()) == before

    @pytest.mark.parametrize("restart", [[], ["--restart"]])
    def test_another_zarr_is_no_place_for_a_run(self, restart, image, clicks, capsys) -> None:
        other = image.with_name("other.zarr")
        zarr.create_array(other, data=np.arange(12).reshape(3, 4))
        assert run("segment", image, "--points", clicks, "--run", other, *restart) == 1
        assert "not a run folder" in one_line(capsys)
        np.testing.assert_array_equal(zarr.open_array(other)[:], np.arange(12).reshape(3, 4))

    def test_a_file_is_no_place_for_a_run(self, image, clicks, capsys) -> None:
        before = image.read_bytes()
        assert run("segment", image, "--points", clicks, "--run", image, "--restart") == 1
        assert "is a file" in one_line(capsys)
        assert image.read_bytes() == before

    def test_the_run_is_not_the_result(self, image, clicks, capsys) -> None:
        same = image.with_name("both.zarr")
        assert run("segment", image, "--points", clicks, "--run", same, "--out", same, "--overwrite") == 2
        assert "the run itself" in one_line(capsys)

    def test_export_replaces_neither_run_nor_image(self, image, capsys) -> None:
        kept = image.with_name("kept.zarr")
        segment(str(image), Prompts.of(points=CLICKS), model=Perfect(2), out=kept)
        before = image.read_bytes()
        for out, what in ((kept, "the run itself"), (image, "the image of the run")):
            assert run("export", kept, "--out", out, "--overwrite") == 2
            assert what in one_line(capsys)
        assert image.read_bytes() == before
        assert len(Run.open(kept).objects) == 2

    def test_restart_leaves_what_lies_in_the_folder(self, made) -> None:
        (made / "notes.txt").write_text("mine")
        segment(SCENE, Prompts.of(points=CLICKS[:1]), model=Perfect(2), out=made, restart=True)
        assert (made / "notes.txt").read_text() == "mine"
        assert len(Run.open(made).objects) == 1


class TestBrokenRuns:
    @pytest.mark.parametrize("parts", [["lock"], ["lock", "zarr.json"], ["zarr.0a1b.partial", "lock"]])
    def test_a_run_that_died_while_it_was_made_begins_again(self, parts, tmp_path) -> None:
        for part in parts:
            (tmp_path / part).write_text('{"zarr_for')
        assert len(segment(SCENE, Prompts.of(points=CLICKS), model=Perfect(2), out=tmp_path).objects) == 2

    @pytest.mark.parametrize(
        ("part", "out", "keep"),
        [
            *[("masks/000001.npz", "o.gpkg", keep) for keep in (0, 0.5, None)],
            *[("finished.json", "o.gpkg", keep) for keep in (0, 0.5)],
            *[("prompts.json", "o.tif", keep) for keep in (0, 0.5, None)],
            *[("zarr.json", "o.tif", keep) for keep in (0.5, None)],
            *[("labels/zarr.json", "o.tif", keep) for keep in (0.5, None)],
            ("labels/c/0/0", "o.tif", 0.5),
        ],
    )
    def test_damage_is_one_line_that_names_it(self, part, out, keep, made, capsys) -> None:
        damaged = made / part
        content = damaged.read_bytes()
        damaged.unlink() if keep is None else damaged.write_bytes(content[: int(len(content) * keep)])
        assert run("export", made, "--out", made.with_name(out)) == 1
        assert str(made) in one_line(capsys)
        assert not made.with_name(out).exists()
        again = segment(SCENE, Prompts.of(points=CLICKS), model=Perfect(2), out=made, restart=True)
        np.testing.assert_array_equal(again.labels[:], np.select([SCENE == 3, SCENE == 7], [1, 2]))

    def test_a_run_that_still_waits_for_objects_is_not_exported(self, made, capsys) -> None:
        (made / "finished.json").unlink()
        (made / "commits" / "000002.json").unlink()
        assert run("export", made, "--out", made.with_name("o.tif")) == 1
        assert "waits for 1 of 2 objects" in one_line(capsys)

    def test_an_id_without_a_mask(self, made) -> None:
        with pytest.raises(RunError, match="Object 99 has no mask"):
            Run.open(made).mask(99)


class TestModels:
    """An answer that is none is a failure with its reason, never an object without samples."""

    @pytest.mark.parametrize(
        ("logits", "scores", "reason"),
        [
            (np.full((1, 60, 80), np.nan), [1.0], "NaN"),
            (np.ones((2, 60, 80)), [np.nan, 1.0], "NaN"),
            (np.ones((2, 60, 80)), [1.0], "one score for each"),
            (np.ones((0, 60, 80)), [], "at least one mask"),
            (np.ones((60, 80)), [1.0], "must return logits"),
            (np.ones((1, 5, 5)), [1.0], "must return logits"),
        ],
    )
    def test_no_answer(self, logits, scores, reason) -> None:
        model = Perfect(2)
        model.predict = lambda *_: Masks(logits.astype(np.float32), np.array(scores))
        run = segment(SCENE, Prompts.of(points=CLICKS[:1]), model=model)
        assert [reason in record.error for record in run.failed] == [True]
        assert len(run.objects) == 0

    @pytest.mark.parametrize("embeddings", [[], [Embedding(SCENE, "", 1)] * 2])
    def test_as_many_embeddings_as_views(self, embeddings) -> None:
        model = Perfect(2)
        model.embed = lambda views: embeddings
        assert len(segment(SCENE, Prompts.of(points=CLICKS[:1]), model=model).failed) == 1

    @pytest.mark.parametrize("missing", ["card", "predict"])
    def test_what_is_no_model(self, missing) -> None:
        class Half:
            card = Perfect(2).card if missing != "card" else {"name": "half"}
            embed = Perfect.embed

        if missing != "predict":
            Half.predict = Perfect.predict
        needed = "a ModelCard `card`" if missing == "card" else "the methods embed and predict"
        with pytest.raises(ModelError, match=needed):
            segment(SCENE, Prompts.of(points=CLICKS), model=Half())


class TestPrompts:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"points": [(1, 2, 3, 4)]}, "shape"),
            ({"points": [(1,)]}, "shape"),
            ({"points": [(1, 2), (3,)]}, "no array of numbers"),
            ({"points": [("a", "b")]}, "no array of numbers"),
            ({"points": [(1, 2)], "labels": [2]}, "1 for on the object"),
            ({"points": [(1, 2)], "labels": ["yes"]}, "no array of numbers"),
            ({"points": [(1, 2)], "labels": [0]}, "negative"),
            ({"points": [(1, 2)], "objects": [1.5]}, "whole numbers"),
            ({"points": [(1, 2)], "objects": [2**32]}, "not possible"),
            ({"boxes": [[(0, 0), (np.inf, 5)]]}, "no end"),
        ],
    )
    def test_arrays_that_say_nothing(self, given, said) -> None:
        with pytest.raises(PromptError, match=said):
            Prompts.of(**given)

    @pytest.mark.parametrize("given", [{"points": [(1, 2, 3)]}, {"boxes": [[(1, 2, 3), (4, 5, 6)]]}])
    def test_another_number_of_dimensions(self, given) -> None:
        with pytest.raises(PromptError, match="3 coordinates, the image has the axes yx"):
            segment(SCENE, Prompts.of(**given), model=Perfect(2))

    def test_colours_without_their_axis_are_a_volume(self) -> None:
        with pytest.raises(PromptError, match="channel_axis"):
            segment(np.zeros((60, 80, 3), np.uint8), Prompts.of(points=CLICKS), model=Perfect(3))

    def test_no_prompts_at_all(self) -> None:
        with pytest.raises(UsageError, match="not list"):
            segment(SCENE, [(1, 2)], model=Perfect(2))  # type: ignore[arg-type]

    @pytest.mark.parametrize("text", ["x;y\n7;5\n", "\ufeffx,y\r\n7,5\r\n", "\n\nx,y\n7,5\n", 'x,y\r"7",5\r'])
    def test_tables_as_programs_write_them(self, text, tmp_path) -> None:
        (tmp_path / "p.csv").write_bytes(text.encode())
        (prompt,) = Prompts.read(tmp_path / "p.csv", grid=Grid.of(SCENE.shape))
        assert prompt.points.tolist() == [[5, 7]]

    def test_a_quoted_text_may_have_lines(self, tmp_path) -> None:
        (tmp_path / "p.csv").write_text('x,y,category\n7,5,"a\nb"\n8,6,\u2028\n', encoding="utf-8")
        first, second = Prompts.read(tmp_path / "p.csv", grid=Grid.of(SCENE.shape))
        assert first.category == "a\nb"
        assert second.points.tolist() == [[6, 8]]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("7,5\n", "needed are x,y"),
            ("x;y\n7,0;5,0\n", "'7,0', needed is a number like 12.5"),
            ("x,y\n7,0,5,0\n", "decimals with a point"),
            ('x,y,category\n7,5,"a\n8,6,b\n9,7,c\n', "look at its quotes"),
            ("x,y,category\n7,5," + "a" * 200_000, "no row of a table"),
        ],
    )
    def test_tables_that_are_none(self, text, said, tmp_path) -> None:
        (tmp_path / "p.csv").write_text(text)
        with pytest.raises(PromptError, match=said):
            Prompts.read(tmp_path / "p.csv", grid=Grid.of(SCENE.shape))

    def test_markups_without_units(self, tmp_path) -> None:
        (tmp_path / "p.mrk.json").write_text('{"markups": [{"type": "Fiducial", "coordinateUnits": []}]}')
        with pytest.raises(PromptError, match="markup 1"):
            Prompts.read(tmp_path / "p.mrk.json", grid=Grid.of((4, 5, 6), np.diag([1.0, 1, 1, 1]), "LPS"))

    def test_what_is_left_out_is_said(self, caplog) -> None:
        prompts = Prompts.of(points=[*CLICKS, (20, 800)])
        assert len(segment(SCENE, prompts, model=Perfect(2), skip_outside=True).objects) == 2
        assert "1 of 3 objects lie outside" in caplog.text


class TestSession:
    def test_what_failed_leaves_no_answer_to_accept(self) -> None:
        session = pt.Session(SCENE, Perfect(2))
        session.predict(Prompts.of(points=CLICKS[:1]))
        with pytest.raises(PromptError, match="outside"):
            session.predict(Prompts.of(points=[(20, 800)]))
        with pytest.raises(UsageError, match="predict first"):
            session.accept()

    def test_a_closed_one_writes_nothing(self, tmp_path) -> None:
        with pt.Session(SCENE, Perfect(2), out=tmp_path / "s.run.zarr") as session:
            session.predict(Prompts.of(points=CLICKS[:1]))
        for act in (session.accept, session.undo, session.redo):
            with pytest.raises(UsageError, match="closed"):
                act()


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint64, np.float64])
def test_small_differences_of_large_values_are_seen(dtype) -> None:
    samples = (np.array([[0, 50, 100]]) + 2**31 - 200).astype(dtype)
    rendering = Rendering((0,), (float(samples.min()),), (float(samples.max()),))
    seen = rendering.apply(samples[None], np.ones(samples.shape, bool))
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen, [[[0, 0.5, 1]]], atol=1e-6)


def test_values_beyond_float32_are_seen() -> None:
    rendering = Rendering((0,), (0.0,), (1e300,))
    seen = rendering.apply(np.array([[[0, 5e299, 1e300, np.inf]]]), np.ones((1, 4), bool))
    np.testing.assert_allclose(seen, [[[0, 0.5, 1, 0]]])


@pytest.mark.parametrize("window", ["0,inf", "nan,5", "5,5", (0.0, np.inf)])
def test_a_window_has_two_ends(window) -> None:
    with pytest.raises(UsageError, match="must be"):
        Rendering.of(pt.open(SCENE), window=window)


def test_the_same_result_twice(image, clicks, capsys) -> None:
    out = image.with_name("o.tif")
    assert run("segment", image, "--points", clicks, "--out", out, "--out", out) == 2
    assert "given twice" in one_line(capsys)
    assert not out.exists()
    assert not image.with_name("o.run.zarr").exists()


class TestBeyond180:
    """An image from 179.2 to 181.2 degrees, and files that call the same places 179.2 to -178.8."""

    GRID = Grid.of((160, 200), [[0, 0.01, 179.205], [-0.01, 0, 9.995], [0, 0, 1]], "EPSG:4326")

    def read(self, folder: Path, geometry: str) -> pt.prompts.Prompt:
        path = folder / "p.geojson"
        feature = {"type": "Feature", "properties": {}, "geometry": json.loads(geometry)}
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
        (prompt,) = Prompts.read(path, grid=self.GRID)
        return prompt

    @pytest.mark.parametrize("x", [180.705, -179.295])
    def test_a_point(self, x, tmp_path) -> None:
        prompt = self.read(tmp_path, f'{{"type": "Point", "coordinates": [{x}, 9.495]}}')
        np.testing.assert_allclose(prompt.points, [[50, 150]], atol=1e-6)

    def test_a_box_that_was_cut_is_one_again(self, tmp_path) -> None:
        halves = [[[a, 9.2], [b, 9.2], [b, 9.7], [a, 9.7], [a, 9.2]] for a, b in ((179.6, 180), (-180, -179.8))]
        prompt = self.read(tmp_path, f'{{"type": "MultiPolygon", "coordinates": {[[ring] for ring in halves]}}}')
        assert prompt.kind == "box"
        np.testing.assert_allclose(prompt.box, [[29.5, 39.5], [79.5, 99.5]], atol=1e-6)

    def test_elsewhere_is_elsewhere(self, tmp_path) -> None:
        prompt = self.read(
            tmp_path, '{"type": "Polygon", "coordinates": [[[-5, 9], [5, 9], [5, 9.5], [-5, 9.5], [-5, 9]]]}'
        )
        with pytest.raises(PromptError, match="outside"):
            Prompts((prompt,)).inside(self.GRID.shape)


def test_a_box_of_any_size_is_a_box(tmp_path) -> None:
    far = 1e120
    ring = [[-far, -far], [far, -far], [far, far], [-far, far], [-far, -far]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (tmp_path / "p.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    (prompt,) = Prompts.read(tmp_path / "p.geojson", grid=Grid.of((6, 8)))
    assert prompt.kind == "box"


def test_texts_too_long_for_a_format_are_named(tmp_path, caplog) -> None:
    run = segment(SCENE, Prompts.of(points=CLICKS), model=Perfect(2), out=tmp_path / "a.run.zarr")
    for i, record in enumerate(run.records()):
        run.commit(replace(record, category="x" * 300), run.mask(i + 1))
    run.reopen()
    run.finish()
    run.write(tmp_path / "a.shp")
    assert "truncated to 254 characters" in caplog.text


def test_no_name_is_no_file(image, capsys) -> None:
    assert run("segment", image, "--points", "", "--out", image.with_name("o.tif")) == 1
    assert one_line(capsys)
