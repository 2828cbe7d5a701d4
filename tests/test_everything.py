"""Everything mode from end to end: with perfect models the result is the truth, however the image is cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from promptile.engine.everything import Everything
from promptile.engine.lattice import Tiling
from promptile.run import Run, TiledRun
from promptile.segmentation import segment
from proposers import Failing, Pieces, Whole


def blobs(shape: tuple[int, ...], seed: int, size: float = 9.0) -> np.ndarray:
    """Connected objects that touch, and background between them: labels by first sample."""
    random = np.random.default_rng(seed)
    seeds = random.uniform(0, 1, (max(int(np.prod(shape) / size ** len(shape)), 2), len(shape))) * shape
    places = np.indices(shape).reshape(len(shape), -1).T
    nearest = np.argmin(((places[:, None] - seeds) ** 2).sum(axis=2), axis=1).reshape(shape) + 1
    nearest[ndimage.gaussian_filter(random.normal(size=shape), 2) > 0.05] = 0
    return by_first(nearest)


def by_first(labels: np.ndarray) -> np.ndarray:
    """Connected pieces of equal labels (8 / 26 neighbours), numbered by their first samples."""
    pieces = np.zeros(labels.shape, np.int64)
    for value in np.unique(labels[labels > 0]):
        found, _ = ndimage.label(labels == value, np.ones((3,) * labels.ndim))
        pieces[found > 0] = found[found > 0] + pieces.max()
    ids, firsts = np.unique(pieces, return_index=True)
    firsts, ids = firsts[ids > 0], ids[ids > 0]
    numbers = np.zeros(int(pieces.max()) + 1, np.uint16)
    numbers[ids[np.argsort(firsts)]] = np.arange(1, len(ids) + 1)
    return numbers[pieces]


def run_on(truth: np.ndarray, path: Path | None = None, **options: object) -> TiledRun:
    options = {"everything": True, "model": Pieces(truth.ndim), "tiling": Tiling(32, 8), **options}
    return segment(truth, out=path, window=(0.0, 9.0), **options)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("model", [Whole, Pieces])
def test_everything_is_the_truth(tmp_path: Path, model: type) -> None:
    truth = blobs((120, 90), 1)
    run_on(truth, tmp_path / "a.run.zarr", model=model(2))
    run = Run.open(tmp_path / "a.run.zarr")
    assert (run.labels[...] == truth).all()
    assert run.finished
    assert not run.failed
    objects = run.objects
    assert objects["id"].tolist() == list(range(1, int(truth.max()) + 1))
    assert objects["area_px"].tolist() == np.bincount(truth.ravel())[1:].tolist()
    boxes = [[s.start for s in box] + [s.stop for s in box] for box in ndimage.find_objects(truth)]
    assert np.array(objects["bbox"].to_list()).tolist() == boxes
    assert (run.mask(7).read(run.grid.window) == (truth == 7)).all()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**16),
    size=st.integers(16, 70),
    share=st.floats(0.05, 0.8),
    flat=st.booleans(),
    whole=st.booleans(),
)
def test_any_tiling_gives_the_truth(seed: int, size: int, share: float, flat: bool, whole: bool) -> None:
    random = np.random.default_rng(seed)
    shape = tuple(int(n) for n in (random.integers(20, 130, 2) if flat else random.integers(8, 40, 3)))
    truth = blobs(shape, seed, float(random.uniform(4, 40)))
    tiling = Tiling(size if flat else max(size // 2, 16), max(2, int(share * (size if flat else max(size // 2, 16)))))
    run = run_on(truth, model=(Whole if whole else Pieces)(truth.ndim), tiling=tiling)
    assert (run.labels[...] == truth).all()
