"""Weights are fetched from a server of ours: whole, interrupted, wrong, forbidden."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from promptile import caches
from promptile.cli import main
from promptile.errors import ModelError
from promptile.models import fetching
from promptile.models.fetching import accepted, fetch
from promptile.models.published import SNAPSHOT, Published, all_published, published
from promptile.models.weights import find, find_snapshot, located

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT under any name; knows ranges; breaks off, lies and refuses when asked to."""

    break_after: int | None = None
    status = 200
    ranges = True
    content = CONTENT
    files: dict[str, bytes] | None = None
    """What there is under which path; None: `content` under any."""
    promise = ""
    """A digest that a redirect names, as Hugging Face does."""
    asked: list[str | None] = []  # noqa: RUF012  one server for all requests of a test

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        Server.asked.append(wanted)
        if Server.status != 200:
            self.send_error(Server.status)
            return
        if Server.files is not None and self.path not in Server.files:
            self.send_error(404)
            return
        Server.content = Server.files[self.path] if Server.files is not None else Server.content
        if Server.promise and not self.path.startswith("/stored"):
            self.send_response(302)
            self.send_header("X-Linked-Etag", f'"{Server.promise}"')
            self.send_header("Location", f"/stored{self.path}")
            self.end_headers()
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and Server.ranges else 0
        if start >= len(Server.content):
            self.send_error(416)
            return
        rest = Server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: Server.break_after])

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setattr(Server, "asked", [])
    monkeypatch.setattr(Server, "content", CONTENT)
    for name in ("PROMPTILE_OFFLINE", "HF_HUB_OFFLINE", "PROMPTILE_MIRROR", "http_proxy", "PROMPTILE_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROMPTILE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def wanted(server):
    return Published(model="toy", files=("toy.pth",), url=f"{server}/toy.pth", licence="MIT", sha256=SHA[:8])


def test_what_is_fetched_is_found(wanted):
    told = []
    path = fetch(wanted, progress=lambda *progress: told.append(progress))
    assert path.read_bytes() == CONTENT
    assert find("toy", wanted.files, wanted.url) == path
    assert told[-1] == ("downloading", len(CONTENT), len(CONTENT))
    assert fetch(wanted) == path
    assert Server.asked == [None]  # once


def test_a_download_goes_on_where_it_broke_off(wanted, monkeypatch):
    monkeypatch.setattr(Server, "break_after", 100_000)
    with pytest.raises(ModelError, match=r"broke off after 100,000 of 300,000 bytes|cannot be downloaded"):
        fetch(wanted)
    monkeypatch.setattr(Server, "break_after", None)
    assert fetch(wanted).read_bytes() == CONTENT
    assert Server.asked[0] is None
    assert Server.asked[1] == "bytes=100000-"
    assert not list(caches.cache_folder().rglob("*.part"))


def test_a_server_without_ranges_sends_all_of_it_again(wanted, monkeypatch):
    monkeypatch.setattr(Server, "break_after", 100_000)
    with pytest.raises(ModelError):
        fetch(wanted)
    monkeypatch.setattr(Server, "break_after", None)
    monkeypatch.setattr(Server, "ranges", False)
    assert fetch(wanted).read_bytes() == CONTENT


def test_the_wrong_file_is_not_kept(wanted, monkeypatch):
    monkeypatch.setattr(Server, "content", CONTENT[::-1])
    with pytest.raises(ModelError, match="not the right file"):
        fetch(wanted)
    assert not [p for p in caches.cache_folder().rglob("*") if p.is_file()]


def test_damage_is_noticed_later(wanted):
    path = fetch(replace(wanted, sha256=""))
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(ModelError, match="not the right file"):
        fetch(replace(wanted, sha256=""))
    assert fetch(replace(wanted, sha256="")).read_bytes() == CONTENT


def test_a_page_in_its_place_is_no_weights(wanted, monkeypatch):
    monkeypatch.setattr(Server, "content", b"<html>sign in</html>")
    with pytest.raises(ModelError, match="it is a web page"):
        fetch(replace(wanted, sha256=""))


@pytest.mark.parametrize("status", [403, 404, 500])
def test_what_the_server_refuses_is_said(wanted, monkeypatch, status):
    monkeypatch.setattr(Server, "status", status)
    with pytest.raises(ModelError, match=rf"says {status} .*--from FILE"):
        fetch(wanted)


def test_no_server_at_all(wanted):
    with pytest.raises(ModelError, match=r"cannot be downloaded .*--from FILE"):
        fetch(replace(wanted, url="http://127.0.0.1:9/toy.pth"))


def test_a_file_at_hand_needs_no_network(wanted, tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTILE_OFFLINE", "1")
    with pytest.raises(ModelError, match=r"PROMPTILE_OFFLINE forbids .*--from FILE"):
        fetch(wanted)
    (tmp_path / "brought.pth").write_bytes(CONTENT)
    assert fetch(wanted, file=tmp_path / "brought.pth").read_bytes() == CONTENT
    assert (tmp_path / "brought.pth").exists()
    with pytest.raises(ModelError, match="There is no file"):
        fetch(wanted, file=tmp_path / "nothing.pth")
    assert Server.asked == []


def test_a_mirror_takes_the_place_of_the_authors(wanted, server, monkeypatch):
    monkeypatch.setenv("PROMPTILE_MIRROR", f"{server}/mirrored/")
    assert fetch(replace(wanted, url="https://nowhere.invalid/toy.pth")).read_bytes() == CONTENT


def test_what_other_tools_have_fetched_is_taken(wanted, tmp_path):
    there = tmp_path / "hf" / "hub" / "models--someone--toy" / "snapshots" / "abc"
    there.mkdir(parents=True)
    (there / "toy.pth").write_bytes(CONTENT)
    assert fetch(wanted).read_bytes() == CONTENT
    assert Server.asked == []


def test_a_licence_is_accepted_once(wanted):
    bound = replace(wanted, licence="Research only", terms="https://example.org/licence")
    with pytest.raises(ModelError, match=r"'Research only' \(https://example.org/licence\).*--accept-licence"):
        fetch(bound)
    assert Server.asked == []
    fetch(bound, accept=True)
    assert accepted() == ["toy"]
    fetch(bound)


def test_no_room_is_one_line(wanted, tmp_path):
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(ModelError, match=r"cannot be written .*PROMPTILE_CACHE"):
        fetch(wanted)


BASE = "/someone/toy/resolve/main"
FILES = {"config.json": b"{}", "vocab.json": b'{"a": 1}', "merges.txt": b"a b", "model.safetensors": CONTENT}


@pytest.fixture
def snapshot(server, monkeypatch):
    monkeypatch.setattr(Server, "files", {f"{BASE}/{name}": content for name, content in FILES.items()})
    return Published(
        model="toy-net",
        files=("toy-net",),
        url=f"{server}/someone/toy",
        name="toy-net",
        repository="someone/toy",
        parts=SNAPSHOT,
        licence="MIT",
    )


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".sha256"}


def test_a_snapshot_is_fetched_and_found_as_one(snapshot):
    with pytest.raises(ModelError, match=r"a folder toy-net with .*: get them with promptile models fetch toy-net"):
        find_snapshot(snapshot)
    told = []
    folder = fetch(snapshot, progress=lambda *progress: told.append(progress))
    assert held(folder) == FILES
    assert folder == find_snapshot(snapshot) == caches.cache_folder() / "weights" / "toy-net"
    assert told[-1] == ("downloading", len(CONTENT), len(CONTENT))  # the largest comes last
    before = len(Server.asked)
    assert fetch(snapshot) == folder
    assert len(Server.asked) == before


def test_a_snapshot_goes_on_where_it_broke_off(snapshot, monkeypatch):
    monkeypatch.setattr(Server, "break_after", 100_000)
    with pytest.raises(ModelError, match=r"broke off after 100,000 of 300,000 bytes|cannot be downloaded"):
        fetch(snapshot)
    with pytest.raises(ModelError, match="toy-net"):
        find_snapshot(snapshot)
    monkeypatch.setattr(Server, "break_after", None)
    assert held(fetch(snapshot)) == FILES
    assert Server.asked[-1] == "bytes=100000-"


def test_a_snapshot_that_lacks_a_file_is_not_taken(snapshot, monkeypatch, tmp_path):
    monkeypatch.setattr(Server, "files", {f"{BASE}/config.json": b"{}", f"{BASE}/tokenizer.json": b"{}"})
    with pytest.raises(ModelError, match=r"pytorch_model.bin cannot be downloaded \(the server says 404"):
        fetch(snapshot)
    with pytest.raises(ModelError, match=r"lacks config.json, tokenizer.json, model.safetensors: it needs all files"):
        fetch(snapshot, file=tmp_path)
    with pytest.raises(ModelError, match="There is no folder"):
        fetch(snapshot, file=tmp_path / "nothing")


def test_damage_in_a_snapshot_is_noticed(snapshot):
    folder = fetch(snapshot)
    (folder / "vocab.json").write_bytes(b'{"b": 1}')
    with pytest.raises(ModelError, match=r"toy-net/vocab.json is not the right file"):
        fetch(snapshot)
    assert held(fetch(snapshot)) == FILES


def test_a_snapshot_at_hand_needs_no_network(snapshot, tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTILE_OFFLINE", "1")
    with pytest.raises(ModelError, match=r"config.json is not here, and PROMPTILE_OFFLINE forbids"):
        fetch(snapshot)
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    assert held(fetch(snapshot, file=tmp_path)) == FILES
    assert Server.asked == []


def test_a_mirror_keeps_snapshots_in_folders(snapshot, server, monkeypatch):
    monkeypatch.setattr(Server, "files", {f"/mirrored/toy-net/{name}": content for name, content in FILES.items()})
    monkeypatch.setenv("PROMPTILE_MIRROR", f"{server}/mirrored/")
    assert held(fetch(snapshot)) == FILES


def test_a_snapshot_of_other_tools_is_used_where_it_is(snapshot, tmp_path):
    there = tmp_path / "hf" / "hub" / "models--someone--toy" / "snapshots" / "abc"
    there.mkdir(parents=True)
    (there / "config.json").write_bytes(b"{}")
    assert located(snapshot) is None  # a part of it is no snapshot
    for name, content in FILES.items():
        (there / name).write_bytes(content)
    assert fetch(snapshot) == find_snapshot(snapshot) == there
    assert Server.asked == []


def test_a_digest_that_the_server_names_is_checked(wanted, monkeypatch):
    monkeypatch.setattr(Server, "promise", SHA)
    assert fetch(replace(wanted, sha256="")).read_bytes() == CONTENT
    (caches.cache_folder() / "weights" / "toy.pth").unlink()
    monkeypatch.setattr(Server, "promise", "0" * 64)
    with pytest.raises(ModelError, match="not the right file"):
        fetch(replace(wanted, sha256=""))


def test_a_page_in_place_of_a_small_file_is_refused(snapshot, monkeypatch):
    monkeypatch.setattr(Server, "files", {**Server.files, f"{BASE}/config.json": b"<html>sign in</html>"})
    with pytest.raises(ModelError, match=r"toy-net/config.json is no weights file, it is a web page"):
        fetch(snapshot)


def test_models_name_their_weights():
    known = all_published()
    assert {"sam-b", "mobile-sam", "efficient-sam-s"} <= set(known)
    assert known["sam-b"].sha256 == "01ec64"
    assert all(each.url.startswith("https://") for each in known.values())
    assert {"sam3", "sam3-tracker"} <= {each.model for each in known.values() if not each.free}
    with pytest.raises(ModelError, match="'basin' has no weights"):
        published("basin")


def test_the_command(wanted, server, monkeypatch, capsys):
    monkeypatch.setattr(
        "promptile.models.published.all_published", lambda: {"mobile-sam": replace(wanted, model="mobile-sam")}
    )
    assert main(["models", "fetch", "mobile-sam", "--json"]) == 0
    out, err = capsys.readouterr()
    assert Path(json.loads(out)["weights"]).read_bytes() == CONTENT
    assert "licence MIT" in err
    assert main(["models", "fetch"]) == 2
    assert main(["models", "fetch", "basin"]) == 1
    assert main(["models", "list", "--from", "x"]) == 2


def test_a_model_without_its_weights_is_shown_with_the_way_to_them(server, capsys):
    assert main(["models", "show", "sam-b", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["file"] == "sam_vit_b_01ec64.pth"
    assert "promptile models fetch sam-b" in shown["weights"]
    assert main(["models"]) == 0
    assert "its weights are not here" in capsys.readouterr().out
    assert fetching.OFFLINE[0] == "PROMPTILE_OFFLINE"


def test_weights_and_device_can_be_said(tmp_path, capsys):
    from promptile.samples import sample

    image, boxes = str(sample("scene.tif")), str(sample("scene_boxes.geojson"))
    asked = ["segment", image, "--boxes", boxes, "--out", str(tmp_path / "o.gpkg")]
    assert main([*asked, "--weights", "x.pth"]) == 1
    assert "Model 'basin' has no weights: leave --weights out" in capsys.readouterr().err
    assert main([*asked, "--device", "cuda"]) == 1
    assert "computes on the CPU only" in capsys.readouterr().err
    assert main([*asked, "--model", "mobile-sam", "--weights", str(tmp_path / "x.pth")]) == 1
    err = capsys.readouterr().err
    assert "There are no weights at" in err or "pip install 'promptile[torch]'" in err
    assert not list(tmp_path.iterdir())
