"""The DICOM series that a result was made from: what its segmentations must refer to."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import generate_uid

from promptile.errors import OutputError, PromptileError
from promptile.grid import Grid
from promptile.sources import open_source
from promptile.sources.dicom import files_of
from promptile.structures.quiet import quiet
from promptile.writers.protocol import Result

logger = logging.getLogger("promptile")

_INSTEAD = "use .seg.nrrd or .nii.gz"

_NEEDED = ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID")
_PLACES = ("ImagePositionPatient", "PerFrameFunctionalGroupsSequence")
_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName", "PositionReferenceIndicator",
)  # fmt: skip


def place_of(result: Result) -> Mapping[str, Any]:
    """Where the image is that a result was made from; empty if nobody knows."""
    place: Mapping[str, Any] = getattr(result, "image", {})
    return place


@dataclass(frozen=True, eq=False)
class Series:
    """Headers of a series, without samples.

    Parameters
    ----------
    headers : list of Dataset
        One per slice in the order of the grid, or one of a file with all frames.
    frames : list of int
        Per slice its frame in that file, from 0; empty if each slice is a file.
    """

    headers: list[Dataset]
    frames: list[int]

    def of(self, z: int) -> Dataset:
        """The header of the file in which a slice is."""
        return self.headers[0] if self.frames else self.headers[z]


def series_of(place: Mapping[str, Any], grid: Grid, name: str) -> Series:
    """What a file refers to that is made from a series.

    Parameters
    ----------
    place : mapping
        What `promptile.open` takes to open the image.
    grid : Grid
        Of the result; it must be the image's own.
    name : str
        Of the file to be written, for messages.

    Raises
    ------
    OutputError
        If the image is no DICOM series, is not there, was resampled, or says too little to be referred to.
    """
    if not place:
        raise OutputError(f"{name} refers to the DICOM series it was made from, which is not known: {_INSTEAD}")
    if not Path(place["image"]).exists():
        raise OutputError(f"{name} refers to the DICOM series at {place['image']}, which is not there: put it back, or"
                          f" {_INSTEAD}")  # fmt: skip
    try:
        files = files_of(**place)
        same = not place.get("resample") and open_source(**place).grid == grid
    except PromptileError as error:
        raise OutputError(f"{name} refers to a DICOM series, and {error}: {_INSTEAD}") from error
    if not files:
        raise OutputError(f"{name} refers to DICOM images and {Path(place['image']).name} is none: {_INSTEAD}")
    if not same:
        raise OutputError(f"{name} lies on the slices of its series, and the image was resampled: {_INSTEAD}")
    frames = [frame for _, frame in files if frame is not None]
    if len(files) != grid.shape[0]:
        raise OutputError(f"{name} refers to frames that do not say where they lie: {_INSTEAD}")
    headers = [_header(file, name) for file, _ in (files[:1] if frames else files)]
    if any(not header.get("FrameOfReferenceUID") for header in headers):
        made = generate_uid(entropy_srcs=[str(headers[0].SeriesInstanceUID), "frame of reference"])
        logger.warning("The series names no frame of reference: %s names one of its own", name)
        for header in headers:
            header.FrameOfReferenceUID = made
    for header in headers:
        if not header.get("SliceThickness"):
            header.SliceThickness = f"{grid.spacing[0]:.6g}"  # highdicom wants one
    return Series(headers, frames)


def _header(file: Path, name: str) -> Dataset:
    try:
        with quiet():
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
    except (InvalidDicomError, OSError) as error:
        raise OutputError(f"{name} refers to {file.name}, which cannot be read: {error}. {_INSTEAD}") from error
    for key, standing in (("SOPInstanceUID", "MediaStorageSOPInstanceUID"), ("SOPClassUID", "MediaStorageSOPClassUID")):
        if not header.get(key) and standing in header.file_meta:  # what anonymisers forget
            setattr(header, key, header.file_meta.get(standing))
    missing = [key for key in _NEEDED if not header.get(key)]
    missing += [] if any(header.get(key) for key in _PLACES) else [_PLACES[0]]
    if missing:
        raise OutputError(f"{name} refers to the series it was made from, which has no {missing[0]}: {_INSTEAD}")
    for key in _MAY_BE_EMPTY:
        if key not in header:
            setattr(header, key, None)
    return header
