"""Objects as a DICOM Segmentation, by highdicom: binary, a segment per object, also where they overlap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom
import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from promptile.errors import OutputError
from promptile.grid import Window
from promptile.structures.quiet import quiet
from promptile.writers.codes import meaning_of
from promptile.writers.dicom_source import Series, place_of, series_of
from promptile.writers.naming import Segment, segments_of
from promptile.writers.protocol import Result
from promptile.writers.stacking import Stack

FAILURES: tuple[type[Exception], ...] = (OSError, ValueError, TypeError, AttributeError)

_LARGEST = 2**33
"""Bytes in memory: overlapping objects are handed over with a sample per object."""

_LONGEST_NAME = 64
_BY_ITSELF = ("everything", "text")
"""How objects are asked for that no one points at."""


def write(result: Result, path: Path) -> None:
    """Write the slices that hold something, with references to the series, names, and codes.

    The labels of these slices are held in memory; where objects overlap, once per object.
    """
    stack = Stack(result)
    segments = [segment for segment in segments_of(result) if segment.id in stack.windows]
    if not segments:
        raise OutputError(f"{path.name} needs at least one segment and there is no object: use .nii.gz")
    series = series_of(place_of(result), result.grid, path.name)
    headers = series.headers
    version = str(result.origin.get("promptile", ""))
    first, last = stack.window.start[0], stack.window.stop[0]
    slab = Window((first, 0, 0), (last - first, *result.grid.shape[1:]))
    with quiet():
        segmentation = Segmentation(
            source_images=headers if series.frames else headers[first:last],
            pixel_array=_in_order_of_file(_samples(stack, segments, slab, path.name), first, series),
            segmentation_type="BINARY",
            segment_descriptions=[_description(i, s, result) for i, s in enumerate(segments, 1)],
            series_instance_uid=highdicom.UID(),
            series_number=int(headers[0].get("SeriesNumber") or 0) + 1000,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="Promptile",
            manufacturer_model_name="Promptile",
            software_versions=version or "unknown",
            device_serial_number="none",
            content_label="SEGMENTATION",
            content_description="Objects segmented with Promptile",
            series_description="Segmentation (Promptile)",
        )
        _say_sides(segmentation, segments)
        segmentation.save_as(path)


def _in_order_of_file(samples: NDArray[Any], first: int, series: Series) -> NDArray[Any]:
    """Slices from the `first` one as highdicom wants them: of a file with frames all, in the file's order."""
    if not series.frames:
        return samples
    every = np.zeros((int(series.headers[0].NumberOfFrames), *samples.shape[1:]), samples.dtype)
    every[series.frames[first : first + len(samples)]] = samples
    return every


def _samples(stack: Stack, segments: list[Segment], slab: Window, name: str) -> NDArray[Any]:
    """``(z, y, x)``: numbers of segments; where they overlap, ``(z, y, x, segments)`` of 0 and 1."""
    if stack.depth == 1:
        numbers = np.zeros(max(s.id for s in segments) + 1, np.uint16)
        numbers[[s.id for s in segments]] = np.arange(1, len(segments) + 1)
        kind = np.uint8 if len(segments) < 256 else np.uint16
        return np.asarray(numbers[stack.read(slab)[0]], kind)
    if slab.size * len(segments) > _LARGEST:
        raise OutputError(
            f"{name} with {len(segments)} overlapping objects takes {slab.size * len(segments) / 1e9:.0f} GB of memory:"
            " use --on-overlap first, or .seg.nrrd"
        )
    apart = np.zeros((*slab.shape, len(segments)), np.uint8)
    for i, segment in enumerate(segments):
        shared = stack.windows[segment.id] & slab
        apart[..., i][shared.within(slab).slices] = stack.mask(segment.id).read(shared)
    return apart


def _description(number: int, segment: Segment, result: Result) -> SegmentDescription:
    objects = result.objects
    asked = objects.loc[objects["id"] == segment.id, "prompt"].iat[0] if "prompt" in objects else ""
    alone = str(asked).startswith(_BY_ITSELF)
    kinds = SegmentAlgorithmTypeValues
    model = result.origin.get("model")
    named = model.get("name", "") if isinstance(model, dict) else model
    meaning = meaning_of(segment.category)
    return SegmentDescription(
        segment_number=number,
        segment_label=segment.name[:_LONGEST_NAME],
        segmented_property_category=meaning.category,
        segmented_property_type=meaning.type,
        algorithm_type=kinds.AUTOMATIC if alone else kinds.SEMIAUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=f"Promptile, {named}" if named else "Promptile",
            family=codes.DCM.ArtificialIntelligence,
            version=str(result.origin.get("promptile", "")) or "unknown",
        ),
        tracking_uid=highdicom.UID(),
        tracking_id=f"object {segment.id}",
        display_color=highdicom.color.CIELabColor.from_rgb(*segment.colour),
    )


def _say_sides(segmentation: Segmentation, segments: list[Segment]) -> None:
    """Left and right go with the type of a segment as its modifier."""
    for item, segment in zip(segmentation.SegmentSequence, segments, strict=True):
        side = meaning_of(segment.category).side
        if side is None:
            continue
        modifier = Dataset()
        modifier.CodeValue, modifier.CodingSchemeDesignator, modifier.CodeMeaning = (
            side.value, side.scheme_designator, side.meaning,
        )  # fmt: skip
        item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
