"""The commands around embeddings: make them ahead, see and clear what is kept."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING

from promptile.cli.statuses import FAILED, OK
from promptile.cli.talk import show_progress
from promptile.cli.wishes import channels_of, model_of, slices_of
from promptile.counts import counted
from promptile.disks import size_of

if TYPE_CHECKING:
    from promptile.embeddings import DiskCache


def embed_image(options: argparse.Namespace) -> int:
    """Make the embeddings that prompts will need, and say how many there were already."""
    from promptile.embeddings import embeddings_folder
    from promptile.engine.ahead import embed
    from promptile.engine.job import Job
    from promptile.engine.lattice import Tiling
    from promptile.sources import open_source

    source = open_source(options.image, time=options.time, series=options.series, resample=options.resample)
    job = Job.prepare(
        source,
        model_of(options, source.grid.ndim),
        tiling=Tiling(options.tile, options.overlap),
        channels=channels_of(options.channels),
        window=options.window,
        slices=slices_of(options),
    )
    with show_progress(options) as progress:
        ahead = embed(job, options.level, progress)
    if options.json:
        facts = {"windows": ahead.total, "known": ahead.known, "made": ahead.made, "empty": ahead.empty}
        print(json.dumps(facts | {"failed": ahead.failed, "folder": str(embeddings_folder())}))
    else:
        empty = f", {ahead.empty} without data" * bool(ahead.empty)
        print(f"{counted(ahead.total, 'window')}: {ahead.made} embedded now, {ahead.known} were there already{empty}")
    failed = ahead.failed
    for failure in failed:
        print(f"promptile: {failure}", file=sys.stderr)
    if failed:
        print(f"promptile: {counted(len(failed), 'window')} failed; the same command tries again", file=sys.stderr)
    return FAILED if failed else OK


def manage_cache(options: argparse.Namespace) -> int:
    """Show what embeddings are kept, remove them, or say where they lie."""
    from promptile.embeddings import disk_cache, embeddings_folder

    if options.action == "path":
        print(json.dumps({"folder": str(embeddings_folder())}) if options.json else embeddings_folder())
    elif options.action == "clear":
        freed = disk_cache().clear()
        print(json.dumps({"freed": freed}) if options.json else f"{size_of(freed)} freed")
    else:
        _show(disk_cache(), options.json)
    return OK


def _show(cache: DiskCache, as_json: bool) -> None:
    from promptile.embeddings.summary import shelves

    found = shelves(cache)
    total = sum(shelf.nbytes for shelf in found)
    if as_json:
        kept = [shelf.to_json() for shelf in found]
        print(json.dumps({"folder": str(cache.folder), "bytes": total, "limit": cache.limit, "kept": kept}))
        return
    print(f"{cache.folder}: {size_of(total)} of {size_of(cache.limit)}")
    for shelf in found:
        level = "?" if shelf.level is None else shelf.level
        used = time.strftime("%Y-%m-%d", time.localtime(shelf.used))
        windows = counted(shelf.windows, "window")
        print(f"  {size_of(shelf.nbytes):>8}  {shelf.image}, {shelf.model}, level {level}: {windows}, used {used}")
