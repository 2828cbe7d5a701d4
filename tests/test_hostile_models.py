"""What people get wrong about texts, cards, slices and their results: said in one line, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import rasterio

import promptile as pt
from detectors import scene_of
from perfect import Perfect
from promptile.cli import main
from promptile.engine.ranking.ranking import rank
from promptile.errors import ModelError, UsageError
from promptile.models.generic.reading import read_table
from promptile.models.protocols import Detections, ModelCard, Thresholds
from promptile.writers.placing import staged

TRUTH = np.zeros((60, 80), np.int32)
TRUTH[10:30, 20:60] = 1
HERE = np.array([[[9.5, 19.5], [29.5, 59.5]]])


class Says:
    """A detector that says one thing, and cannot read long texts."""

    card = ModelCard(name="mine", family="mine", abilities=frozenset({"text"}), ndim=2, thresholds=Thresholds(0.3, 0))

    def __init__(self, score: float = 0.9) -> None:
        self.score = score

    def read(self, phrases):
        if long := [phrase for phrase in phrases if len(phrase) > 20]:
            raise ModelError(f"The text {long[0]!r} is too long: say it in fewer words")

    def detect(self, views, phrases, thresholds):
        return [Detections(HERE, np.array([self.score]), np.zeros(1, np.int64)) for _ in views]


def ask(detector: Says, text: object, out: Path | None = None) -> pt.Run:
    return pt.segment(scene_of(TRUTH), text=text, detector=detector, model=Perfect(2), out=out)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert text.startswith("promptile: ")
    assert text.count("\n") == 1
    return text


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    samples = np.zeros((12, 20, 20), np.int16)
    samples[3:9, 5:15, 5:15] = 300
    path = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(samples, np.eye(4)), path)
    (tmp_path / "clicks.csv").write_text("x,y,z\n-6,-10,10\n")
    return path


def test_texts_that_a_detector_cannot_read_leave_no_run(tmp_path) -> None:
    with pytest.raises(ModelError, match="fewer words"):
        ask(Says(), "a" * 30, tmp_path / "a.run.zarr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", [5, None, ["a", 5], {"a": 1}.values(), "a\udce4b", b"a"])
@pytest.mark.parametrize("kind", [pt.Text, pt.Phrases])
def test_texts_are_words(kind: Callable[[object], object], text: object) -> None:
    with pytest.raises(UsageError, match=r"A text is words|not in UTF-8"):
        kind(text)


@pytest.mark.parametrize("wrong", [
    {"box_threshold": "x"}, {"text_threshold": [0.3]}, {"levels": 5}, {"levels": "all"}, {"area": "valley.gpkg"},
    {"tiling": 800},
])  # fmt: skip
def test_what_is_said_of_a_text_is_of_its_kind(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"use|give"):
        pt.Text("house", **wrong)


@pytest.mark.parametrize("wrong", [{"threshold": "x"}, {"background": 5}, {"background": ["a", "b"]}])
def test_what_is_said_of_phrases_is_of_its_kind(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"possible|words|one text"):
        pt.Phrases("house", **wrong)


def test_logits_in_place_of_scores_are_no_answer() -> None:
    """They would pass any threshold."""
    run = ask(Says(5.0), "house")
    assert len(run.objects) == 0
    assert "beyond 0 to 1" in run.failed[0].error


def test_a_ranker_that_answers_words() -> None:
    class Words:
        card = Says.card

        def rank(self, pictures, phrases):
            return np.full((len(pictures), len(phrases)), "x")

    class Cuts:
        def picture(self, window, mask):
            return np.zeros((3, 4, 4), np.float32)

    run = pt.segment(scene_of(TRUTH), pt.Prompts.of(points=[(20, 30)]), model=Perfect(2))
    with pytest.raises(ModelError, match="one finite logit"):
        list(rank(run, Cuts(), Words(), pt.Phrases("house")))


@pytest.mark.parametrize("points", [[(20, 30), (50, 70)], []])
def test_objects_without_samples_are_called_nothing(points, tmp_path) -> None:
    class Likes(Says):
        def rank(self, pictures, phrases):
            assert all(min(picture.shape) > 0 for picture in pictures)
            return np.tile(np.arange(len(phrases), 0, -1.0), (len(pictures), 1))

    image, out = scene_of(TRUTH), tmp_path / "a.run.zarr"
    if points:  # the second hits no object of the model
        run = pt.segment(image, pt.Prompts.of(points=points), model=Perfect(2), out=out)
    else:
        run = pt.segment(image, text="house", detector=Says(0.1), model=Perfect(2), out=out)
    assert len(run.objects) == len(points)
    named = pt.classify(run, ["house"], ranker=Likes(), image=image)
    assert named.run.objects["category"].tolist() == ["house", ""][: len(points)]


@pytest.mark.parametrize("value", [".nan", ".inf"])
def test_numbers_of_a_card_are_finite(value: str, tmp_path: Path) -> None:
    card = tmp_path / "card.yaml"
    card.write_text(f"side: {value}\nmean: [0, 0, {value}]\ninputs: {{a: {value}}}")
    table = read_table(card)
    for read in (
        lambda: table.number("side"),
        lambda: table.numbers("mean", 3, None),
        lambda: table.pairs("inputs", named=True),
    ):
        with pytest.raises(ModelError, match="number"):
            read()


@pytest.mark.parametrize("name", ["card.yaml", "card.json"])
def test_a_card_without_end(name: str, tmp_path: Path) -> None:
    card = tmp_path / name
    card.write_text("[" * 100_000)
    with pytest.raises(ModelError, match="without end"):
        read_table(card)


def test_another_models_snapshot_does_not_take_the_place_of_the_right_one(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PROMPTILE_CACHE", str(tmp_path / "cache"))
    given = tmp_path / "clip"
    given.mkdir()
    for name, text in {"config.json": '{"model_type": "clip"}', "tokenizer.json": "{}"}.items():
        (given / name).write_text(text)
    (given / "model.safetensors").write_bytes(b"x" * 100_000)
    assert main(["models", "fetch", "grounding-dino-tiny", "--from", str(given)]) == 1
    assert "of type 'clip' and not grounding-dino: give the files of" in capsys.readouterr().err
    assert not (tmp_path / "cache" / "weights" / "grounding-dino-tiny").exists()


@pytest.mark.parametrize("option", [
    "--level 1", "--planes 3", "--restart", "--simplify 1", "--on-overlap first", "--box-threshold 0.3",
    "--pred-iou-thresh 0.4",
    "--via proposals", "--fill-holes 3", "--detector sam3",
])  # fmt: skip
def test_tasks_refuse_what_they_would_ignore(option: str, volume: Path, capsys) -> None:
    out = volume.with_name("edges.tif")
    assert main(["segment", str(volume), "--task", "edges", "--slice", "3", "--out", str(out), *option.split()]) == 2
    assert f"{option.split()[0]} means nothing for --task edges" in one_line(capsys)
    assert not out.exists()


@pytest.mark.parametrize("asked", [{"points_per_side": "x"}, {"points_per_side": 2.5}, {"box_nms_thresh": "x"}])
@pytest.mark.parametrize("kind", [pt.Edges, pt.Ranked])
def test_tasks_take_numbers(kind: Callable[..., object], asked: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="must be"):
        kind(**asked)


def test_names_beside_two_nifti_files_do_not_replace_each_other(volume: Path, capsys) -> None:
    outs = [volume.with_name(name) for name in ("a.nii", "a.nii.gz")]
    command = ["segment", volume, "--points", volume.with_name("clicks.csv"), "--out", outs[0], "--out", outs[1]]
    assert main([*map(str, command), "--overwrite"]) == 2
    assert "writes a.json beside it" in one_line(capsys)
    assert sorted(p.name for p in volume.parent.iterdir()) == ["clicks.csv", "scan.nii.gz"]


def test_a_series_with_a_gap_has_edges_too(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    from kinds import right_handed, write_series

    write_series(tmp_path / "ct", right_handed((8, 30, 30)))
    sorted((tmp_path / "ct").iterdir())[3].unlink()
    out = tmp_path / "edges.tif"
    command = ["segment", str(tmp_path / "ct"), "--task", "edges", "--slice", "4", "--out", str(out)]
    assert main(command) == 1
    assert main([*command, "--resample"]) == 0
    with rasterio.open(out) as file:
        assert file.shape == (30, 30)


def test_proposals_of_a_slice_are_written_without_a_word(volume: Path, recwarn) -> None:
    out = volume.with_name("proposals.gpkg")
    assert main(["segment", str(volume), "--task", "proposals", "--slice", "5", "--out", str(out)]) == 0
    assert not [str(w.message) for w in recwarn if w.category is UserWarning]


@pytest.mark.parametrize("options", [["measure", "RUN", "--out"], ["segment", "IMAGE", "--task", "edges", "--out"]])
def test_a_folder_is_not_replaced_by_a_file(options: list[str], tmp_path: Path, capsys) -> None:
    image, run = tmp_path / "scene.tif", tmp_path / "a.run.zarr"
    profile = {"driver": "GTiff", "width": 80, "height": 60, "count": 1, "dtype": "uint8"}
    with rasterio.open(image, "w", **profile, transform=rasterio.Affine(2, 0, 400000, 0, -2, 5e6)) as file:
        file.write(TRUTH.astype(np.uint8), 1)
    pt.segment(str(image), pt.Prompts.of(points=[(20, 30)]), model=Perfect(2), out=run)
    folder = tmp_path / ("mine.csv" if options[0] == "measure" else "mine.tif")
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    places = {"RUN": str(run), "IMAGE": str(image)}
    assert main([*(places.get(option, option) for option in options), str(folder), "--overwrite"]) in (1, 2)
    assert "is a folder and is not replaced" in one_line(capsys)
    with pytest.raises(IsADirectoryError), staged(folder) as place:
        place.write_text("a table")
    assert [p.name for p in folder.iterdir()] == ["notes.txt"]


def test_a_table_is_written_once(tmp_path: Path, capsys) -> None:
    assert main(["measure", "a.run.zarr", *(f"--out={tmp_path / name}" for name in ("a.csv", "./a.csv"))]) == 2
    assert "is given twice" in one_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_the_area_of_objects_on_a_map_is_printed(tmp_path: Path, capsys) -> None:
    image, run = tmp_path / "scene.tif", tmp_path / "a.run.zarr"
    profile = {"driver": "GTiff", "width": 80, "height": 60, "count": 2, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(image, "w", **profile, transform=rasterio.Affine(2, 0, 400000, 0, -2, 5e6)) as file:
        file.write(np.stack([TRUTH, TRUTH]).astype(np.uint8))
    pt.segment(str(image), pt.Prompts.of(points=[(20, 30)]), model=Perfect(2), out=run)
    assert main(["measure", str(run)]) == 0
    names, values = (line.split() for line in capsys.readouterr().out.splitlines())
    assert names == ["id", "category", "area_m2", "mean_1", "std_1", "mean_2", "std_2"]
    assert float(values[1]) == pytest.approx(3200, rel=1e-3)  # on the ground


def test_what_a_text_finds_is_followed_along_three_axes() -> None:
    truth = np.zeros((40, 60, 80), np.int32)
    truth[10:30] = TRUTH
    found = pt.segment(scene_of(truth), text="house", detector=Says(), model=Perfect(2), slices=pt.Slices(planes=3))
    assert found.failed == []
    assert found.objects["category"].tolist() == ["house"]
