"""Getting the weights of a model: by download, from a mirror, from a file at hand."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from promptile.caches import cache_folder
from promptile.errors import ModelError
from promptile.models.downloading import OFFLINE, Absent, Progress, cannot, copy, download
from promptile.models.published import Part, Published
from promptile.models.weights import complaint, digest, folders, in_hub_cache, lacking, located

__all__ = ["MIRROR", "OFFLINE", "Progress", "accepted", "check_consent", "fetch"]

MIRROR = "PROMPTILE_MIRROR"
"""Environment variable: an address under which the files lie by their names, in place of their authors'."""

_UNFINISHED = ".part"
_SMALLEST = 2**16
"""Bytes: weights are larger, pages that say that something went wrong are not."""


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
        The weights at hand, such as brought to a machine without a network: they are copied. A folder, where the
        weights are a snapshot.
    accept : bool
        Agree to the licence; asked for once, where it is not one that needs nobody's consent.
    progress : callable, optional
        Called with (what, bytes done, bytes in all).

    Returns
    -------
    Path
        The file, or the folder of the snapshot.

    Raises
    ------
    ModelError
        If the licence is not accepted, the file cannot be had, or is not the right one.
    """
    check_consent(wanted, accept=accept)
    given = Path(file).expanduser() if file is not None else None
    try:
        return _snapshot(wanted, given, progress) if wanted.parts else _single(wanted, given, progress)
    except OSError as error:
        target = folders()[-1] / wanted.file
        raise ModelError(f"{target} cannot be written ({error}): free some room, or set PROMPTILE_CACHE") from error


def _single(wanted: Published, given: Path | None, progress: Progress) -> Path:
    """The only file of a model's weights."""
    target = folders()[-1] / wanted.file
    if target.is_file() and given is None:
        _verify(target, wanted, _noted(target) or wanted.sha256)
        return target
    found = given or _at_hugging_face(wanted)
    if found is None and wanted.recipe:
        raise ModelError(
            f"{wanted.file} is made, not downloaded: {wanted.recipe}, with a checkpoint from {wanted.url}; then "
            f"promptile models fetch {wanted.model} --from {wanted.file}"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _get(wanted, _From(_address(wanted), found, wanted.sha256), target, progress)
    except Absent as error:
        raise cannot(wanted.model, str(error), error) from error
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


def _snapshot(wanted: Published, source: Path | None, progress: Progress) -> Path:
    """All files of a snapshot in a folder of its own; each is there whole or not at all, the largest comes last."""
    folder = folders()[-1] / wanted.file
    if source is not None and not source.is_dir():
        raise ModelError(f"There is no folder {source}: the weights of {wanted.model} are a folder, see {wanted.url}")
    if source is None and (found := located(wanted)) is not None and found != folder:
        return found  # Hugging Face's own tools have downloaded it
    if source is not None and (missing := lacking(source, wanted.parts)):
        raise ModelError(f"The folder {source} lacks {', '.join(missing)}: it needs all files of {wanted.url}")
    if source is not None and wanted.types:
        _check_kind(source, wanted)
    folder.mkdir(parents=True, exist_ok=True)
    whole = source is None and not lacking(folder, wanted.parts)
    for part in wanted.parts:
        here = [folder / name for name in part.names if (folder / name).is_file()]
        if here and source is None:
            _verify(here[0], wanted, _noted(here[0]))
        elif not whole:
            _part(wanted, part, folder, source, progress)
    return folder


def _check_kind(source: Path, wanted: Published) -> None:
    """Refuse another model's snapshot before it takes the place of the right one."""
    try:
        said = json.loads((source / "config.json").read_bytes())
    except ValueError:
        return  # the file itself is refused when its turn comes
    kind = said.get("model_type") if isinstance(said, dict) else None
    if kind not in wanted.types:
        raise ModelError(
            f"The folder {source} holds a model of type {kind!r} and not {' or '.join(wanted.types)}: "
            f"give the files of {wanted.url}"
        )


def _part(wanted: Published, part: Part, folder: Path, source: Path | None, progress: Progress) -> None:
    """One file of a snapshot, under the first of its names that there is."""
    absent: Absent | None = None
    for name in part.names:
        try:
            return _get(wanted, _From(_address(wanted, name), source and source / name), folder / name, progress)
        except Absent as error:
            absent = error
    if part.needed and absent is not None:
        raise cannot(wanted.model, str(absent), absent)
    return None


@dataclass(frozen=True)
class _From:
    """Where a file comes from."""

    url: str
    path: Path | None
    """At hand: nothing is downloaded."""
    sha256: str = ""


def _get(wanted: Published, source: _From, target: Path, progress: Progress) -> None:
    """Put one file in its place, if it is the right one."""
    if source.path is not None and wanted.parts and not source.path.is_file():
        raise Absent(str(source.path))
    target.parent.mkdir(parents=True, exist_ok=True)  # files of a snapshot may lie in folders of their own
    unfinished = target.with_name(target.name + _UNFINISHED)
    expected = source.sha256
    if source.path is None:
        promised = download(wanted.model, source.url, unfinished, progress)
        expected = expected or promised
    else:
        copy(source.path, unfinished, progress)
    _verify(unfinished, wanted, expected)
    _note(target, digest(unfinished))
    unfinished.replace(target)


def _address(wanted: Published, name: str = "") -> str:
    """Where a file is downloaded from: a mirror, or what its authors say."""
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    if name:
        return f"{mirror}/{wanted.file}/{name}" if mirror else f"{wanted.url}/resolve/main/{name}"
    return f"{mirror}/{wanted.file}" if mirror else wanted.url


def _verify(path: Path, wanted: Published, expected: str) -> None:
    """Refuse, and remove, a file that is not what was published."""
    found, file = digest(path), path.name.removesuffix(_UNFINISHED)
    name = f"{wanted.file}/{file}" if wanted.parts else file
    if expected and not found.startswith(expected):
        path.unlink()
        raise ModelError(
            f"{name} is not the right file: its SHA-256 is {found[:12]}…, and {expected[:12]}… was published; "
            f"it was removed: promptile models fetch {wanted.model} gets it again"
        )
    if why := _no_weights(path, file):
        path.unlink()
        raise ModelError(f"{name} is no weights file, {why}")


def _no_weights(path: Path, file: str) -> str:
    """What a file is instead of what its name says; empty if nothing speaks against it."""
    if file.endswith(".json"):
        try:
            json.loads(path.read_bytes())
        except ValueError:
            return complaint(path)
    elif not file.endswith(".txt") and path.stat().st_size < _SMALLEST:
        return complaint(path)
    return ""


def _note(target: Path, sha256: str) -> None:
    """Remember the digest of a file, so that damage is noticed later."""
    target.with_name(target.name + ".sha256").write_text(f"{sha256}  {target.name}\n")


def _noted(target: Path) -> str:
    with suppress(OSError):
        return target.with_name(target.name + ".sha256").read_text().partition(" ")[0]
    return ""
