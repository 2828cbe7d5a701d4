"""Every building of a real scene, by name: a perfect detector in tiles of any size, and a perfect model."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize

import promptile as pt
from detectors import Perfect, Truth, boxes_of, scene_of
from promptile.engine.detect import Search, find, spec_of
from promptile.engine.execute import Serial
from promptile.engine.job import Job
from promptile.engine.progress import silent
from promptile.prompts import Prompts
from promptile.run import PromptedRun
from promptile.segmentation import segment

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def buildings(shared: Path) -> np.ndarray:
    """The buildings of a scene, numbered from 1."""
    folder = shared / "geo/fair_banepa_dev"
    with rasterio.open(folder / "image.tif") as file:
        outlines = gpd.read_file(folder / "truth.geojson").to_crs(file.crs).geometry
        numbered = rasterize(
            zip(outlines, range(1, len(outlines) + 1), strict=True), file.shape, transform=file.transform, dtype="int32"
        )
    return np.unique(numbered, return_inverse=True)[1].reshape(numbered.shape).astype(np.int32)


def test_every_building_is_drawn_once(buildings: np.ndarray) -> None:
    count = int(buildings.max())
    run = segment(
        scene_of(buildings),
        text=pt.Text("building", tiling=pt.Tiling(256)),
        detector=Truth(boxes_of(buildings), ["building"] * count),
        model=Perfect(buildings),
        tiling=pt.Tiling(256),
    )
    labels = run.read_labels(run.grid.window)
    assert len(run.objects) == count
    assert ((labels > 0) == (buildings > 0)).all()
    assert len(np.unique(labels.astype(np.int64) * (count + 1) + buildings)) == count + 1  # each label is one building
    assert run.failed == []
    assert not run.objects["open_edge"].any()


@pytest.mark.parametrize(
    ("size", "levels"), [(256, "auto"), (512, "auto"), (800, "auto"), (1024, "auto"), (256, (0,)), (400, (0,))]
)
def test_every_building_is_found_once(buildings: np.ndarray, size: int, levels: object, tmp_path: Path) -> None:
    boxes = boxes_of(buildings)
    detector = Truth(boxes, ["building"] * len(boxes))
    job = Job.prepare(scene_of(buildings), Perfect(buildings))
    search = Search.prepare(job.source, detector, pt.Text("building", levels=levels, tiling=pt.Tiling(size)))
    spec = job.spec | {"level": None, "text": spec_of(search, Prompts(()))}
    run = PromptedRun.start(tmp_path / "a.run.zarr", spec, None, restart=False)
    found = find(run, search, Serial(), silent).merged().boxes
    run.close()
    assert sorted(found.round(3).reshape(-1, 4).tolist()) == sorted(boxes.reshape(-1, 4).tolist())
