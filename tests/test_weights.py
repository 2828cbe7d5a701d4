"""Where weights are looked for, and what is said of files that hold none. Needs no torch."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest

from promptile.errors import ModelError
from promptile.models.weights import complaint, digest, find, folders

NAMES = ("net.pth", "net.safetensors")


def look(given: Path | str | None = None) -> Path:
    return find("net", NAMES, "https://example.org/net.pth", given)


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMPTILE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PROMPTILE_WEIGHTS", raising=False)


def put(path: Path, content: bytes = b"weights") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_they_lie_with_the_caches(tmp_path: Path) -> None:
    assert folders() == [tmp_path / "cache" / "weights"]
    assert look(put(tmp_path / "cache" / "weights" / "net.pth")) == tmp_path / "cache" / "weights" / "net.pth"


def test_named_folders_count_first_in_their_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMPTILE_WEIGHTS", os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")]))
    own = put(tmp_path / "cache" / "weights" / "net.pth")
    assert look() == own
    second = put(tmp_path / "b" / "net.safetensors")
    assert look() == second
    assert look(put(tmp_path / "a" / "net.pth")) == look() == tmp_path / "a" / "net.pth"


def test_the_authors_name_counts_before_others_in_one_folder(tmp_path: Path) -> None:
    put(tmp_path / "cache" / "weights" / "net.safetensors")
    assert look().name == "net.safetensors"
    put(tmp_path / "cache" / "weights" / "net.pth")
    assert look().name == "net.pth"


def test_a_given_file_is_taken_wherever_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = put(tmp_path / "other name.bin")
    assert look(other) == look(str(other)) == other
    monkeypatch.setenv("HOME", str(tmp_path))
    assert look("~/other name.bin") == other


def test_what_is_nowhere_is_named_with_places_and_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMPTILE_WEIGHTS", str(tmp_path / "mine"))
    with pytest.raises(ModelError) as caught:
        look()
    own, mine = tmp_path / "cache" / "weights", tmp_path / "mine"
    assert str(caught.value) == (
        f"Model 'net' needs its weights net.pth, and they are not in {mine} or {own}: get them with promptile models "
        "fetch net, or download https://example.org/net.pth and set PROMPTILE_WEIGHTS to the folder that holds it"
    )


def test_a_given_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"no weights at .*gone\.pth: give the path of a file, like net\.pth from https"
    ):
        look(tmp_path / "gone.pth")


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest(put(tmp_path / "a", b"abc")) == known


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("net.pth", b"", "it is empty"),
        ("net.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
        ("net.pth", b"\n<!DOCTYPE html><html>", "it is a web page"),
        ("net.pth", b"PK\x03\x04 and so on", "its end is missing after 14 bytes"),
        ("net.safetensors", b"\x00\x01\x00\x00\x00\x00\x00\x00{", "its header does not fit its 9 bytes"),
        ("net.pth", pickle.dumps(print), "more than tensors"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    assert said in complaint(put(tmp_path / name, content))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="whoever may read everything sees no difference")
def test_a_file_that_must_not_be_read_says_so(tmp_path: Path) -> None:
    put(tmp_path / "net.pth").chmod(0)
    assert complaint(tmp_path / "net.pth") == "Permission denied"


def test_a_whole_archive_of_something_else_is_not_called_cut_off(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "net.pth", "w") as archive:
        archive.writestr("letter.txt", "Dear reader")
    assert "holds no tensors" in complaint(tmp_path / "net.pth")
