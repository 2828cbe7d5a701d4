"""One file from somewhere else: downloaded, from where it broke off if it did, or copied."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any

from promptile.errors import ModelError

OFFLINE = ("PROMPTILE_OFFLINE", "HF_HUB_OFFLINE")
"""Environment variables: with 1 in any of them nothing is downloaded."""

_PIECE = 2**20
_PATIENCE = 60.0
"""Seconds without an answer."""
_DIGEST = re.compile(r"[0-9a-f]{64}")

Progress = Callable[[str, int, int], None]


class Absent(Exception):
    """The server has no such file."""


def copy(found: Path, unfinished: Path, progress: Progress) -> None:
    """Copy a file."""
    if not found.is_file():
        raise ModelError(f"There is no file {found}: give the path of the weights")
    total, done = found.stat().st_size, 0
    with found.open("rb") as source, unfinished.open("wb") as target:
        while piece := source.read(_PIECE):
            target.write(piece)
            done += len(piece)
            progress("copying", done, total)


def download(model: str, url: str, unfinished: Path, progress: Progress) -> str:
    """Download what is still missing of a file.

    Returns
    -------
    str
        The file's SHA-256 as its server says, which Hugging Face does of large files; else empty.

    Raises
    ------
    Absent
        If there is no such file.
    ModelError
        If it cannot be had for another reason, or only in part.
    """
    for name in OFFLINE:
        if os.environ.get(name, "") not in ("", "0"):
            raise ModelError(
                f"{url.rpartition('/')[2]} is not here, and {name} forbids to download it: give it with "
                f"promptile models fetch {model} --from FILE"
            )
    begun = unfinished.stat().st_size if unfinished.exists() else 0
    promises = _Promises()
    try:
        answer = _open(url, begun, promises)
        with answer, unfinished.open("ab" if answer.status == 206 else "wb") as file:
            done = file.tell()
            total = done + int(answer.headers.get("Content-Length") or 0)
            for piece in _pieces(answer):
                file.write(piece)
                done += len(piece)
                progress("downloading", done, total)
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
            if error.code == 404:
                raise Absent(url) from error
        raise cannot(model, url, error) from error
    if total and done < total:
        raise ModelError(f"{url} broke off after {done:,} of {total:,} bytes: the same command goes on from there")
    return promises.sha256


def cannot(model: str, url: str, error: Exception) -> ModelError:
    """The error that says why a file cannot be downloaded, and what helps."""
    return ModelError(
        f"{url} cannot be downloaded ({_reason(error)}): try again, it goes on where it stopped; or get the file "
        f"elsewhere and give it with promptile models fetch {model} --from FILE"
    )


class _Promises(urllib.request.HTTPRedirectHandler):
    """Follows redirects, and remembers the digest that the first of them names."""

    sha256 = ""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        said = str(headers.get("X-Linked-Etag") or "").strip('"')
        self.sha256 = said if _DIGEST.fullmatch(said) else self.sha256
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, begun: int, promises: _Promises) -> HTTPResponse:
    """The answer to a request for what is missing after `begun` bytes; for all of it if there is nothing to add."""
    headers = {"User-Agent": "promptile"} | ({"Range": f"bytes={begun}-"} if begun else {})
    request = urllib.request.Request(url, headers=headers)
    try:
        answer: HTTPResponse = urllib.request.build_opener(promises).open(request, timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == 416 and begun:  # nothing is missing, or the file is another one: all of it again
            error.close()
            return _open(url, 0, promises)
        raise
    return answer


def _pieces(answer: HTTPResponse) -> Iterator[bytes]:
    while piece := answer.read(_PIECE):
        yield piece


def _reason(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, Absent) else error
    if isinstance(cause, urllib.error.HTTPError):
        return f"the server says {cause.code} {cause.reason}"
    return " ".join(str(getattr(cause, "reason", cause)).split()) or type(cause).__name__
