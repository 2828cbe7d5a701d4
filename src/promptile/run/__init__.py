"""Runs: results on disk that survive a kill."""

from promptile.run.beginning import SUFFIX
from promptile.run.journal import Change, Journal, State, Step
from promptile.run.prompted import PromptedRun
from promptile.run.record import Failure, Record
from promptile.run.store import Run
from promptile.run.tiled import TiledRun

__all__ = [
    "SUFFIX",
    "Change",
    "Failure",
    "Journal",
    "PromptedRun",
    "Record",
    "Run",
    "State",
    "Step",
    "TiledRun",
]
