"""Objects as a DICOM RT Structure Set: contours on the slices of the series.

Contours run along the edges of samples, so that the samples whose centres they hold are the object's own. Holes hang
on the exterior by a seam without width ("keyhole"), as the standard describes for CLOSED_PLANAR.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from promptile.errors import OutputError
from promptile.grid import Grid, Window
from promptile.masks import ObjectMask
from promptile.structures.quiet import quiet
from promptile.vectors.outlines import outline
from promptile.writers.dicom_source import Series, place_of, series_of
from promptile.writers.keyholes import joined
from promptile.writers.naming import Segment, segments_of
from promptile.writers.protocol import Result

FAILURES: tuple[type[Exception], ...] = (OSError, ValueError, TypeError)

_COPIED = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyInstanceUID", "StudyID",
    "StudyDate", "StudyTime", "ReferringPhysicianName", "FrameOfReferenceUID", "PositionReferenceIndicator",
)  # fmt: skip


def write(result: Result, path: Path) -> None:
    """Write one region of interest per object that has samples."""
    series = series_of(place_of(result), result.grid, path.name)
    masks = ((segment, result.mask(segment.id)) for segment in segments_of(result))
    drawn = [(segment, _contours(mask, result.grid, series)) for segment, mask in masks if mask.count]
    if not drawn:
        raise OutputError(f"{path.name} needs at least one region and there is no object: use .nii.gz")
    with quiet():
        _save(drawn, series, result, path)


def _save(drawn: list[tuple[Segment, list[Dataset]]], series: Series, result: Result, path: Path) -> None:
    file = _frame(series.headers, result, path)
    file.StructureSetROISequence = [_region(s, series.headers[0]) for s, _ in drawn]
    file.ROIContourSequence = [
        _item(ReferencedROINumber=segment.id, ROIDisplayColor=list(segment.colour), ContourSequence=contours)
        for segment, contours in drawn
    ]
    file.RTROIObservationsSequence = [
        _item(ObservationNumber=i, ReferencedROINumber=segment.id, RTROIInterpretedType="", ROIInterpreter="")
        for i, (segment, _) in enumerate(drawn, 1)
    ]
    file.save_as(path, enforce_file_format=True)


def _contours(mask: ObjectMask, grid: Grid, series: Series) -> list[Dataset]:
    found = []
    flat = Window(mask.window.start[1:], mask.window.shape[1:])
    for z in range(mask.window.start[0], mask.window.stop[0]):
        samples = mask.read(Window((z, *flat.start), (1, *flat.shape)))[0]
        for rings in outline(ObjectMask.of(grid.shape[1:], flat, samples)):
            ring = joined(rings)[:-1]  # closed without saying its first point again
            places = grid.to_world(np.column_stack([np.full(len(ring), z), ring]))
            found.append(_contour(places, z, series))
    return found


def _contour(places: NDArray[np.float64], z: int, series: Series) -> Dataset:
    header = series.of(z)
    image = _item(ReferencedSOPClassUID=header.SOPClassUID, ReferencedSOPInstanceUID=header.SOPInstanceUID)
    if series.frames:
        image.ReferencedFrameNumber = series.frames[z] + 1
    return _item(
        ContourImageSequence=[image],
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=len(places),
        ContourData=[f"{v:.6f}" for v in places.ravel()],
    )


def _region(segment: Segment, header: Dataset) -> Dataset:
    volume = segment.measures.get("volume_ml")
    return _item(
        **({} if volume is None else {"ROIVolume": f"{volume:.6g}"}),
        ROINumber=segment.id,
        ReferencedFrameOfReferenceUID=header.FrameOfReferenceUID,
        ROIName=segment.name[:64],
        ROIGenerationAlgorithm="SEMIAUTOMATIC",
    )


def _frame(headers: list[Dataset], result: Result, path: Path) -> FileDataset:
    """The file without its regions."""
    first, now = headers[0], datetime.now()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = RTStructureSetStorage, meta.MediaStorageSOPInstanceUID
    file.SpecificCharacterSet = "ISO_IR 192"
    for key in _COPIED:
        setattr(file, key, first.get(key))
    file.Modality, file.SeriesInstanceUID = "RTSTRUCT", generate_uid()
    file.SeriesNumber = int(first.get("SeriesNumber") or 0) + 1001
    file.SeriesDescription, file.StructureSetLabel = "Structures (Promptile)", "Promptile"
    file.Manufacturer, file.OperatorsName = "Promptile", ""
    file.SoftwareVersions = str(result.origin.get("promptile", ""))
    file.StructureSetDate, file.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    images = [_item(ReferencedSOPClassUID=h.SOPClassUID, ReferencedSOPInstanceUID=h.SOPInstanceUID) for h in headers]
    series = _item(SeriesInstanceUID=first.SeriesInstanceUID, ContourImageSequence=images)
    study = _item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",  # a study, as a detached one was called
        ReferencedSOPInstanceUID=first.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    frame = _item(FrameOfReferenceUID=first.FrameOfReferenceUID, RTReferencedStudySequence=[study])
    file.ReferencedFrameOfReferenceSequence = [frame]
    return file


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for key, value in values.items():
        setattr(item, key, value)
    return item
