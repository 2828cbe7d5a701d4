"""Runs: results on disk that survive a kill."""

from promptile.run.record import Record
from promptile.run.store import SUFFIX, Run

__all__ = ["SUFFIX", "Record", "Run"]
