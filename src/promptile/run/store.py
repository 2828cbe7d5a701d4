"""What all runs have in common: a folder that says what was run, holds the labels, and goes on after a kill.

::

    NAME.run.zarr/
        zarr.json            a Zarr v3 group; its attribute `promptile` says what was run: the image's identity,
                             grid, rendering, model, tiling, options
        prompts.json         the prompts, in index coordinates of level 0; none where everything was asked for
        labels/              Zarr array uint32 on the image's grid; 0 is background
        image.json           where the image was when it was last worked on
        measured.parquet     what was measured of the objects, if anything was
        finished.json        written last: the run is complete

How objects are kept decides the rest: `PromptedRun`, `TiledRun`. Each file is there whole or not at all.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from promptile import writers
from promptile.errors import RunError
from promptile.folders import Folder, Local, folder_of
from promptile.grid import Grid, Window
from promptile.masks import ObjectMask
from promptile.run.beginning import FORMAT, Lock, read_spec
from promptile.run.measured import add_measured, holding, joined, read_measured
from promptile.run.parts import (
    IMAGE,
    PROMPTS,
    create_labels,
    damaged,
    grid_from,
    layer_name,
    read_json,
)
from promptile.run.record import Failure
from promptile.vectors import Shaping


class Run(ABC):
    """A result on disk, opened for reading or by the process that computes it.

    `Run.open` reads an existing one; `start` of its kinds makes or continues one.

    Parameters
    ----------
    folder : Folder
        On a disk or elsewhere; need not be there yet.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.lock = Lock(folder)

    @property
    def path(self) -> Path | str:
        """Where it is: a path, or a URL."""
        return self.folder.path if isinstance(self.folder, Local) else self.folder.place

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.folder.place.rstrip("/").rpartition("/")[2]

    @staticmethod
    def open(path: str | os.PathLike[str]) -> Run:
        """A run that is there.

        Raises
        ------
        RunError
            If `path` is not a run folder, or one of another format.
        """
        from promptile.run.prompted import PromptedRun
        from promptile.run.tiled import TiledRun

        folder = folder_of(path)
        spec = read_spec(folder)
        found = spec.get("format")
        if found != FORMAT:
            raise RunError(f"{path} has run format {found}, this Promptile reads {FORMAT}: run it again with --restart")
        return TiledRun(folder) if "everything" in spec else PromptedRun(folder)

    @abstractmethod
    def create_parts(self, grid: Grid) -> None:
        """Make the arrays that this kind of run has beside its labels."""

    def close(self) -> None:
        """Let other processes work on the run."""
        self.lock.release()

    @cached_property
    def spec(self) -> dict[str, Any]:
        """What was run."""
        return read_spec(self.folder)

    @property
    def prompts(self) -> list[dict[str, Any]]:
        """The prompts, in index coordinates of level 0."""
        said: list[dict[str, Any]] = read_json(self.folder, PROMPTS)
        return said

    @prompts.setter
    def prompts(self, said: Sequence[Mapping[str, Any]]) -> None:
        self.folder.write(PROMPTS, json.dumps(list(said)).encode())

    @property
    def image(self) -> dict[str, Any]:
        """What `promptile.open` needs to open the image; empty if it had no path."""
        there: dict[str, Any] = read_json(self.folder, IMAGE) if self.folder.exists(IMAGE) else {}
        return there

    @image.setter
    def image(self, place: Mapping[str, Any]) -> None:
        self.folder.write(IMAGE, json.dumps(dict(place)).encode())

    @cached_property
    def grid(self) -> Grid:
        """The image's own grid."""
        return grid_from(self.spec["grid"])

    @property
    def origin(self) -> dict[str, Any]:
        """Where the result comes from: image, model, Promptile's version."""
        return {key: self.spec[key] for key in ("image", "model", "promptile") if key in self.spec}

    @cached_property
    def labels(self) -> zarr.Array[Any]:
        """Zarr array uint32 of the image's shape; where objects overlap, the better score is shown."""
        try:
            return zarr.open_array(self.folder.zarr("labels"), mode="r+")
        except (OSError, LookupError, ValueError) as error:
            raise damaged(self.folder, "labels") from error

    def create_labels(self) -> None:
        """Make them anew, without objects."""
        create_labels(self.folder, "labels", self.grid.shape)

    def write_labels(self, window: Window, labels: NDArray[np.uint32]) -> None:
        """Replace the ids in a window by ``window.shape`` others; 0 is background.

        Raises
        ------
        RunError
            If what is there is damaged.
        """
        try:
            self.labels[window.slices] = labels
        except (LookupError, ValueError, RuntimeError) as error:  # what was there is read first
            raise damaged(self.folder, "labels") from error

    @property
    @abstractmethod
    def layers(self) -> int:
        """How many label images hold everything; 0 if objects may overlap freely and each has a mask of its own."""

    def read_labels(self, window: Window, layer: int = 0) -> NDArray[np.uint32]:
        """The ids in a window.

        Parameters
        ----------
        window : Window
            In index coordinates of the image's level 0.
        layer : int
            Which label image: 0 holds wholes, 1 their parts, and so on.

        Returns
        -------
        ndarray of uint32, shape window.shape
            0 is background.

        Raises
        ------
        RunError
            If the image is damaged or missing.
        """
        name = layer_name(layer)
        try:
            labels = self.labels if layer == 0 else zarr.open_array(self.folder.zarr(name), mode="r")
            return np.asarray(labels[window.slices], np.uint32)
        except (OSError, LookupError, ValueError, RuntimeError) as error:
            raise damaged(self.folder, name) from error

    @property
    def finished(self) -> bool:
        """Whether everything was tried and the labels are painted."""
        return self.folder.exists("finished.json")

    def reopen(self) -> None:
        """Mark the run as not complete: something is to be computed again."""
        self.folder.remove("finished.json")

    @property
    @abstractmethod
    def waiting(self) -> str:
        """What has not been tried yet, in words; empty if there is nothing."""

    @property
    @abstractmethod
    def failed(self) -> list[Failure]:
        """What has no answer, and why."""

    @property
    @abstractmethod
    def table(self) -> pd.DataFrame:
        """One row per object that has an answer, sorted by id: `objects` without what was measured."""

    @property
    def objects(self) -> pd.DataFrame:
        """One row per object that has an answer, sorted by id.

        ``id``, ``category``, ``score`` (the model's own guess of quality, 0 to 1), ``area_m2`` on maps, ``volume_mm3``
        in medical volumes, else a number of samples, ``bbox`` (first index and the one after the last, in array
        order), ``tiles`` that answered, ``touches_edge``, ``open_edge`` and others: see ``docs/runs.md``. After these
        what was measured of the objects as they are now; NaN where nothing was.
        """
        return joined(self.table, self.measured)

    @property
    @abstractmethod
    def versions(self) -> Mapping[int, int]:
        """Which of its masks each object has, by id: another version is another mask."""

    @property
    def measured(self) -> pd.DataFrame:
        """One row per object that was measured and has not changed since."""
        rows = read_measured(self.folder)
        return holding(rows, self.versions) if len(rows) else rows.drop(columns="version")

    def keep_measured(self, rows: pd.DataFrame, versions: Mapping[int, int]) -> None:
        """Keep what was measured of objects when they had these versions of their masks."""
        add_measured(self.folder, rows, versions)

    @abstractmethod
    def mask(self, object_id: int) -> ObjectMask:
        """The object's own mask, also where another one covers it in the labels.

        Raises
        ------
        RunError
            If there is no such object, or its mask is damaged.
        """

    def write(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        shaping: Shaping = writers.EXACT,
        cleaning: writers.Cleaning = writers.UNCHANGED,
    ) -> Path:
        """Write the result; the suffix of `path` says how.

        Parameters
        ----------
        path : path
            Ends with one of `promptile.writers.SUFFIXES`.
        overwrite : bool
            Whether a file that exists there may be replaced.
        shaping : Shaping
            What is done to outlines; for vectors only.
        cleaning : Cleaning
            What is done to samples; for all but vectors.

        Raises
        ------
        OutputError
            If the format does not fit the image, the shaping or the place.
        """
        return writers.write(self, path, overwrite=overwrite, shaping=shaping, cleaning=cleaning)
