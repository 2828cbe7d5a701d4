"""Runs: results on disk that survive a kill."""

from promptile.run.prompted import PromptedRun
from promptile.run.record import Failure, Record
from promptile.run.store import SUFFIX, Run
from promptile.run.tiled import TiledRun

__all__ = ["SUFFIX", "Failure", "PromptedRun", "Record", "Run", "TiledRun"]
