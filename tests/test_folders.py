"""What holds for every place a run can lie in."""

from __future__ import annotations

import errno
import os
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import zarr

from promptile.engine.progress import one_line
from promptile.errors import RunError, UsageError
from promptile.folders import Folder, Local, Remote, folder_of


@pytest.fixture(params=["path", "file", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    if request.param == "memory":
        fsspec = pytest.importorskip("fsspec")
        root = f"memory://{uuid4().hex}"
        yield folder_of(f"{root}/scene é.run.zarr")
        fsspec.filesystem("memory").store.clear()
    else:
        path = tmp_path / "scene é.run.zarr"
        yield folder_of(path if request.param == "path" else path.as_uri())


def test_what_is_written_is_read(folder: Folder) -> None:
    folder.write("prompts.json", b"[]")
    folder.write("tiles/3/000017.json", b"\x00\xff" * 100_000)
    assert folder.read("prompts.json") == b"[]"
    assert folder.read("tiles/3/000017.json") == b"\x00\xff" * 100_000


def test_a_second_writing_replaces_the_first(folder: Folder) -> None:
    folder.write("commits/1.json", b"a long first version")
    folder.write("commits/1.json", b"short")
    assert folder.read("commits/1.json") == b"short"
    assert folder.names("commits") == ["commits/1.json"]


def test_what_is_not_there_is_said(folder: Folder) -> None:
    with pytest.raises(FileNotFoundError):
        folder.read("nothing")
    assert not folder.exists("nothing")
    assert folder.names("no room") == []
    assert folder.names() == []
    folder.remove("nothing")


def test_names_are_those_of_one_room_sorted(folder: Folder) -> None:
    for name in ("b.json", "commits/2.json", "commits/10.json", "commits/deep/3.json", "commits2/4.json"):
        folder.write(name, b"x")
    assert folder.names() == ["b.json", "commits", "commits2"]
    assert folder.names("commits") == ["commits/10.json", "commits/2.json", "commits/deep"]
    assert [folder.read(name) for name in folder.names("commits/deep")] == [b"x"]


def test_remove_takes_a_file_or_a_room(folder: Folder) -> None:
    for name in ("commits/1.json", "commits/deep/2.json", "commits2/3.json"):
        folder.write(name, b"x")
    folder.remove("commits/1.json")
    assert folder.names("commits") == ["commits/deep"]
    folder.remove("commits")
    assert not folder.exists("commits")
    assert folder.exists("commits2/3.json")
    assert folder.exists("commits2")


def test_zarr_writes_into_it(folder: Folder) -> None:
    group = zarr.create_group(folder.zarr(), zarr_format=3, attributes={"promptile": {"format": 1}})
    group.create_array("labels", shape=(30, 20), chunks=(10, 10), dtype="uint32", fill_value=0)
    labels = zarr.open_array(folder.zarr("labels"), mode="r+")
    labels[10:20, :10] = 7
    again = zarr.open_array(pickle.loads(pickle.dumps(folder)).zarr("labels"), mode="r")
    assert np.count_nonzero(np.asarray(again[:]) == 7) == 100
    assert b'"format": 1' in folder.read("zarr.json")
    assert {"labels", "zarr.json"} <= {*folder.names()}
    folder.remove("labels")
    assert not folder.exists("labels/zarr.json")


def test_it_pickles_small_also_after_use(folder: Folder) -> None:
    folder.write("a", b"1")
    kept = pickle.dumps(folder)
    assert len(kept) < 1000
    again = pickle.loads(kept)
    assert again == folder
    assert again.read("a") == b"1"
    assert folder_of(folder.place) == folder


def test_a_reader_sees_the_old_or_the_new_never_half(folder: Folder) -> None:
    old, new = b"o" * 2_000_000, b"n" * 2_000_000
    folder.write("record", old)
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            folder.write("record", new)
            folder.write("record", old)

    writers = [threading.Thread(target=rewrite) for _ in range(2)]
    for writer in writers:
        writer.start()
    seen = {folder.read("record") for _ in range(50)}
    stop.set()
    for writer in writers:
        writer.join()
    assert seen <= {old, new}
    assert folder.names() == ["record"]


def test_a_failed_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    folder = Local(tmp_path)
    folder.write("a", b"old")
    with pytest.raises(TypeError):
        folder.write("a", "no bytes")  # type: ignore[arg-type]
    assert folder.read("a") == b"old"
    assert folder.names() == ["a"]


def test_paths_and_urls() -> None:
    assert folder_of("~/runs/a.run.zarr") == Local(Path.home() / "runs/a.run.zarr")
    assert folder_of("s3://bucket/a.run.zarr/") == Remote("s3://bucket/a.run.zarr")
    assert folder_of("file:///data/a%20b.run.zarr") == Local(Path("/data/a b.run.zarr"))
    with pytest.raises(UsageError, match="three slashes"):
        folder_of("file://data/a.run.zarr")


def test_a_scheme_that_nobody_knows_is_one_line() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(UsageError, match=r"nosuch://x cannot be reached") as caught:
        folder_of("nosuch://x").read("a")
    assert "\n" not in str(caught.value)


def test_trouble_of_the_storage_is_one_line() -> None:
    fsspec = pytest.importorskip("fsspec")

    class Locked(fsspec.AbstractFileSystem):  # type: ignore[name-defined,misc]
        protocol = "locked"

        def pipe_file(self, *_: object, **__: object) -> None:
            raise RuntimeError("no keys\nwere found")

    fsspec.register_implementation("locked", Locked, clobber=True)
    with pytest.raises(RunError, match="locked://x cannot be used: no keys were found"):
        folder_of("locked://x").write("a", b"")


def test_nothing_heavy_is_loaded() -> None:
    code = "import sys, promptile.folders; print({'fsspec', 'zarr', 'numpy'} & {*sys.modules})"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.strip() == "set()"


def test_a_full_disk_names_the_file_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as caught:
        Local(tmp_path).write("commits/000001.json", b"{}")
    place = re.escape(str(tmp_path))
    said = r"cannot be written: .* \(.+ [kMG]B free\)\. Make space there"
    assert re.match(rf"{place}/commits/000001\.json {said}", one_line(caught.value))
    assert re.match(rf"{place}/new {said}", one_line(OSError(errno.ENOSPC, "full"), tmp_path / "new"))
    assert one_line(OSError("torn")) == "OSError: torn"
    assert not list(tmp_path.rglob("*.*"))
