"""The command about models: which there are, what they can do, and their weights."""

from __future__ import annotations

import argparse
import json
import sys

from promptile.cli.statuses import OK
from promptile.cli.talk import print_facts, show_progress
from promptile.errors import UsageError
from promptile.models.published import Published


def show_models(options: argparse.Namespace) -> int:
    """List the models, show one, or fetch its weights."""
    from promptile import models

    if options.action != "fetch" and (options.file or options.accept_licence):
        raise UsageError("--from and --accept-licence are for fetching: promptile models fetch NAME")
    if options.action == "list":
        _list(options)
    elif not options.name:
        known = ", ".join(models.names())
        raise UsageError(f"Which model? promptile models {options.action} NAME; installed: {known}")
    elif options.action == "show":
        from promptile.report import describe_model

        print_facts(describe_model(options.name), options)
    else:
        _fetch(options)
    return OK


def _list(options: argparse.Namespace) -> None:
    from promptile import models
    from promptile.models.published import all_published
    from promptile.report import weights_here

    names = models.names()
    if options.json:
        print(json.dumps(names))
        return
    known = all_published()
    rows = [(name, *_at_a_glance(known.get(name))) for name in names]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for name, takes, size in rows:
        cure = f"its weights are not here: promptile models fetch {name}" if weights_here(name) is False else ""
        print(f"{name:<{widths[0]}}  {takes:<{widths[1]}}  {size:>{widths[2]}}  {cure}".rstrip())


def _at_a_glance(wanted: Published | None) -> tuple[str, str]:
    """What a model takes, and the size of its weights."""
    takes = ", ".join(wanted.abilities) if wanted else ""
    return takes, f"{wanted.facts.megabytes:,} MB" if wanted and wanted.facts else ""


def _fetch(options: argparse.Namespace) -> None:
    from promptile.models.fetching import fetch
    from promptile.models.published import published

    wanted = published(options.name)
    if not options.quiet:
        terms = f", {wanted.terms}" if wanted.terms else ""
        print(f"promptile: {wanted.file} is under the licence {wanted.licence}{terms}", file=sys.stderr)
    with show_progress(options) as progress:
        path = fetch(wanted, file=options.file, accept=options.accept_licence, progress=progress)
    print(json.dumps({"model": wanted.model, "weights": str(path)}) if options.json else path)
