"""Everything mode from end to end: with perfect models the result is the truth, however the image is cut."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from perfect import Perfect
from promptile.engine import execute
from promptile.engine.everything import Everything
from promptile.engine.everything.scales import Shared, choose
from promptile.engine.everything.table import Known
from promptile.engine.execute import Outcome, Work
from promptile.engine.lattice import Tiling
from promptile.errors import PromptError, RunError, UsageError
from promptile.grid import Grid, Window
from promptile.models.protocols import Embedding, Masks, Proposal, View, WindowPrompt
from promptile.prompts import Prompts
from promptile.prompts.area import Area
from promptile.report import describe_run
from promptile.run import Run, TiledRun
from promptile.run.parts import LABEL_SIDE
from promptile.segmentation import segment
from proposers import Failing, Pieces, Whole, key


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


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def run_on(truth: np.ndarray | Path, path: Path | str | None = None, **options: object) -> TiledRun:
    ndim = truth.ndim if isinstance(truth, np.ndarray) else 2
    options = {"everything": True, "model": Pieces(ndim), "tiling": Tiling(32, 8), **options}
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


class TestHierarchy:
    """keep="all": wholes with their parts."""

    class Nested(Whole):
        """Proposes objects by tens (21 to 29 is one whole) and each value by itself."""

        def propose(self, view: View) -> list[Proposal]:
            tens = View((view.samples + 9) // 10, view.valid, view.spacing)
            return [*super().propose(tens), *super().propose(view)]

    @staticmethod
    def houses() -> np.ndarray:
        """Six blocks, each with two parts that do not fill it."""
        truth = np.zeros((100, 100), np.uint8)
        for i in range(6):
            y, x = 4 + 30 * (i // 2), 6 + 47 * (i % 2)
            truth[y : y + 24, x : x + 40] = 10 * i + 1
            truth[y + 4 : y + 20, x + 4 : x + 16] = 10 * i + 2
            truth[y + 4 : y + 20, x + 20 : x + 36] = 10 * i + 3
        return truth

    def test_wholes_and_parts(self) -> None:
        truth = self.houses()
        run = run_on(truth, everything=Everything(keep="all"), model=self.Nested(2), tiling=Tiling(48, 16))
        table = run.objects
        wholes, parts = table[table["layer"] == 0], table[table["layer"] == 1]
        assert len(wholes) == 6
        assert (run.read_labels(run.grid.window) > 0).tolist() == (truth > 0).tolist()
        for row in parts.itertuples():
            mask = run.mask(row.id).read(run.grid.window)
            values = np.unique(truth[mask])
            assert len(values) == 1
            assert (mask == (truth == values[0])).all()
            assert (run.read_labels(run.grid.window)[mask] == row.parent).all()
        assert len(parts) == 18
        assert table["id"].tolist() == list(range(1, 25))

    @pytest.mark.parametrize(("keep", "count"), [("whole", 6), ("part", 18)])
    def test_only_wholes_or_parts(self, keep: str, count: int) -> None:
        run = run_on(self.houses(), everything=Everything(keep=keep), model=self.Nested(2), tiling=Tiling(48, 16))  # type: ignore[arg-type]
        assert len(run.objects) == count
        assert "parent" not in run.objects


class TestFailures:
    def test_a_tile_that_fails_once_is_asked_again(self, tmp_path: Path) -> None:
        truth = blobs((120, 90), 1)
        model = Failing(Pieces(2), tmp_path, values=[5], times=1)
        run = run_on(truth, tmp_path / "a.run.zarr", model=model)
        assert model.failures
        assert not run.failed
        assert (run.labels[...] == truth).all()

    def test_a_tile_that_fails_is_named_and_loses_nothing_else(self, tmp_path: Path) -> None:
        truth = blobs((120, 90), 1)
        path = tmp_path / "a.run.zarr"
        run = run_on(truth, path, model=Failing(Pieces(2), tmp_path, values=[int(truth.max())], times=99))
        assert run.failed
        assert {failure.kind for failure in run.failed} == {"tile"}
        assert "failed on purpose" in run.failed[0].error
        lost = np.zeros(truth.shape, bool)
        for failure in run.failed:
            lost[run.stores[0].tiles[failure.id].core.slices] = True  # type: ignore[index]
        painted = run.labels[...]
        assert (painted[~lost] > 0).tolist() == (truth[~lost] > 0).tolist()
        assert Run.open(path).failed == run.failed
        healed = run_on(truth, path)
        assert not healed.failed
        assert (healed.labels[...] == truth).all()

    def test_finished_tiles_are_not_asked_again(self, tmp_path: Path) -> None:
        truth = blobs((120, 90), 1)
        run_on(truth, tmp_path / "a.run.zarr")
        before = files_of(tmp_path)
        model = Failing(Pieces(2), tmp_path, values=range(1, 99), times=99)
        run_on(truth, tmp_path / "a.run.zarr", model=model)
        assert not model.failures
        assert files_of(tmp_path) == before


class TestGround:
    """Nothing is segmented where there is no data, or nobody asked."""

    def test_nodata(self) -> None:
        truth = blobs((120, 90), 2)
        image = truth.astype(np.float32)
        image[30:70, 20:80] = np.nan
        run = run_on(image, model=Pieces(2))
        painted = run.labels[...]
        assert not painted[30:70, 20:80].any()
        expected = np.where(np.isfinite(image), truth, 0)
        assert (painted == by_first(expected)).all()

    def test_tiles_without_data_are_not_asked(self) -> None:
        asked = []

        class Counting(Pieces):
            def propose(self, view: View) -> list[Proposal]:
                asked.append(view.valid.any())
                return super().propose(view)

        image = np.full((200, 200), np.nan, np.float32)
        image[:20, :20] = 3
        run = run_on(image, model=Counting(2))
        assert asked == [True]
        assert len(run.objects) == 1

    def test_area_of_interest(self, tmp_path: Path) -> None:
        truth = blobs((120, 90), 2)
        area = tmp_path / "area.geojson"
        ring = [[10, 10], [60, 15], [50, 80], [10, 10]]
        feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        area.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
        wanted = Area.read(area, Grid.of(truth.shape))
        inside = wanted.within(Window.of(truth.shape), (1, 1))
        assert 0 < inside.sum() < inside.size
        run = run_on(truth, everything=Everything(area=wanted))
        labels = run.labels[...]
        assert ((labels > 0) == (inside & (truth > 0))).all()
        for number in run.objects["id"]:  # the area may cut an object in two
            assert len(np.unique(truth[labels == number])) == 1

    def test_an_area_elsewhere_is_refused(self, tmp_path: Path) -> None:
        area = tmp_path / "area.csv"
        area.write_text("x0,y0,x1,y1\n1000,1000,1100,1100\n")
        with pytest.raises(PromptError, match="outside the image"):
            Area.read(area, Grid.of((50, 50)))


class TestLevels:
    class Shy(Whole):
        """Sees only what no border of its view cuts, at whatever level."""

        def propose(self, view: View) -> list[Proposal]:
            found = super().propose(view)
            return [
                p
                for p in found
                if min(p.window.start) > 0 and all(b < n for b, n in zip(p.window.stop, view.shape, strict=True))
            ]

    @staticmethod
    def scene(path: Path) -> np.ndarray:
        """A large lake among small ponds, as a GeoTIFF with overviews by nearest neighbour."""
        truth = np.zeros((1024, 1024), np.uint8)
        y, x = np.indices(truth.shape)
        truth[(y - 250) ** 2 / 4 + (x - 240) ** 2 < 100**2] = 200
        for i in range(9):
            truth[(y - 30 - 56 * i) ** 2 + (x - 470) ** 2 < 15**2] = i + 1
        place = {"crs": "EPSG:32645", "transform": Affine(2, 0, 3e5, 0, -2, 3e6)}
        blocks = {"tiled": True, "blockxsize": 64, "blockysize": 64}
        with rasterio.open(path, "w", "GTiff", 1024, 1024, 1, dtype="uint8", **place, **blocks) as raster:
            raster.write(truth, 1)
            raster.build_overviews([2, 4], rasterio.enums.Resampling.nearest)
        return truth

    def test_large_objects_are_found_at_a_coarser_level(self, tmp_path: Path) -> None:
        truth = self.scene(tmp_path / "scene.tif")
        path = tmp_path / "scene.tif"
        fine = run_on(path, model=self.Shy(2), tiling=Tiling(128, 64))
        assert len(fine.objects) == 9
        run = run_on(path, model=self.Shy(2), tiling=Tiling(128, 64), everything=Everything(levels=[0, 1, 2]))
        table = run.objects
        assert len(table) == 10
        assert sorted(table["level"].tolist()) == [0] * 9 + [2]
        labels = run.labels[...]
        lake = int(table.loc[table["level"] == 2, "id"].iloc[0])
        shared = np.count_nonzero((labels == lake) & (truth == 200))
        assert shared / np.count_nonzero((labels == lake) | (truth == 200)) > 0.93
        for i in range(1, 10):
            assert len(np.unique(labels[truth == i])) == 1
        assert table["id"].tolist() == list(range(1, 11))

    def test_a_model_that_takes_masks_draws_them_exactly(self, tmp_path: Path) -> None:
        truth = self.scene(tmp_path / "scene.tif")

        class Drawing(self.Shy):  # type: ignore[name-defined, misc]
            def __init__(self) -> None:
                super().__init__(2)
                self.card = replace(self.card, abilities=frozenset({"propose", "mask"}))

            def embed(self, views: Sequence[View]) -> list[Embedding]:
                return [Embedding(view.samples[0], self.card.digest, 0) for view in views]

            def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
                seen, mask = embedding.content, prompt.mask > 0
                value = np.bincount(seen[mask]).argmax() if mask.any() else -1
                return Masks(np.where(seen == value, np.float32(6), np.float32(-6))[None], np.array([0.9]))

        run = run_on(
            tmp_path / "scene.tif", model=Drawing(), tiling=Tiling(128, 64), everything=Everything(levels=[0, 2])
        )
        labels = run.labels[...]
        lake = int(run.objects.loc[run.objects["level"] == 2, "id"].iloc[0])
        assert ((labels == lake) == (truth == 200)).all()

    def test_nothing_is_adopted_that_the_finest_level_sees_as_well(self, tmp_path: Path) -> None:
        truth = self.scene(tmp_path / "scene.tif")
        run = run_on(
            tmp_path / "scene.tif", model=Pieces(2), tiling=Tiling(128, 64), everything=Everything(levels=[0, 1, 2])
        )
        assert (run.labels[...] == by_first(truth)).all()
        assert set(run.objects["level"]) == {0}

    @pytest.mark.parametrize("keep", ["best", "whole", "part", "all"])
    def test_what_lies_in_a_coarse_object(self, keep: str) -> None:
        """Fine objects 1 (whole, good score), 2 (cut), 3 (outside); a large coarse object over 1 and 2."""
        fine = Known(
            scores=np.array([0.9, 0.9, 0.9], np.float32),
            layers=np.zeros(3, np.uint8),
            parents=np.zeros(3, np.uint32),
            tiles=np.ones(3, np.int32),
            levels=np.zeros(3, np.uint8),
            authored=np.array([True, False, True]),
        )
        coarse = fine.take(np.array([0]))
        coarse = replace(coarse, scores=np.array([0.8], np.float32))
        shared = Shared(np.array([0, 1, 2]), np.array([1, 1, 1]), np.array([500, 40, 60]))
        choice = choose(shared, (fine, np.array([40, 60, 80])), coarse, np.array([True]), keep)  # type: ignore[arg-type]
        assert choice.adopted.tolist() == [1]
        expected = {"best": [0, 0, 1, 0], "whole": [0, 1, 1, 0], "part": [0, 0, 0, 0], "all": [0, 1, 1, 0]}[keep]
        assert choice.absorbed.tolist() == expected

    def test_auto_goes_up_to_where_a_tile_shows_all(self, tmp_path: Path) -> None:
        self.scene(tmp_path / "scene.tif")
        run = run_on(
            tmp_path / "scene.tif", model=self.Shy(2), tiling=Tiling(128, 64), everything=Everything(levels="auto")
        )
        assert [store.level for store in run.stores] == [0, 2]

    def test_a_level_that_is_not_there(self) -> None:
        with pytest.raises(UsageError, match="Level 9"):
            run_on(blobs((60, 60), 1), everything=Everything(levels=[9]))


def test_other_wishes_are_refused_and_the_difference_is_named(tmp_path: Path) -> None:
    truth = blobs((60, 60), 3)
    run_on(truth, tmp_path / "a.run.zarr")
    with pytest.raises(RunError, match=r"everything\.keep was \"best\", now \"part\""):
        run_on(truth, tmp_path / "a.run.zarr", everything=Everything(keep="part"))
    with pytest.raises(RunError, match="everything"):
        segment(truth, Prompts.of(points=[(3, 3)]), model=Perfect(2), out=tmp_path / "a.run.zarr", tiling=Tiling(32, 8))


def test_workers_give_the_same_bytes(tmp_path: Path) -> None:
    truth = blobs((120, 90), 5)
    one = run_on(truth, tmp_path / "one.run.zarr")
    two = run_on(truth, tmp_path / "two.run.zarr", workers=2)
    assert files_of(one.path) == files_of(two.path)  # type: ignore[arg-type]


SCRIPT = """
    import sys, time
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from test_everything import Pieces, blobs, run_on

    class Slow(Pieces):
        def propose(self, view):
            time.sleep(0.02)
            return super().propose(view)

    print("begin", flush=True)
    model = Slow(2)
    model.card = Pieces(2).card
    run_on(blobs((120, 90), 5), Path({path!r}), model=model)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_kill_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    whole = run_on(blobs((120, 90), 5), tmp_path / "whole.run.zarr")
    path = tmp_path / "killed.run.zarr"
    script = textwrap.dedent(SCRIPT).format(tests=str(Path(__file__).parent), path=str(path))
    chance = random.Random(3)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline()
        time.sleep(chance.uniform(0.0, 1.0))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    run = run_on(blobs((120, 90), 5), path)
    for part in ("labels", "tiles", "objects.parquet"):
        assert {k: v for k, v in files_of(run.path).items() if k.startswith(part) and ".part" not in k} == {  # type: ignore[arg-type]
            k: v
            for k, v in files_of(whole.path).items()  # type: ignore[arg-type]
            if k.startswith(part)
        }


def test_a_run_behind_a_url() -> None:
    truth = blobs((70, 60), 6)
    url = "memory://shared/place/a.run.zarr"
    run_on(truth, url)
    run = Run.open(url)
    assert run.name == "a.run.zarr"
    assert (run.labels[...] == truth).all()
    assert len(run.objects) == truth.max()
    assert (run_on(truth, url).labels[...] == truth).all()
    with pytest.raises(RunError, match="tiling"):
        run_on(truth, url, tiling=Tiling(32, 4))


def test_a_run_that_was_stopped_says_what_is_missing(tmp_path: Path) -> None:
    class Interrupted(Pieces):
        asked = 0

        def __init__(self) -> None:
            super().__init__(2)
            self.card = Pieces(2).card

        def propose(self, view: View) -> list[Proposal]:
            self.asked += 1
            if self.asked > 5:
                raise KeyboardInterrupt
            return super().propose(view)

    truth = blobs((120, 90), 1)
    with pytest.raises(KeyboardInterrupt):
        run_on(truth, tmp_path / "a.run.zarr", model=Interrupted())
    run = Run.open(tmp_path / "a.run.zarr")
    assert not run.finished
    assert run.waiting.endswith("of 20 tiles")
    facts = describe_run(run)
    assert facts["objects"] == 0
    assert facts["asked"] == "everything"
    assert (run_on(truth, tmp_path / "a.run.zarr").labels[...] == truth).all()


class Twice:
    """An executor that does everything twice, as if workers had died after they had written."""

    workers = 1

    def __enter__(self) -> Twice:
        return self

    def __exit__(self, *_: object) -> None: ...

    def run(self, work: Work, items: Sequence[Any]) -> Iterator[Outcome[Any, Any]]:
        for item in items:
            work.write(item, work.compute(item, work.read(item)))
            yield Outcome(item, work.write(item, work.compute(item, work.read(item))))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Label images of many stored pieces, so that there are many blocks."""
    monkeypatch.setitem(LABEL_SIDE, 2, 32)
    monkeypatch.setitem(LABEL_SIDE, 3, 8)


@pytest.mark.usefixtures("small_blocks")
class TestBlocks:
    @pytest.mark.parametrize("shape", [(150, 131), (21, 40, 35)])
    def test_objects_over_many_blocks(self, shape: tuple[int, ...]) -> None:
        truth = blobs(shape, 8, 15)
        run = run_on(truth, tiling=Tiling(24, 6))
        assert (run.labels[...] == truth).all()
        name = "area_px" if truth.ndim == 2 else "volume_px"
        assert run.objects[name].tolist() == np.bincount(truth.ravel())[1:].tolist()
        boxes = [[s.start for s in box] + [s.stop for s in box] for box in ndimage.find_objects(truth)]
        assert np.array(run.objects["bbox"].to_list()).tolist() == boxes

    def test_what_is_done_twice_is_done_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also where objects are numbered anew: tiles that err leave objects that are painted nowhere."""

        class Erring(Pieces):
            def propose(self, view: View) -> list[Proposal]:
                found = super().propose(view)
                return [replace(p, samples=ndimage.binary_erosion(p.samples, iterations=key(view) % 3)) for p in found]

        truth = blobs((150, 131), 9, 12)
        options = {"model": Erring(2), "everything": Everything(min_region=40), "tiling": Tiling(32, 12)}
        once = run_on(truth, tmp_path / "once.run.zarr", **options)
        monkeypatch.setattr(execute, "choose", lambda *_: Twice())
        twice = run_on(truth, tmp_path / "twice.run.zarr", **options)
        assert files_of(once.path) == files_of(twice.path)  # type: ignore[arg-type]
        labels = once.labels[...]
        counts = np.bincount(labels.ravel())[1:]
        assert once.objects["area_px"].tolist() == counts.tolist()
        assert counts.min() >= 40

    @pytest.mark.parametrize("keep", ["best", "all"])
    def test_levels_over_many_blocks_done_twice(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str
    ) -> None:
        truth = TestLevels.scene(tmp_path / "scene.tif")
        everything = Everything(levels=[0, 2], keep=keep)  # type: ignore[arg-type]
        monkeypatch.setattr(execute, "choose", lambda *_: Twice())
        run = run_on(tmp_path / "scene.tif", model=TestLevels.Shy(2), tiling=Tiling(128, 64), everything=everything)
        labels = run.labels[...]
        assert sorted(run.objects["level"].tolist()) == [0] * 9 + [2]
        assert run.objects["area_m2"].to_numpy() / 4 == pytest.approx(np.bincount(labels.ravel())[1:], rel=1e-2)
        for i in range(1, 10):
            assert len(np.unique(labels[truth == i])) == 1


def test_objects_in_a_coarse_object_keep_their_place_below_it(tmp_path: Path) -> None:
    """keep="all" over levels: a boat on the lake is a part of it."""
    truth = TestLevels.scene(tmp_path / "scene.tif")
    boat = np.zeros(truth.shape, bool)
    boat[245:255, 235:250] = True
    with rasterio.open(tmp_path / "scene.tif", "r+") as raster:
        raster.write(np.where(boat, 90, truth), 1)

    class Seen(TestLevels.Shy):
        def propose(self, view: View) -> list[Proposal]:
            lake = View(np.where(view.samples == 90, 200, view.samples), view.valid, view.spacing)
            return [*super().propose(lake), *(p for p in super().propose(view) if p.samples.sum() < 1000)]

    everything = Everything(levels=[0, 2], keep="all")
    run = run_on(tmp_path / "scene.tif", model=Seen(2), tiling=Tiling(128, 64), everything=everything)
    table = run.objects.set_index("id")
    (number,) = [i for i in table.index if (run.mask(i).read(run.grid.window) == boat).all()]
    assert table.loc[number, "layer"] == 1
    parent = table.loc[number, "parent"]
    assert table.loc[parent, "level"] == 2
    assert (run.labels[...][boat] == parent).all()


def test_a_model_that_answers_nan_has_failed(tmp_path: Path) -> None:
    class Nan(Perfect):
        def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
            masks = super().predict(embedding, prompt)
            return Masks(masks.logits * np.nan, masks.scores)

    run = run_on(blobs((60, 60), 1), model=Nan(2))
    assert len(run.failed) == len(run.stores[0].tiles)
    assert "NaN" in run.failed[0].error


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"everything": False, "prompts": Prompts.of(points=[(3, 3)]), "workers": 2}, "for text and everything=True"),
        ({"skip_outside": True}, "for prompts"),
        ({"workers": 10**9}, "more than this machine"),
        ({"workers": 2, "out": "memory://a/b.run.zarr"}, "seen by one process"),
        ({"level": 1}, "levels="),
        ({"prompts": Prompts.of(points=[(3, 3)])}, "prompts, text, or everything=True"),
        ({"everything": False}, "prompts, text, or everything=True"),
    ],
)
def test_wishes_that_do_not_fit_are_refused(options: dict[str, Any], said: str) -> None:
    options = {"everything": True, "model": Pieces(2), **options}
    with pytest.raises(UsageError, match=said):
        segment(blobs((40, 40), 1), **options)


def test_labels_that_were_lost_are_not_written_as_background(tmp_path: Path) -> None:
    run = run_on(blobs((60, 60), 1), tmp_path / "a.run.zarr")
    shutil.rmtree(tmp_path / "a.run.zarr" / "labels" / "c")
    with pytest.raises(RunError, match="labels lack"):
        Run.open(run.path).write(tmp_path / "a.gpkg")
    assert not (tmp_path / "a.gpkg").exists()


@pytest.mark.usefixtures("small_blocks")
def test_parts_lie_within_their_parents_also_where_tiles_err() -> None:
    class Erring(TestHierarchy.Nested):
        """Misses objects in some tiles, so that neighbours do not agree which layer an object is on."""

        def propose(self, view: View) -> list[Proposal]:
            return [p for i, p in enumerate(super().propose(view)) if (key(view) + i) % 4]

    for tiling in (Tiling(48, 16), Tiling(36, 8)):
        run = run_on(TestHierarchy.houses(), everything=Everything(keep="all"), model=Erring(2), tiling=tiling)
        table = run.objects.set_index("id")
        labels = [run.read_labels(run.grid.window, layer) for layer in range(run.layers)]
        assert (table["layer"] > 0).any()
        for number, layer, parent in zip(table.index, table["layer"], table["parent"], strict=True):
            samples = labels[layer] == number
            assert samples.sum() == table.loc[number, "area_px"]
            if layer:
                assert (labels[layer - 1][samples] == parent).all()
            else:
                assert parent == 0
        assert sum(len(np.unique(image[image > 0])) for image in labels) == len(table)
