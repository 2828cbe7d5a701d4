"""Embeddings in memory and on disk: the same answers, bounded, safe against damage and against each other."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from perfect import Perfect
from promptile import caches, models
from promptile.cli import main
from promptile.embeddings import DiskCache, MemoryCache, disk_cache
from promptile.embeddings.keys import identify, shelf_name, window_name
from promptile.engine.ahead import embed
from promptile.engine.embedder import Embedder
from promptile.engine.everything import Everything
from promptile.engine.job import Job
from promptile.engine.lattice import Tiling
from promptile.engine.propose import GridParameters
from promptile.errors import ModelError, SourceError, UsageError
from promptile.grid import Window
from promptile.models.protocols import Embedding, Masks, Storable, View, WindowPrompt
from promptile.prompts import Prompts
from promptile.rendering import Rendering
from promptile.segmentation import segment
from promptile.sources import open_source
from promptile.sources.arrays import ArraySource


class Slow(Perfect):
    """A model whose embeddings are kept on disk, with a precision that is lost on the way there."""

    def __init__(self, ndim: int = 2, digest: str = "slow") -> None:
        super().__init__(ndim)
        self.card = replace(self.card, name="slow", digest=digest)

    def embed(self, views: Sequence[View]) -> list[Embedding]:
        return [replace(each, content=(each.content, np.float64([1 / 3]))) for each in super().embed(views)]

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        truth, sureness = embedding.content
        masks = super().predict(replace(embedding, content=truth), prompt)
        return Masks(masks.logits * sureness.astype(np.float32), masks.scores)

    def pack(self, embedding: Embedding) -> Mapping[str, NDArray[np.generic]]:
        truth, sureness = embedding.content
        return {"truth": truth, "sureness": sureness.astype(np.float16)}

    def unpack(self, arrays: Mapping[str, NDArray[np.generic]]) -> Embedding:
        assert arrays["truth"].flags.writeable
        return Embedding((arrays["truth"], arrays["sureness"]), self.card.digest, arrays["truth"].nbytes)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(caches.FOLDER, str(tmp_path / "cache"))
    monkeypatch.delenv(caches.LIMIT, raising=False)
    caches.configure()
    return tmp_path / "cache" / "embeddings"


def scene(shape: Sequence[int] = (96, 128)) -> NDArray[np.uint8]:
    image = np.zeros(shape, np.uint8)
    image[(slice(20, 40),) * len(shape)] = 7
    image[(slice(60, 80),) * len(shape)] = 9
    return image


def embedder_of(source: ArraySource, model: Perfect | None = None) -> Embedder:
    return Embedder(source, Rendering((0,), (0.0,), (1.0,)), model or Slow(source.grid.ndim))


CLICK = WindowPrompt(np.array([[30.0, 30.0]]), np.array([True]))
WINDOW = Window((0, 0), (64, 64))


class TestMemory:
    def test_the_least_recently_used_goes_first(self) -> None:
        memory: MemoryCache[NDArray[np.uint8]] = MemoryCache(30)
        for key in "abc":
            memory.get(key, lambda: np.zeros(10, np.uint8))
        memory.get("a", lambda: pytest.fail("it is here"))
        memory.get("d", lambda: np.zeros(10, np.uint8))
        assert ["a" in memory, "b" in memory, "c" in memory, "d" in memory] == [True, False, True, True]

    def test_who_asks_meanwhile_waits(self) -> None:
        memory: MemoryCache[NDArray[np.uint8]] = MemoryCache(30)
        made = []

        def make() -> NDArray[np.uint8]:
            time.sleep(0.05)
            made.append(1)
            return np.zeros(1, np.uint8)

        threads = [threading.Thread(target=memory.get, args=("a", make)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 1

    def test_what_failed_is_made_by_the_next(self) -> None:
        memory: MemoryCache[NDArray[np.uint8]] = MemoryCache(30)
        with pytest.raises(KeyboardInterrupt):
            memory.get("a", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        assert memory.get("a", lambda: np.ones(1, np.uint8)) == 1


class TestEmbedder:
    def test_the_disk_answers_as_the_model_does(self) -> None:
        first, second = Slow(), Slow()
        answer = embedder_of(ArraySource(scene()), first).predict(WINDOW, 0, CLICK)
        again = embedder_of(ArraySource(scene()), second).predict(WINDOW, 0, CLICK)
        assert (first.embedded, second.embedded) == (1, 0)
        np.testing.assert_array_equal(answer.logits, again.logits)
        assert answer.logits.max() == 6 * np.float32(np.float16(1 / 3))
        assert (answer.logits > 0).sum() == 400

    def test_no_data_is_known_without_the_image(self) -> None:
        source = ArraySource(scene(), nodata=9.0)
        whole = source.grid.window
        asked = embedder_of(source).predict(whole, 0, CLICK).logits
        blind = ArraySource(scene(), nodata=9.0)
        blind.read = blind.valid = lambda *_: pytest.fail("nothing needs to be read")
        np.testing.assert_array_equal(embedder_of(blind).predict(whole, 0, CLICK).logits, asked)
        assert not embedder_of(blind).on_image(whole, 0, np.array([[70.0, 70.0]])).any()

    def test_basin_keeps_nothing_on_disk(self, cache: Path) -> None:
        for ndim, shape in ((2, (64, 64)), (3, (24, 24, 24))):
            model = models.load("basin", ndim)
            assert not isinstance(model, Storable)
            source = ArraySource(scene(shape).astype(np.float32))
            embedder = Embedder(source, Rendering.of(source), model)
            window = source.grid.window
            embedder.prepare(window, 0)
            assert embedder.known(window, 0)
        assert not cache.exists()

    def test_known_and_prepare(self) -> None:
        model = Slow()
        embedder = embedder_of(ArraySource(scene()), model)
        assert not embedder.known(WINDOW, 0)
        embedder.prepare(WINDOW, 0)
        assert embedder.known(WINDOW, 0)
        assert not embedder.known(WINDOW.shift((1, 0)), 0)
        embedder.predict(WINDOW, 0, CLICK)
        assert model.embedded == 1
        assert embedder_of(ArraySource(scene())).known(WINDOW, 0)

    def test_a_checkpoint_ends_the_work(self) -> None:
        class Cancelled(BaseException):
            pass

        def cancel() -> None:
            raise Cancelled

        embedder = embedder_of(ArraySource(scene()))
        embedder.checkpoint = cancel
        with pytest.raises(Cancelled):
            embedder.prepare(WINDOW, 0)
        assert not embedder.known(WINDOW, 0)
        embedder.checkpoint = lambda: None
        embedder.prepare(WINDOW, 0)
        embedder.checkpoint = cancel
        with pytest.raises(Cancelled):
            embedder.predict(WINDOW, 0, CLICK)

    def test_a_damaged_entry_is_made_again(self, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
        embedder_of(ArraySource(scene())).prepare(WINDOW, 0)
        (path,) = cache.glob("*/*.seen")
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
        model = Slow()
        masks = embedder_of(ArraySource(scene()), model).predict(WINDOW, 0, CLICK)
        assert model.embedded == 1
        assert (masks.logits > 0).sum() == 400
        assert "damaged" in caplog.text
        embedder_of(ArraySource(scene()), model).prepare(WINDOW, 0)
        assert model.embedded == 1

    def test_a_folder_that_cannot_be_used_is_done_without(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv(caches.FOLDER, str(tmp_path / "file"))
        embedder = embedder_of(ArraySource(scene()))
        for start in range(3):
            embedder.predict(WINDOW.shift((start, 0)), 0, CLICK)
        assert caplog.text.count("PROMPTILE_CACHE") == 1

    def test_a_limit_of_zero_keeps_nothing(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(caches.LIMIT, "0")
        embedder_of(ArraySource(scene())).prepare(WINDOW, 0)
        assert not cache.exists()

    def test_packs_hold_numbers(self) -> None:
        model = Slow()
        model.pack = lambda _: {"words": np.array(["a"])}
        with pytest.raises(ModelError, match=r"'slow' packs 'words' as <U1: .*float16"):
            embedder_of(ArraySource(scene()), model).prepare(WINDOW, 0)


class TestKeys:
    def test_everything_that_decides_counts(self) -> None:
        source = ArraySource(scene((4096, 64)))
        rendering = Rendering((0,), (0.0,), (1.0,))
        changed = scene((4096, 64))
        changed[-1, -1] = 1
        keys = {
            shelf_name(*said)
            for said in (
                (source, rendering, "m", 0),
                (source, rendering, "m", 1),
                (source, rendering, "n", 0),
                (source, Rendering((0,), (0.0,), (2.0,)), "m", 0),
                (ArraySource(changed), rendering, "m", 0),
                (ArraySource(scene((4096, 64)), nodata=0), rendering, "m", 0),
                (ArraySource(scene((4096, 64)).astype(np.uint16)), rendering, "m", 0),
            )
        }
        assert len(keys) == 7
        assert shelf_name(ArraySource(scene((4096, 64)), name="x"), rendering, "m", 0) in keys

    def test_windows_have_names_of_their_own(self) -> None:
        assert window_name(Window((0, 512), (1024, 1024))) == "0-512+1024-1024"

    def test_a_file_may_be_renamed_and_must_not_be_changed(self, tmp_path: Path) -> None:
        path = tmp_path / "scene.tif"
        write(path, scene())
        known = identify(open_source(path))
        path.rename(tmp_path / "other.tif")
        assert identify(open_source(tmp_path / "other.tif")) == known
        write(path, scene() + np.uint8(1))
        assert identify(open_source(path)) != known

    def test_of_a_large_file_the_time_counts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("promptile.embeddings.keys.WHOLE", 1000)
        path = tmp_path / "scene.tif"
        write(path, scene())
        known = identify(open_source(path))
        assert identify(open_source(path)) == known
        os.utime(path, ns=(1, 1))
        touched = identify(open_source(path))
        assert touched not in ({}, known)
        (tmp_path / "scene.tif.aux.xml").write_text("<PAMDataset />")
        assert identify(open_source(path)) not in (touched, known)

    def test_of_a_zarr_every_file_counts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import zarr

        monkeypatch.setattr("promptile.embeddings.keys.WHOLE", 1000)
        array = zarr.create_array(tmp_path / "a.zarr", shape=(96, 128), chunks=(32, 32), dtype="u1")
        array[:] = scene()
        known = identify(open_source(tmp_path / "a.zarr"))
        assert identify(open_source(tmp_path / "a.zarr")) == known != {}
        os.utime(tmp_path / "a.zarr" / "c" / "1" / "1", ns=(1, 1))
        assert identify(open_source(tmp_path / "a.zarr")) != known

    def test_a_large_array_is_not_kept(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("promptile.embeddings.keys.WHOLE", 1000)
        assert identify(ArraySource(scene())) == {}
        embedder_of(ArraySource(scene())).prepare(WINDOW, 0)
        assert not cache.exists()


def write(path: Path, image: NDArray[np.generic]) -> None:
    import rasterio
    from rasterio.transform import from_origin

    profile = {"driver": "GTiff", "count": 1, "dtype": image.dtype, "crs": "EPSG:32633"}
    height, width = image.shape
    with rasterio.open(path, "w", height=height, width=width, transform=from_origin(0, 0, 2, 2), **profile) as file:
        file.write(image, 1)


ABOUT = {"image": "a.tif", "model": "slow", "level": 0}


class TestDisk:
    @settings(max_examples=40, deadline=None)
    @given(data=st.data())
    def test_any_damage_is_noticed(self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
        disk = DiskCache(tmp_path_factory.mktemp("cache"), 10**6)
        arrays = {"a": np.arange(24, dtype=np.float16).reshape(2, 3, 4), "b": np.array(5), "c": np.zeros((0, 3))}
        disk.write("s", "n", arrays, ABOUT)
        (path,) = disk.folder.glob("*/*.seen")
        content = bytearray(path.read_bytes())
        if data.draw(st.booleans()):
            content = content[: data.draw(st.integers(0, len(content) - 1))]
            cut = True
        else:
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
            cut = False
        path.write_bytes(content)
        assert disk.read("s", "n") is None
        assert not (cut and disk.has("s", "n"))

    def test_arrays_come_back(self, tmp_path: Path) -> None:
        disk = DiskCache(tmp_path, 10**6)
        arrays = {"a": np.arange(6, dtype=np.float16).reshape(2, 3).T, "file": np.array(5), "": np.zeros((0, 3), bool)}
        assert disk.read("s", "n") is None
        assert not disk.has("s", "n")
        assert disk.write("s", "n", arrays, ABOUT) == sum(entry.nbytes for entry in disk.entries())
        assert disk.has("s", "n")
        back = disk.read("s", "n")
        assert list(back) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(back[name], array, strict=True)
        assert disk.about("s") == ABOUT

    def test_the_least_recently_used_goes_first_and_it_stays_below_the_limit(self, tmp_path: Path) -> None:
        disk = DiskCache(tmp_path, 20_000)
        for i in range(8):
            disk.write("s", str(i), {"a": np.zeros(2000, np.uint8)}, ABOUT)
            os.utime(tmp_path / "s" / f"{i}.seen", (i, i))
        assert disk.has("s", "0")
        for i in range(8, 14):
            disk.write("t", str(i), {"a": np.zeros(2000, np.uint8)}, ABOUT)
            assert sum(entry.nbytes for entry in disk.entries()) <= 20_000
        assert [disk.has("s", str(i)) for i in range(5)] == [True, False, False, False, False]
        assert all(disk.has("t", str(i)) for i in range(8, 14))

    def test_what_is_larger_than_all_is_not_kept(self, tmp_path: Path) -> None:
        disk = DiskCache(tmp_path, 1000)
        assert disk.write("s", "n", {"a": np.zeros(2000)}, ABOUT) == 0
        assert not list(tmp_path.iterdir())

    def test_clear_removes_what_is_ours_alone(self, tmp_path: Path) -> None:
        disk = DiskCache(tmp_path, 10**6)
        nbytes = disk.write("s", "n", {"a": np.zeros(10)}, ABOUT) + disk.write("t", "n", {"a": np.zeros(10)}, ABOUT)
        (tmp_path / "t" / "n.seen.0.part").write_text("")
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("")
        assert disk.clear() == nbytes
        assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["mine", "mine/thesis.txt"]

    def test_what_a_killed_process_left_goes(self, tmp_path: Path) -> None:
        disk = DiskCache(tmp_path, 10**6)
        disk.write("s", "n", {"a": np.zeros(10)}, ABOUT)
        old, new = (tmp_path / "s" / f"n.seen.{i}.part" for i in range(2))
        for part in (old, new):
            part.write_bytes(b"half")
        os.utime(old, (0, 0))
        DiskCache(tmp_path, 10**6).write("s", "m", {"a": np.zeros(10)}, ABOUT)
        assert (old.exists(), new.exists()) == (False, True)

    def test_several_processes_at_once(self, tmp_path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=hammer, args=(tmp_path, i)) for i in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0, 0, 0]
        assert sum(entry.nbytes for entry in DiskCache(tmp_path, 0).entries()) < 60_000 * 1.2

    def test_a_process_may_be_killed_at_any_moment(self, tmp_path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        worker = context.Process(target=hammer, args=(tmp_path, 0, 10**9))
        worker.start()
        while not list(tmp_path.glob("*/*.seen")):
            time.sleep(0.01)
        time.sleep(0.1)
        worker.kill()
        worker.join()
        disk = DiskCache(tmp_path, 10**6)
        names = [(entry.path.parent.name, entry.path.stem) for entry in disk.entries()]
        assert all((disk.read(*name)["a"] == int(name[1])).all() for name in names)


def hammer(folder: Path, seed: int, steps: int = 200) -> None:
    """Write, read and clear for a while; what is read must be what was written under that name."""
    random = np.random.default_rng(seed)
    disk = DiskCache(folder, 60_000)
    for step in range(steps):
        number = int(random.integers(40))
        shelf, name = str(number % 4), str(number)
        disk.write(shelf, name, {"a": np.full(1000 + number, number, np.uint16)}, ABOUT)
        number = int(random.integers(40))
        back = disk.read(str(number % 4), str(number))
        assert back is None or (back["a"] == number).all()
        if step % 50 == 49:
            disk.clear()


class TestSettings:
    def test_python_before_environment_before_default(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(caches.LIMIT, "2e9")
        assert disk_cache().limit == 2 * 10**9
        caches.configure(tmp_path / "mine", 5)
        assert (disk_cache().folder, disk_cache().limit) == (tmp_path / "mine" / "embeddings", 5)
        caches.configure()
        assert disk_cache().limit == 2 * 10**9
        monkeypatch.delenv(caches.LIMIT)
        monkeypatch.delenv(caches.FOLDER)
        assert disk_cache().limit == caches.DEFAULT_LIMIT
        assert disk_cache().folder.name == "embeddings"

    @pytest.mark.parametrize("said", ["much", "-1", "nan", "inf"])
    def test_a_limit_is_a_number_of_bytes(self, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(caches.LIMIT, said)
        with pytest.raises(UsageError, match=r"PROMPTILE_CACHE_BYTES is .*: give a number of bytes"):
            disk_cache()
        if said == "-1":
            with pytest.raises(UsageError):
                caches.configure(limit=-1)


class TestAhead:
    def test_no_click_waits_afterwards(self) -> None:
        job = Job.prepare(scene((600, 150)), Slow(), tiling=Tiling(64))
        made = embed(job)
        assert len(job.source.levels) == 3
        assert made.known == made.empty == 0
        assert made.made == made.total > 20
        model = Slow()
        grower = Job.prepare(scene((600, 150)), model, tiling=Tiling(64)).grower()
        box, click = (grower.grow(p) for p in Prompts.of(boxes=[((18, 18), (150, 140))], points=[(30, 30)]))
        assert click.mask.count == 400
        assert box.level > click.level == 0
        assert model.embedded == 0

    def test_it_can_be_interrupted_and_goes_on(self) -> None:
        def stop(_what: str, done: int, _total: int) -> None:
            if done == 5:
                raise KeyboardInterrupt

        job = Job.prepare(scene((200, 150)), Slow(), tiling=Tiling(64))
        with pytest.raises(KeyboardInterrupt):
            embed(job, 0, stop)
        seen = []
        made = embed(job, 0, lambda _what, done, total: seen.append((done, total)))
        assert (made.known, made.made) == (5, made.total - 5)
        assert seen[0] == (5, made.total)
        assert seen[-1] == (made.total, made.total)

    def test_windows_without_data_are_left_out(self) -> None:
        image = scene((200, 150))
        image[100:] = 255
        made = embed(Job.prepare(ArraySource(image, nodata=255.0), Slow(), tiling=Tiling(32)), 0)
        assert made.empty > 0
        assert made.done == made.total

    def test_bad_blocks_are_named_and_the_rest_is_made(self) -> None:
        class Torn(ArraySource):
            def read(self, window: Window, level: int = 0, channels: Sequence[int] | None = None) -> NDArray:
                if window.start == (0, 0):
                    raise SourceError("a bad block")
                return super().read(window, level, channels)

        job = Job.prepare(scene(), Slow(), tiling=Tiling(64))
        made = embed(Job(Torn(scene()), job.model, job.rendering, job.size, job.overlap), 0)
        assert made.failed == ["Window (0, 0) of level 0: a bad block"]
        assert made.made == made.total - 1

    def test_models_that_keep_nothing_are_refused(self) -> None:
        with pytest.raises(ModelError, match="'basin' keeps no embeddings"):
            embed(Job.prepare(scene(), "basin"))
        with pytest.raises(UsageError, match="its card needs a digest"):
            embed(Job.prepare(scene(), Slow(digest="")))

    def test_several_windows_are_embedded_at_once_where_that_is_faster(self) -> None:
        model = Slow()
        model.card = replace(model.card, device="cuda")
        batches = []
        make = model.embed
        model.embed = lambda views: batches.append(len(views)) or make(views)
        made = embed(Job.prepare(scene((200, 150)), model, tiling=Tiling(64)))
        assert batches == [4] * 6
        assert made.made == 24
        model.embed = lambda views: make(views)[1:]
        with pytest.raises(ModelError, match="gave 3 embeddings of 4 windows"):
            embed(Job.prepare(scene((200, 151)), model, tiling=Tiling(64)))

    def test_what_has_no_room_is_not_begun(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(caches.LIMIT, "20000")
        model = Slow()
        with pytest.raises(UsageError, match=r"need about .* GB and .* GB may be kept: set PROMPTILE_CACHE_BYTES"):
            embed(Job.prepare(scene((400, 400)), model, tiling=Tiling(64)))
        assert model.embedded == 1
        monkeypatch.setenv(caches.LIMIT, "100")
        with pytest.raises(UsageError, match="need more"):
            embed(Job.prepare(scene(), Slow(), tiling=Tiling(64)))


class TestCommands:
    @pytest.fixture
    def image(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A file, and a model by the name of ``slow``."""
        load = models.load
        monkeypatch.setattr(models, "load", lambda name, ndim: Slow(ndim) if name == "slow" else load(name, ndim))
        write(tmp_path / "scene.tif", scene((600, 150)))
        return tmp_path / "scene.tif"

    def test_embed_and_again(self, image: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
        command = ["embed", str(image), "--model", "slow", "--tile", "64"]
        assert main([*command, "--level", "0"]) == 0
        assert capsys.readouterr().out == "72 windows: 72 embedded now, 0 were there already\n"
        assert main([*command, "--json"]) == 0
        made = json.loads(capsys.readouterr().out)
        assert (made["known"], made["failed"], made["folder"]) == (72, [], str(cache))
        assert made["made"] == made["windows"] - 72 > 0

    def test_segment_uses_it(self, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "clicks.csv").write_text("x,y\n61,-61\n")
        outs = []
        for name in ("first", "second"):
            if name == "second":
                assert main(["embed", str(image), "--model", "slow", "--tile", "64", "--quiet"]) == 0
                monkeypatch.setattr(Slow, "embed", lambda *_: pytest.fail("it is known"))
            outs.append(tmp_path / f"{name}.tif")
            clicks = ["--points", str(tmp_path / "clicks.csv"), "-o", str(outs[-1])]
            assert main(["segment", str(image), "--model", "slow", "--tile", "64", *clicks]) == 0
        labels = [open_source(out).read(Window.of((600, 150))) for out in outs]
        np.testing.assert_array_equal(*labels)
        assert (labels[0] == 1).sum() == 400

    def test_cache_shows_and_clears(self, image: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["cache"]) == 0
        assert capsys.readouterr().out == f"{cache}: 0 kB of 10 GB\n"
        assert main(["embed", str(image), "--model", "slow", "--tile", "64", "--level", "0"]) == 0
        capsys.readouterr()
        assert main(["cache"]) == 0
        assert "scene.tif, slow, level 0: 72 windows, used 20" in capsys.readouterr().out
        assert main(["cache", "show", "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        (kept,) = shown["kept"]
        assert (kept["image"], kept["model"], kept["level"], kept["windows"]) == ("scene.tif", "slow", 0, 72)
        assert shown["bytes"] == kept["bytes"] > 72 * 64 * 64
        assert main(["cache", "path"]) == 0
        assert capsys.readouterr().out == f"{cache}\n"
        assert main(["cache", "clear", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"freed": shown["bytes"]}
        assert not list(cache.iterdir())

    def test_basin_needs_no_embedding_ahead(self, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["embed", str(image), "--model", "basin"]) == 1
        assert capsys.readouterr().err.count("\n") == 1

    def test_bad_blocks_exit_with_3(
        self, image: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def torn(_job: Job, window: Window, _level: int) -> None:
            raise SourceError(f"a bad block at {window.start}")

        monkeypatch.setattr(Job, "view", torn)
        assert main(["embed", str(image), "--model", "slow", "--level", "0"]) == 3
        assert capsys.readouterr().err.splitlines() == [
            "promptile: Window (0, 0) of level 0: a bad block at (0, 0)",
            "promptile: 1 window failed; the same command tries again",
        ]

    def test_wrong_usage(self, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["embed", str(image), "--model", "slow", "--level", "99"]) == 2
        for args in (["embed", str(image)], ["cache", "burn"]):
            with pytest.raises(SystemExit) as stopped:
                main(args)
            assert stopped.value.code == 2


def test_everything_takes_what_was_embedded_ahead() -> None:
    tiling = Tiling(64, 8)
    wanted = Everything(grid=GridParameters(points_per_side=128))
    made, given = Slow(), Slow()
    fresh = segment(scene(), everything=wanted, model=made, tiling=tiling)
    ahead = embed(Job.prepare(scene(), Slow(), tiling=tiling), 0)
    known = segment(scene(), everything=wanted, model=given, tiling=tiling)
    assert (made.embedded, given.embedded, ahead.known) == (ahead.total, 0, 0)
    assert len(known.objects) == 2
    assert np.array_equal(known.labels[...], fresh.labels[...])
