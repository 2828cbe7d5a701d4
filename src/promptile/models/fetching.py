"""Getting the weights of a model: by download, from a mirror, from a file at hand."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from promptile.caches import cache_folder
from promptile.errors import ModelError
from promptile.models.published import Published
from promptile.models.weights import complaint, digest, folders, in_hub_cache

MIRROR = "PROMPTILE_MIRROR"
"""Environment variable: an address under which the files lie by their names, in place of their authors'."""

OFFLINE = ("PROMPTILE_OFFLINE", "HF_HUB_OFFLINE")
"""Environment variables: with 1 in any of them nothing is downloaded."""

_UNFINISHED = ".part"
_PIECE = 2**20
_PATIENCE = 60.0
"""Seconds without an answer."""
_SMALLEST = 2**16
"""Bytes: weights are larger, pages that say that something went wrong are not."""

Progress = Callable[[str, int, int], None]


def fetch(
    wanted: Published,
    *,
    file: str | os.PathLike[str] | None = None,
    accept: bool = False,
    progress: Progress = lambda *_: None,
) -> Path:
    """Put the weights of a model where they are looked for; nothing happens if they are there and whole.

    An interrupted download goes on where it stopped. Proxies are those of the environment.

    Parameters
    ----------
    wanted : Published
    file : path, optional
        The weights at hand, such as brought to a machine without a network: they are copied.
    accept : bool
        Agree to the licence; asked for once, where it is not one that needs nobody's consent.
    progress : callable, optional
        Called with (what, bytes done, bytes in all).

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ModelError
        If the licence is not accepted, the file cannot be had, or is not the right one.
    """
    check_consent(wanted, accept=accept)
    folder = folders()[-1]
    target = folder / wanted.file
    if target.is_file() and file is None:
        _verify(target, wanted, _noted(target) or wanted.sha256)
        return target
    found = Path(file).expanduser() if file is not None else _at_hugging_face(wanted)
    if found is None and wanted.recipe:
        raise ModelError(
            f"{wanted.file} is made, not downloaded: {wanted.recipe}, with a checkpoint from {wanted.url}; then "
            f"promptile models fetch {wanted.model} --from {wanted.file}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(target.name + _UNFINISHED)
        if found is not None:
            _copy(found, unfinished, progress)
        else:
            _download(wanted, unfinished, progress)
        _verify(unfinished, wanted, wanted.sha256)
        _note(target, digest(unfinished))
        unfinished.replace(target)
    except OSError as error:
        raise ModelError(f"{target} cannot be written ({error}): free some room, or set PROMPTILE_CACHE") from error
    return target


def accepted() -> list[str]:
    """Models whose licences were accepted here."""
    try:
        return list(json.loads(_consents().read_text()))
    except (OSError, ValueError):
        return []


def check_consent(wanted: Published, *, accept: bool = False) -> None:
    """Refuse weights whose licence binds and was not accepted here; with `accept` it is, from now on.

    Raises
    ------
    ModelError
        If it is not accepted.
    """
    if wanted.free or wanted.model in accepted():
        return
    terms = f" ({wanted.terms})" if wanted.terms else ""
    if not accept:
        raise ModelError(
            f"The weights of {wanted.model} are under the licence {wanted.licence!r}{terms}: read it, and if you "
            f"agree, promptile models fetch {wanted.model} --accept-licence"
        )
    _consents().parent.mkdir(parents=True, exist_ok=True)
    _consents().write_text(json.dumps([*accepted(), wanted.model]))


def _consents() -> Path:
    return cache_folder() / "accepted.json"


def _at_hugging_face(wanted: Published) -> Path | None:
    """The file among those that Hugging Face's own tools have downloaded."""
    if wanted.repository:
        return in_hub_cache(wanted.repository, [wanted.url.rpartition("/")[2]])
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    return next(iter(sorted(home.glob(f"hub/models--*/snapshots/*/{wanted.file}"))), None)


def _copy(found: Path, unfinished: Path, progress: Progress) -> None:
    if not found.is_file():
        raise ModelError(f"There is no file {found}: give the path of the weights")
    total, done = found.stat().st_size, 0
    with found.open("rb") as source, unfinished.open("wb") as copy:
        while piece := source.read(_PIECE):
            copy.write(piece)
            done += len(piece)
            progress("copying", done, total)


def _download(wanted: Published, unfinished: Path, progress: Progress) -> None:
    for name in OFFLINE:
        if os.environ.get(name, "") not in ("", "0"):
            raise ModelError(
                f"{wanted.file} is not here, and {name} forbids to download it: give it with "
                f"promptile models fetch {wanted.model} --from FILE"
            )
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    url = f"{mirror}/{wanted.file}" if mirror else wanted.url
    begun = unfinished.stat().st_size if unfinished.exists() else 0
    try:
        answer = _open(url, begun)
        with answer, unfinished.open("ab" if answer.status == 206 else "wb") as file:
            done = file.tell()
            total = done + int(answer.headers.get("Content-Length") or 0)
            for piece in _pieces(answer):
                file.write(piece)
                done += len(piece)
                progress("downloading", done, total)
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        raise ModelError(
            f"{url} cannot be downloaded ({_reason(error)}): try again, it goes on where it stopped; or get the file "
            f"elsewhere and give it with promptile models fetch {wanted.model} --from FILE"
        ) from error
    if total and done < total:
        raise ModelError(f"{url} broke off after {done:,} of {total:,} bytes: the same command goes on from there")


def _open(url: str, begun: int) -> HTTPResponse:
    """The answer to a request for what is missing after `begun` bytes; for all of it if there is nothing to add."""
    headers = {"User-Agent": "promptile"} | ({"Range": f"bytes={begun}-"} if begun else {})
    try:
        answer: HTTPResponse = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == 416 and begun:  # nothing is missing, or the file is another one: all of it again
            return _open(url, 0)
        raise
    return answer


def _pieces(answer: HTTPResponse) -> Iterator[bytes]:
    while piece := answer.read(_PIECE):
        yield piece


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server says {error.code} {error.reason}"
    return " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__


def _verify(path: Path, wanted: Published, expected: str) -> None:
    """Refuse, and remove, a file that is not what was published."""
    found = digest(path)
    if expected and not found.startswith(expected):
        path.unlink()
        raise ModelError(
            f"{wanted.file} is not the right file: its SHA-256 is {found[:12]}…, and {expected[:12]}… was published; "
            f"it was removed: promptile models fetch {wanted.model} gets it again"
        )
    if path.stat().st_size < _SMALLEST:
        why = complaint(path)
        path.unlink()
        raise ModelError(f"{wanted.file} is no weights file, {why}")


def _note(target: Path, sha256: str) -> None:
    """Remember the digest of a file, so that damage is noticed later."""
    target.with_name(target.name + ".sha256").write_text(f"{sha256}  {target.name}\n")


def _noted(target: Path) -> str:
    with suppress(OSError):
        return target.with_name(target.name + ".sha256").read_text().partition(" ")[0]
    return ""
