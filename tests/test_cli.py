"""The command line as people use it: files in, files out, one-line errors, exit statuses."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import nibabel
import numpy as np
import pytest
import rasterio
import SimpleITK as sitk
from rasterio.transform import from_origin

from promptile.cli import main


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Three bright discs on a dark ground, 16 bits, 2 m pixels."""
    y, x = np.ogrid[:240, :320]
    image = np.random.default_rng(0).normal(300, 10, (240, 320))
    for cy, cx in ((60, 70), (120, 200), (190, 100)):
        image[np.hypot(y - cy, x - cx) < 25] += 600
    path = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "width": 320, "height": 240, "count": 1, "dtype": "uint16", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", **profile, transform=from_origin(400000, 5000000, 2, 2)) as file:
        file.write(image.astype(np.uint16), 1)
    return path


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    path = tmp_path / "clicks.csv"
    rows = [f"{400000 + 2 * x + 1},{5000000 - 2 * y - 1},disc" for y, x in ((60, 70), (120, 200), (190, 100))]
    path.write_text("x,y,category\n" + "\n".join(rows))
    return path


def run(*args: object) -> int:
    return main([str(arg) for arg in args])


def test_clicks_in_a_scene_become_vectors_and_labels(scene: Path, clicks: Path, capsys) -> None:
    vectors, labels = scene.with_name("discs.gpkg"), scene.with_name("discs.tif")
    assert run("segment", scene, "--points", clicks, "-o", vectors, "-o", labels, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["objects"] == 3
    assert report["written"] == [str(vectors), str(labels)]
    found = gpd.read_file(vectors)
    assert found.crs.to_epsg() == 32633
    assert found["category"].tolist() == ["disc"] * 3
    area = np.pi * 25**2 * 4
    assert found.area.to_numpy() == pytest.approx(area, rel=0.05)
    centre = found.geometry.iloc[1].centroid
    assert (centre.x, centre.y) == pytest.approx((400000 + 401, 5000000 - 241), abs=1.5)
    with rasterio.open(scene) as image, rasterio.open(labels) as file:
        assert file.transform == image.transform
        assert file.shape == image.shape
        painted = file.read(1)
    for number, count in zip(*np.unique(painted[painted > 0], return_counts=True), strict=True):
        assert count * 4 == pytest.approx(found.set_index("id").area[number], abs=1e-6)


def test_a_click_in_a_volume_becomes_labels_on_its_own_grid(tmp_path: Path) -> None:
    z, y, x = np.ogrid[:20, :60, :70]
    samples = np.random.default_rng(0).normal(-100, 10, (20, 60, 70))
    samples[(((z - 10) * 3) ** 2 + (y - 30) ** 2 + (x - 40) ** 2) < 15**2] = 100
    image = sitk.GetImageFromArray(samples.astype(np.int16))
    image.SetSpacing((0.8, 0.8, 2.4))
    image.SetOrigin((-31.5, 12.25, 700))
    image.SetDirection((1, 0, 0, 0, 0.8, -0.6, 0, 0.6, 0.8))
    path, out = tmp_path / "ct.nii.gz", tmp_path / "organ.nii.gz"
    sitk.WriteImage(image, str(path))
    point = image.TransformContinuousIndexToPhysicalPoint((40.0, 30.0, 10.0))
    (tmp_path / "p.csv").write_text("x,y,z\n" + ",".join(map(str, point)))
    assert run("segment", path, "--points", tmp_path / "p.csv", "-o", out, "--window", "soft") == 0
    labels, original = sitk.ReadImage(str(out)), sitk.ReadImage(str(path))
    assert labels.GetSize() == original.GetSize()
    for which in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(labels, which)() == pytest.approx(getattr(original, which)(), abs=1e-6)
    truth, found = samples > 0, sitk.GetArrayFromImage(labels) > 0
    assert 2 * (truth & found).sum() / (truth.sum() + found.sum()) > 0.95


def test_the_same_command_twice_needs_overwrite(scene: Path, clicks: Path, capsys) -> None:
    out = scene.with_name("discs.gpkg")
    assert run("segment", scene, "--points", clicks, "-o", out) == 0
    assert run("segment", scene, "--points", clicks, "-o", out) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert run("segment", scene, "--points", clicks, "-o", out, "--overwrite") == 0


def test_the_image_itself_is_never_overwritten(scene: Path, clicks: Path, capsys) -> None:
    before = scene.read_bytes()
    assert run("segment", scene, "--points", clicks, "-o", scene, "--overwrite") == 2
    assert "the image itself" in one_line(capsys)
    assert scene.read_bytes() == before


def test_another_model_option_needs_restart(scene: Path, clicks: Path, capsys) -> None:
    out = scene.with_name("discs.gpkg")
    run("segment", scene, "--points", clicks, "-o", out)
    again = ("segment", scene, "--points", clicks, "-o", out, "--overwrite", "--tile", "128")
    assert run(*again) == 1
    assert "--restart" in capsys.readouterr().err
    assert run(*again, "--restart") == 0


def test_export_info_and_compare(scene: Path, clicks: Path, capsys) -> None:
    kept = scene.with_name("kept.run.zarr")
    assert run("segment", scene, "--points", clicks, "--run", kept, "-q") == 0
    assert run("export", kept, "-o", scene.with_name("a.fgb"), "-o", scene.with_name("a.tif")) == 0
    capsys.readouterr()
    assert run("info", kept, "--json") == 0
    assert json.loads(capsys.readouterr().out)["finished"] is True
    clicks.write_text("\n".join(clicks.read_text(encoding="utf-8").splitlines()[:2]), encoding="utf-8")
    assert run("segment", scene, "--points", clicks, "--run", scene.with_name("one.run.zarr"), "-q") == 0
    assert capsys.readouterr().out.startswith("1 object\n")
    assert run("info", scene.with_name("one.run.zarr")) == 0
    assert " 1 prompt\n" in capsys.readouterr().out
    assert run("info", scene, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["shape"] == [240, 320]
    assert facts["bounds"] == [400000, 5000000 - 480, 400000 + 640, 5000000]
    assert run("compare", scene.with_name("a.tif"), scene.with_name("a.tif"), "--json") == 0
    assert run("info", scene) == 0
    assert run("models") == 0
    assert "basin" in capsys.readouterr().out
    assert run("models", "show", "basin") == 0


def one_line(capsys) -> str:
    text = capsys.readouterr().err
    assert text.startswith("promptile: ")
    assert text.count("\n") == 1
    return text


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"image": "missing.tif"}, 1, "missing.tif"),
        ({"--points": "missing.csv"}, 1, "missing.csv"),
        ({"--model": "bassin"}, 1, "did you mean 'basin'"),
        ({"-o": "out.docx"}, 1, ".gpkg"),
        ({"-o": "nowhere/out.gpkg"}, 1, "nowhere"),
        ({"-o": "out.nii.gz"}, 1, "out.nii.gz"),
        ({"--tile": "4"}, 2, "--tile 16"),
        ({"--overlap": "4000"}, 2, "--overlap"),
        ({"--channels": "9"}, 2, "channels 1 to 1"),
        ({"--channels": "red"}, 2, "--channels"),
        ({"--window": "liver"}, 2, "soft"),
        ({"--level": "77"}, 2, "levels 0 to"),
        ({"--level": "x"}, 2, "auto"),
        ({"--time": "2"}, 2, "time"),
    ],
)
def test_mistakes_are_one_line_with_a_cure_and_leave_nothing(
    scene: Path, clicks: Path, capsys, change: dict[str, str], status: int, said: str
) -> None:
    folder = scene.parent
    before = sorted(folder.iterdir())
    given = {"image": str(scene), "--points": str(clicks), "-o": str(folder / "out.gpkg")}
    for key, value in change.items():
        given[key] = str(folder / value) if key in ("image", "--points", "-o") else value
    image = given.pop("image")
    assert run("segment", image, *[part for pair in given.items() for part in pair]) == status
    assert said in one_line(capsys)
    assert sorted(folder.iterdir()) == before


def test_prompts_outside_are_counted_named_and_can_be_skipped(scene: Path, clicks: Path, capsys) -> None:
    clicks.write_text(clicks.read_text() + "\n1,1,far\n400100,4999900,near")
    out = scene.with_name("o.gpkg")
    assert run("segment", scene, "--points", clicks, "-o", out) == 1
    assert "1 of 5 objects" in one_line(capsys)
    assert run("segment", scene, "--points", clicks, "-o", out, "--skip-outside") == 0
    assert len(gpd.read_file(out)) == 4


def test_wrong_usage_exits_with_2(capsys) -> None:
    for args in ([], ["segment"], ["fly"]):
        with pytest.raises(SystemExit) as stopped:
            main(args)
        assert stopped.value.code == 2
    assert run("segment", "a.tif") == 2
    assert "--text" in capsys.readouterr().err
    assert run("segment", "a.tif", "--points", "b.csv") == 2
    assert "--out" in capsys.readouterr().err


def test_help_reads_well(capsys) -> None:
    for command in ("segment", "export", "info", "models", "embed", "cache", "compare", "demo"):
        with pytest.raises(SystemExit) as stopped:
            main([command, "--help"])
        assert stopped.value.code == 0
        assert "usage: promptile" in capsys.readouterr().out


def test_failed_objects_exit_with_3(scene: Path, clicks: Path, capsys, monkeypatch) -> None:
    from promptile.engine.objects import Grower

    grow = Grower.grow

    def fail_on_two(self, prompt):
        if prompt.id == 2:
            raise RuntimeError("no luck")
        return grow(self, prompt)

    monkeypatch.setattr(Grower, "grow", fail_on_two)
    out = scene.with_name("o.gpkg")
    assert run("segment", scene, "--points", clicks, "-o", out) == 3
    assert "object 2 failed: RuntimeError: no luck" in capsys.readouterr().err
    assert gpd.read_file(out)["id"].tolist() == [1, 3]
    monkeypatch.undo()
    assert run("segment", scene, "--points", clicks, "-o", out, "--overwrite") == 0
    assert len(gpd.read_file(out)) == 3


def test_an_interrupt_exits_with_130(scene: Path, clicks: Path, capsys, monkeypatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("promptile.engine.objects.Grower.grow", interrupt)
    assert run("segment", scene, "--points", clicks, "-o", scene.with_name("o.gpkg")) == 130
    assert "continues" in one_line(capsys)
    monkeypatch.undo()
    assert run("segment", scene, "--points", clicks, "-o", scene.with_name("o.gpkg")) == 0


@pytest.fixture
def terminated() -> Iterator[list[int]]:
    """The SIGTERMs that nobody else heard, which would have ended all tests."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    yield heard
    signal.signal(signal.SIGTERM, before)


def test_what_clusters_send_before_they_kill_leaves_nothing_half_written(
    scene: Path, clicks: Path, capsys, monkeypatch, terminated
) -> None:
    kept = scene.with_name("kept.run.zarr")
    run("segment", scene, "--points", clicks, "--run", kept)
    before, handler = sorted(scene.parent.iterdir()), signal.getsignal(signal.SIGTERM)
    capsys.readouterr()

    def stopped(*_: object) -> None:
        assert sorted(scene.parent.iterdir()) != before  # the writer is in the midst of it
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("promptile.writers.placing._place", stopped)
    assert run("export", kept, "-o", scene.with_name("o.gpkg")) == 130
    assert "continues" in one_line(capsys)
    assert sorted(scene.parent.iterdir()) == before
    assert signal.getsignal(signal.SIGTERM) is handler
    assert not terminated


def test_another_image_of_the_same_stem_is_named(scene: Path, clicks: Path, capsys) -> None:
    kept = scene.with_name("kept.run.zarr")
    run("segment", scene, "--points", clicks, "--run", kept)
    other = scene.with_name("other.tif")
    other.write_bytes(scene.read_bytes())
    capsys.readouterr()
    assert run("segment", other, "--points", clicks, "--run", kept) == 1
    assert f"from {scene.name}, not other.tif: choose another with --run" in one_line(capsys)


def test_a_terminal_without_our_letters_does_not_end_a_command(scene: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "promptile", "info", str(scene)]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert b"levels" in done.stdout


def test_a_run_without_painted_labels_is_not_exported(scene: Path, clicks: Path, capsys) -> None:
    kept = scene.with_name("kept.run.zarr")
    run("segment", scene, "--points", clicks, "--run", kept)
    (kept / "finished.json").unlink()
    capsys.readouterr()
    assert run("export", kept, "-o", scene.with_name("a.tif")) == 1
    assert "before its labels were painted" in one_line(capsys)
    assert not scene.with_name("a.tif").exists()
    assert run("segment", scene, "--points", clicks, "--run", kept) == 0
    assert run("export", kept, "-o", scene.with_name("a.tif")) == 0


def test_a_click_in_a_volume_around_which_nothing_ends_is_called_a_guess(tmp_path, capsys):
    body = np.full((40, 40, 40), 60, np.int16)
    nibabel.save(nibabel.Nifti1Image(body, np.eye(4)), tmp_path / "ct.nii.gz")
    (tmp_path / "clicks.csv").write_text("x,y,z\n-20,-20,20\n", encoding="utf-8")
    args = ["segment", str(tmp_path / "ct.nii.gz"), "--points", str(tmp_path / "clicks.csv"), "--window=0,100", "-q"]
    assert main([*args, "--run", str(tmp_path / "a.run.zarr")]) == 0
    assert "object 1 may be a part only" in capsys.readouterr().err
    body[:10] = body[-10:] = body[:, :10] = body[:, -10:] = body[..., :10] = body[..., -10:] = 0
    nibabel.save(nibabel.Nifti1Image(body, np.eye(4)), tmp_path / "ct.nii.gz")
    assert main([*args, "--run", str(tmp_path / "b.run.zarr")]) == 0
    assert not capsys.readouterr().err


@pytest.mark.parametrize("called", ["os.fsync", "zarr.core.array.Array.__setitem__"])
def test_a_full_disk_names_the_place_and_what_to_do(scene: Path, clicks: Path, capsys, monkeypatch, called) -> None:
    kept = scene.with_name("kept.run.zarr")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(called, full)
        assert run("segment", scene, "--points", clicks, "-o", kept.with_name("kept.tif"), "--run", kept, "-q") == 1
    said = one_line(capsys)
    assert str(kept) in said
    assert " free). Make space there and do the same again, or choose another place" in said
    assert run("segment", scene, "--points", clicks, "-o", kept.with_name("kept.tif"), "--run", kept, "-q") == 0
