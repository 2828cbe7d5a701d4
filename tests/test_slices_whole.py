"""Slices from end to end: planes as images, the command line, sessions, embeddings, memory."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import promptile as pt
from promptile.cli import main
from promptile.engine.ahead import embed
from promptile.engine.job import Job
from promptile.engine.slices import Slices
from promptile.errors import ModelError, SourceError, UsageError
from promptile.grid import LPS, Grid, Window
from promptile.models.protocols import Embedding
from promptile.prompts import Prompts
from promptile.session import thumbnails
from promptile.sources import open_source
from promptile.sources.plane import Plane, across
from slices_cases import PerfectSlices, assert_is, grow, grower, volume


def column(shape: tuple[int, int, int] = (12, 30, 34)) -> np.ndarray:
    truth = np.zeros(shape, np.uint8)
    truth[2:-2, 8:20, 10:22] = 1
    return truth


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    """A bright block in a turned NIfTI."""
    noise = np.random.default_rng(0).normal(0, 5, (14, 40, 44))
    samples = noise + 20
    samples[3:11, 10:28, 12:30] += 150
    image = sitk.GetImageFromArray(samples.astype(np.int16))
    image.SetSpacing((0.8, 0.9, 3.0))
    image.SetOrigin((-7.0, 30.0, 12.0))
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    image.SetDirection((turn * np.sign(np.linalg.det(turn))).ravel().tolist())
    path = tmp_path / "ct.nii"
    sitk.WriteImage(image, str(path))
    return path


# Planes as images


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plane_is_what_the_volume_has_there(ct: Path, axis: int) -> None:
    whole = open_source(ct)
    samples = whole.read(whole.grid.window)
    for index in (0, 5, whole.grid.shape[axis] - 1):
        plane = Plane(whole, axis, index)
        expected = samples.take(index, 1 + axis)
        assert (plane.read(plane.grid.window) == expected).all()
        window = Window((3, 2), (7, 9))
        assert (plane.read(window, channels=[0, 0]) == expected[[0, 0], 3:10, 2:11]).all()
        assert plane.valid(window).all()
        assert plane.grid.spacing == pytest.approx([whole.grid.spacing[a] for a in across(axis)])
        assert plane.grid.space == LPS
        again = pickle.loads(pickle.dumps(plane))
        assert (again.read(window) == plane.read(window)).all()
        assert again.identity == plane.identity
        assert plane.place == whole.place


def test_planes_are_told_apart_and_others_refused(ct: Path) -> None:
    whole = open_source(ct)
    names = {str(dict(Plane(whole, axis, index).identity)) for axis in range(3) for index in range(3)}
    assert len(names) == 9
    for axis, index in ((3, 0), (0, 14), (0, -1)):
        with pytest.raises(SourceError, match="no plane"):
            Plane(whole, axis, index)


def test_coarse_planes_are_means_also_where_the_volume_holds_them() -> None:
    samples = np.random.default_rng(0).normal(size=(3, 300, 600)).astype(np.float32)
    samples[1, :7, :9] = np.nan
    plane = Plane(open_source(samples, grid=Grid.of(samples.shape, np.diag([1, 1, 9, 1])[[2, 1, 0, 3]])), 0, 1)
    assert plane.levels == ((1, 1), (2, 2), (4, 4))
    blocks = samples[1].reshape(75, 4, 150, 4)
    assert np.allclose(plane.read(Window.of((75, 150)), 2)[0][2:], np.nanmean(blocks[2:], axis=(1, 3)), atol=1e-5)
    assert not plane.valid(Window.of((75, 150)), 2)[0, 0]


class Counting:
    """A volume that is made as it is read, and remembers what was read."""

    def __init__(self) -> None:
        self.held = volume(np.zeros((1, 1, 1), np.uint8))
        self.grid = Grid.of((2000, 512, 512), np.diag([0.7, 0.7, 1.0, 1.0])[[2, 1, 0, 3]], LPS)
        self.levels = ((1, 1, 1),)
        self.windows: list[Window] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.held, name)

    def read(self, window: Window, level: int = 0, channels: object = None) -> np.ndarray:
        self.windows.append(window)
        z, y, x = np.ogrid[window.slices]
        return ((np.hypot(y - 200, x - 250) < 30) & (abs(z - 1500) <= 4)).astype(np.uint8)[None]

    def valid(self, window: Window, level: int = 0) -> np.ndarray:
        return np.ones(window.shape, bool)


def test_of_a_large_volume_only_the_slices_around_the_object_are_read() -> None:
    source = Counting()
    (grown,) = grow(source, Prompts.of(points=[(1500, 200, 250)]), PerfectSlices(), axis=0)  # type: ignore[arg-type]
    assert {window.start[0] for window in source.windows} == set(range(1495, 1506))
    assert {window.shape[0] for window in source.windows} == {1}
    assert len(source.windows) < 3 * 11
    assert (grown.mask.window.start[0], grown.mask.window.stop[0]) == (1496, 1505)
    assert sum(bits.nbytes for bits in grown.mask.bits.values()) < 2**19


# Models of all kinds


@pytest.mark.parametrize("abilities", [{"points"}, {"box"}, {"points", "box"}, {"mask", "points"}])
def test_models_that_take_less_than_masks_and_boxes(abilities: set[str]) -> None:
    class Modest(PerfectSlices):
        def predict(self, embedding, prompt):
            assert prompt.mask is None or "mask" in abilities
            assert prompt.box is None or "box" in abilities
            assert not len(prompt.points) or "points" in abilities
            return super().predict(embedding, prompt)

    model = Modest(pieces=True)
    model.card = replace(model.card, abilities=frozenset(abilities))
    truth = column()
    asked = {"boxes": [[(4.5, 7.5, 9.5), (5.5, 19.5, 21.5)]]} if abilities == {"box"} else {"points": [(5, 12, 15)]}
    (grown,) = grow(volume(truth), Prompts.of(**asked), model)  # type: ignore[arg-type]
    assert_is(grown, truth == 1)


def test_what_does_not_fit_is_refused() -> None:
    flat = np.zeros((20, 20), np.uint8)
    with pytest.raises(UsageError, match="this image is 2D"):
        Job.prepare(flat, "basin", slices=Slices())
    with pytest.raises(ModelError, match="takes volumes as a whole"):
        Job.prepare(column(), pt.models.load("basin", 3), slices=Slices())
    with pytest.raises(ModelError, match="3D images and this one is 2D"):
        Job.prepare(flat, pt.models.load("basin", 3))
    with pytest.raises(ModelError, match="everything in a volume"):
        pt.segment(column(), everything=True, model=pt.models.load("basin", 2))
    assert Job.prepare(column(), "basin").slices is None
    assert Job.prepare(column(), "basin", slices=Slices(axis=1)).model.card.ndim == 2


# From end to end


def test_the_command_line_keeps_the_geometry(ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = open_source(ct).grid
    Prompts.of(points=[(7, 18, 20)]).write(tmp_path / "clicks.mrk.json", grid)
    out = tmp_path / "organ.nii.gz"
    said = [str(ct), "--points", str(tmp_path / "clicks.mrk.json"), "--axis", "auto", "--out", str(out), "--quiet"]
    assert main(["segment", *said]) == 0
    image, labels = sitk.ReadImage(str(ct)), sitk.ReadImage(str(out))
    for fact in ("GetSize", "GetOrigin", "GetSpacing", "GetDirection"):
        assert np.allclose(getattr(image, fact)(), getattr(labels, fact)(), atol=1e-6)
    found = sitk.GetArrayFromImage(labels) > 0
    truth = np.zeros(found.shape, bool)
    truth[3:11, 10:28, 12:30] = True
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.85
    assert main(["segment", *said, "--overwrite"]) == 0  # the same again is not computed again
    assert main(["segment", *said, "--overwrite", "--planes", "3"]) == 2
    assert "equal spacing" in capsys.readouterr().err


def test_a_session_shows_chooses_corrects_and_is_replayed(tmp_path: Path) -> None:
    truth = column()
    source, model = volume(truth), PerfectSlices()
    with pt.Session(source, model, out=tmp_path / "a.run.zarr", slices=Slices(axis=1)) as session:
        glimpsed = []
        session.prepare(Window((0, 12, 0), (12, 1, 34)), 0)
        looked = model.embedded
        grown = session.predict(Prompts.of(points=[(5, 12, 15)]), glimpse=glimpsed.append)
        assert looked == 1
        assert model.embedded == 1 + 13  # 12 slices of the object, and one behind each end
        assert_is(grown, truth == 1)
        assert glimpsed[0].window == Window((0, 12, 0), (12, 1, 34))
        assert [picture.picture.ndim for picture in thumbnails(session.setting.job, grown.candidates)] == [3]
        session.accept("block")
        session.look(slices=Slices(axis=2))
        session.predict(Prompts.of(points=[(5, 12, 15), (6, 12, 20)], objects=[1, 1]))
        session.accept()
        run = session.run
    again = pt.replay(run, source, model=model)
    assert again.identical
    assert again.objects == 2


def test_embeddings_of_all_slices_are_made_ahead(ct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Keeping(PerfectSlices):
        def pack(self, embedding: Embedding) -> dict[str, np.ndarray]:
            return {"truth": embedding.content}

        def unpack(self, arrays: dict[str, np.ndarray]) -> Embedding:
            return Embedding(arrays["truth"], self.card.digest, arrays["truth"].nbytes)

    monkeypatch.setenv("PROMPTILE_CACHE", str(tmp_path / "cache"))
    model = Keeping()
    job = Job.prepare(ct, model, slices=Slices(axis=0))
    told: list[tuple[int, int]] = []
    ahead = embed(job, None, lambda what, done, total: told.append((done, total)))
    assert (ahead.total, ahead.made, model.embedded) == (14, 14, 14)
    assert told[-1] == (14, 14)
    assert embed(job).known == 14
    made = job.grower()
    assert made.embedder.known(Window((5, 0, 0), (1, 40, 44)), 0)
    made.embedder.prepare(Window((5, 0, 0), (1, 40, 44)), 0)
    assert model.embedded == 14
    other = grower(volume(column()), model)
    assert not other.embedder.known(Window((5, 0, 0), (1, 30, 34)), 0)
