"""Prompts from DICOM: each region of a structure set, each segment of a segmentation is an object."""

from __future__ import annotations

from pathlib import Path

from promptile.errors import PromptError, SourceError
from promptile.grid import Grid
from promptile.prompts.marks import Mark
from promptile.prompts.regions import Raster
from promptile.structures import read_structures


def read_marks(file: Path, grid: Grid) -> list[Mark]:
    """A mask per structure, or its points, with its name as category."""
    try:
        found = read_structures(file, grid)
    except SourceError as error:
        raise PromptError(str(error).removeprefix(f"{file.name}: ").removeprefix(f"{file.name} ")) from error
    marks = []
    for structure in found:
        where = f"structure {structure.number}"
        owner = structure.number if structure.number > 0 else None
        if structure.window.size:
            marks.append(Mark(where, Raster(structure.window, structure.samples), True, owner, structure.name))
        marks += [Mark(where, point, True, owner, structure.name) for point in structure.points]
    return marks
