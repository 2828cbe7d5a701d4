"""What careless users give `--everything`: it answers, or says in one line why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from promptile.cli import main
from promptile.report import describe_run
from promptile.run import Run


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
