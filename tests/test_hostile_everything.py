"""What careless users give `--everything`: it answers, or says in one line why not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from promptile.cli import main
from promptile.engine.everything import Everything
from promptile.engine.lattice import Tiling
from promptile.report import describe_run
from promptile.run import Run
from promptile.segmentation import segment
from proposers import Pieces
from test_everything import blobs, by_first


def raster(path: Path, samples: np.ndarray, **profile: object) -> Path:
    """A georeferenced GeoTIFF of one channel."""
    height, width = samples.shape
    transform = rasterio.transform.from_origin(330000, 3060000, 0.5, 0.5)
    profile = {"crs": "EPSG:32645", "transform": transform, **profile}
    with rasterio.open(path, "w", "GTiff", width, height, 1, dtype=samples.dtype, **profile) as file:
        file.write(samples, 1)
    return path


@pytest.mark.parametrize("keep", ["best", "all"])
@pytest.mark.parametrize(
    ("samples", "nodata"),
    [
        pytest.param(np.full((40, 40), 77, np.uint8), None, id="constant"),
        pytest.param(np.zeros((40, 40), np.uint8), 0, id="nodata"),
        pytest.param(np.full((40, 40), np.nan, np.float32), None, id="nan"),
        pytest.param(np.ones((1, 1), np.uint8), None, id="one"),
    ],
)
def test_no_objects_are_a_result(tmp_path: Path, samples: np.ndarray, nodata: float | None, keep: str) -> None:
    image = raster(tmp_path / "image.tif", samples, nodata=nodata)
    outs = [f"--out={tmp_path / name}" for name in ("empty.gpkg", "empty.tif", "empty.parquet")]
    assert main(["segment", str(image), "--everything", "--keep", keep, *outs]) == 0
    run = Run.open(tmp_path / "empty.run.zarr")
    assert describe_run(run)["objects"] == 0
    assert run.finished
    assert main(["show", str(tmp_path / "empty.run.zarr"), "--out", str(tmp_path / "empty.png")]) == 0


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image of bright squares and a finished run of everything in it."""
    folder = tmp_path_factory.mktemp("kept")
    samples = np.zeros((60, 60), np.uint8)
    samples[10:25, 10:25] = samples[35:50, 30:50] = 200
    image = raster(folder / "image.tif", samples)
    assert main(["segment", str(image), "--everything", "--run", str(folder / "image.run.zarr")]) == 0
    return folder


@pytest.fixture
def run(kept: Path, tmp_path: Path) -> Path:
    """A copy of the run to do harm to."""
    return Path(shutil.copytree(kept / "image.run.zarr", tmp_path / "image.run.zarr"))


def again(kept: Path, run: Path) -> int:
    """Give the command of the run again."""
    return main(["segment", str(kept / "image.tif"), "--everything", "--run", str(run)])


@pytest.mark.parametrize("harm", ["gone", "cut"])
def test_lost_table_is_made_again_by_the_same_command(kept: Path, run: Path, harm: str) -> None:
    table = run / "objects.parquet"
    before = table.read_bytes()
    table.unlink() if harm == "gone" else table.write_bytes(before[:10])
    assert main(["export", str(run), "--out", str(run.with_name("out.gpkg"))]) == 1
    assert again(kept, run) == 0
    assert table.read_bytes() == before


@pytest.mark.parametrize("content", [None, b"garbage"])
def test_lost_answers_are_no_background(
    kept: Path, run: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "finished.json").unlink()
    for piece in (run / "tiles/0/answers/c").rglob("*"):
        if piece.is_file():
            piece.unlink() if content is None else piece.write_bytes(content)
    assert again(kept, run) == 1
    assert "missing or damaged: compute the run again with --restart" in capsys.readouterr().err


def test_records_of_other_tiles_are_left_alone(kept: Path, run: Path) -> None:
    (run / "finished.json").unlink()
    (run / "tiles/0/records/9,9.npz").write_bytes(b"")
    assert describe_run(Run.open(run))["waiting"] == ""
    assert again(kept, run) == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("zarr.json", b"[]"),
        ("zarr.json", b'{"attributes": {"promptile": null}}'),
        ("finished.json", b'{"a": 1}'),
        ("finished.json", b"[1, 2]"),
        ("labels/zarr.json", b"garbage"),
        ("labels/zarr.json", None),
    ],
)
@pytest.mark.parametrize("command", ["info", "show", "export"])
def test_damage_is_said_in_a_line(
    run: Path, command: str, name: str, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / name).unlink() if content is None else (run / name).write_bytes(content)
    out = {"info": [], "show": [f"--out={run.with_name('out.png')}"], "export": [f"--out={run.with_name('out.gpkg')}"]}
    status = main([command, str(run), *out[command]])
    said = capsys.readouterr().err
    assert (status, said.count("\n")) in ((0, 0), (1, 1))
    assert "the disk" not in said


@pytest.mark.parametrize("size", ["0", "-5", "1000000000"])
def test_pictures_have_a_size(run: Path, size: str) -> None:
    assert main(["show", str(run), "--out", str(run.with_name("out.png")), "--size", size]) == 2


@pytest.mark.parametrize(
    ("option", "cure"), [(["--level", "1"], "use --levels"), (["--skip-outside"], "say where with --aoi")]
)
def test_options_of_prompts_are_refused(
    kept: Path, tmp_path: Path, option: list[str], cure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.gpkg"
    assert main(["segment", str(kept / "image.tif"), "--everything", "--out", str(out), *option]) == 2
    assert cure in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [32, 64, 256])
def test_small_objects_are_left_out_wherever_tiles_cut_them(size: int) -> None:
    truth = blobs((120, 110), seed=3)
    counts = np.bincount(truth.ravel())
    least = int(np.median(counts[1:]))
    wanted = by_first(np.where(counts[truth] >= least, truth, 0))
    found = segment(
        truth,
        everything=Everything(min_region=least),
        model=Pieces(2),
        tiling=Tiling(size, size // 4),
        window=(0.0, 9.0),
    )
    assert 0 < wanted.max() < truth.max()
    np.testing.assert_array_equal(found.labels[:], wanted)
    assert len(found.objects) == wanted.max()
