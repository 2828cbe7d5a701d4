"""The command line: `arguments` are parsed, and each of the `commands` is a call into the library.

Results go to stdout, progress and errors to stderr. Exit status: 0 done; 1 an error, said in one line with its
cure; 2 wrong usage; 3 finished, but some objects failed; 130 interrupted, the run can be continued.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from promptile.cli.arguments import build_parser
from promptile.cli.statuses import ERROR, INTERRUPTED, USAGE
from promptile.disks import in_words
from promptile.errors import PromptileError, UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal without our letters must not end a command
        sys.stdout.reconfigure(errors="backslashreplace")
    options = build_parser().parse_args(argv)
    logging.basicConfig(format="promptile: %(message)s", level=logging.WARNING)
    logging.getLogger("promptile").setLevel(logging.ERROR if getattr(options, "quiet", False) else logging.INFO)
    try:
        with _ended_politely():
            status: int = options.command(options)
        sys.stdout.flush()
    except UsageError as error:
        return _complain(error, USAGE)
    except PromptileError as error:
        return _complain(error, ERROR)
    except BrokenPipeError:  # the reader of our output has gone, as in `promptile info x | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except OSError as error:
        return _complain(in_words(error, _written_to(options)), ERROR)
    except MemoryError:
        return _complain("Not enough memory: use a smaller --tile", ERROR)
    except KeyboardInterrupt:
        return _complain("Interrupted; the same command continues", INTERRUPTED)
    return status


@contextmanager
def _ended_politely() -> Iterator[None]:
    """SIGTERM, which clusters send before they kill, ends the work as Ctrl-C does: nothing half-written stays."""
    if threading.current_thread() is not threading.main_thread():  # only that one may say what a signal does
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _written_to(options: argparse.Namespace) -> str:
    """Where a command writes, the run before all else; empty if nobody said."""
    out = getattr(options, "out", None) or ""
    return str(getattr(options, "run", None) or (out[0] if isinstance(out, list) else out))


def _complain(error: object, status: int) -> int:
    print(f"promptile: {' '.join(str(error).split())}", file=sys.stderr)
    return status
