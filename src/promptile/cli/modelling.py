"""The command about models: which there are, what they can do, and their weights."""

from __future__ import annotations

import argparse
import json
import sys

from promptile.cli.statuses import OK
from promptile.cli.talk import print_facts, show_progress
from promptile.errors import UsageError


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
    width, known = max(map(len, names)), all_published()
    for name in names:
        takes = ", ".join(known[name].abilities) if name in known else ""
        missing = f"its weights are not here: promptile models fetch {name}" if weights_here(name) is False else ""
        print(f"{name:<{width}}  {takes:<4}  {missing}".rstrip())


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
