"""Regions of a DICOM RT Structure Set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.transform import Affine

from promptile.errors import SourceError
from promptile.grid import Grid
from promptile.structures.types import Structure

_OFF = 0.25
"""How far a contour may lie from the slice that it is on, in slices: planning systems round."""

_AREAS = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def read(file: Any, grid: Grid, name: str) -> list[Structure]:
    """One structure per region; contours of one slice are combined by exclusive or, so that an inner one is a hole."""
    names = {int(roi.ROINumber): str(roi.get("ROIName") or "") for roi in file.get("StructureSetROISequence") or []}
    found = []
    for item in file.get("ROIContourSequence") or []:
        number = int(item.ReferencedROINumber)
        found.append(_region(number, names.get(number, ""), item.get("ContourSequence") or [], grid, name))
    return found


def _region(number: int, called: str, contours: Any, grid: Grid, name: str) -> Structure:
    planes: dict[tuple[int, int], NDArray[np.bool_]] = {}
    points = [np.zeros((0, 3))]
    for contour in contours:
        index = grid.to_index(np.asarray(contour.ContourData, float).reshape(-1, 3))
        kind = str(contour.get("ContourGeometricType", _AREAS[0]))
        if kind == "POINT":
            points.append(index)
        elif kind in _AREAS and len(index) > 2:
            axis, place = _plane(index, f"{name}: a contour of {called or number}")
            flat = (*grid.shape[:axis], *grid.shape[axis + 1 :])
            plane = planes.setdefault((axis, place), np.zeros(flat, bool)) if 0 <= place < grid.shape[axis] else None
            if plane is None:
                raise SourceError(
                    f"{name}: {called or number} reaches outside the image: give the series it belongs to"
                )
            plane ^= _inside(np.delete(index, axis, axis=1), flat)
    places = []
    for (axis, place), plane in planes.items():
        places.append(np.insert(np.argwhere(plane), axis, place, axis=1))
    return replace(Structure.of(number, called, places), points=np.concatenate(points))


def _plane(index: NDArray[np.float64], what: str) -> tuple[int, int]:
    """The axis across a contour, and the number of its slice."""
    axis = int(np.ptp(index, axis=0).argmin())
    place = float(np.median(index[:, axis]))
    if np.abs(index[:, axis] - round(place)).max() > _OFF:
        raise SourceError(
            f"{what} lies between the slices of the image, at {place:.2f}: give the series it was drawn on"
        )
    return axis, round(place)


def _inside(ring: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """``shape``: the samples whose centres lie inside a contour, given as ``(row, column)``."""
    ring = np.round(ring + 0.5, 6)[:, ::-1]  # rasterio puts whole numbers on corners; rounded, as files round
    polygon = {"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()]]}
    drawn: NDArray[np.bool_] = rasterize([polygon], shape, transform=Affine.identity(), dtype="uint8").astype(bool)
    return drawn
