"""Multi-frame DICOM: where each frame lies and how it is rescaled, from its functional groups.

ITK takes the frames of a file for slices in order, all rescaled like the first. Scanners promise neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from promptile.errors import SourceError
from promptile.sources.bad import one_line
from promptile.sources.dicom_stack import Slice
from promptile.sources.itk import reading, samples_of
from promptile.sources.whole import SLAB
from promptile.structures.quiet import quiet

_ENHANCED = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.130")
"""CT, MR and PET."""


def frames_of(whole: Slice, storage: str) -> list[Slice]:
    """The frames of a file as slices; the file itself where they do not say where they lie.

    Parameters
    ----------
    whole : Slice
        The file as ITK sees it.
    storage : str
        Its SOP class.
    """
    if find_spec("pydicom") is None:
        if storage in _ENHANCED:
            raise SourceError(
                f"{whole.path.name} has {whole.size[2]} frames, each with its own place: reading them needs pydicom,"
                " pip install 'promptile[dicom]'"
            )
        return [whole]
    import pydicom

    with quiet():
        header = pydicom.dcmread(whole.path, stop_before_pixels=True, force=True)
    each = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = (header.get("SharedFunctionalGroupsSequence") or [{}])[0]
    if len(each) != whole.size[2] or any(_group("PlanePosition", frame, shared) is None for frame in each):
        return [whole]
    try:
        return [_frame(whole, i, frame, shared) for i, frame in enumerate(each)]
    except (AttributeError, TypeError, ValueError) as error:
        raise SourceError(
            f"{whole.path.name} says incompletely where its frames lie ({one_line(error)}): convert it with `dcm2niix`"
        ) from error


def _group(name: str, frame: Any, shared: Any) -> Any:
    """A functional group, of the frame itself or of all; None if there is none."""
    for groups in (frame, shared):
        found = groups.get(f"{name}Sequence")
        if found:
            return found[0]
    return None


def _frame(whole: Slice, number: int, frame: Any, shared: Any) -> Slice:
    measures = _group("PixelMeasures", frame, shared)
    plane = _group("PlaneOrientation", frame, shared)
    along_x, along_y = np.reshape(np.asarray(plane.ImageOrientationPatient, float), (2, 3))
    down, right = map(float, measures.PixelSpacing)
    thick = float(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 1)
    steps = np.stack([along_x * right, along_y * down, np.cross(along_x, along_y) * thick], axis=1)
    rescale = _group("PixelValueTransformation", frame, shared)
    return Slice(
        path=whole.path,
        uid="",
        series=whole.series,
        described=whole.described,
        modality=whole.modality,
        number=number,
        size=(*whole.size[:2], 1),
        steps=steps,
        origin=np.asarray(_group("PlanePosition", frame, shared).ImagePositionPatient, float),
        placed=True,
        channels=whole.channels,
        dtype=whole.dtype,
        frame=number,
        rescale=(1.0, 0.0) if rescale is None else (float(rescale.RescaleSlope), float(rescale.RescaleIntercept)),
    )


def sample_type_of(frames: Sequence[Slice]) -> np.dtype[Any]:
    """What holds all frames after rescaling."""
    if len({frame.rescale for frame in frames}) == 1:
        return frames[0].dtype
    whole = all(value == int(value) for frame in frames for value in frame.rescale or ())
    return np.dtype(np.int32 if whole else np.float32)


def decoded(frames: Sequence[Slice], everyone: Sequence[Slice]) -> Iterator[NDArray[Any]]:
    """The samples ``(c, n, y, x)`` of frames of one file, in their order, a few at a time.

    Parameters
    ----------
    frames : sequence of Slice
        Which ones.
    everyone : sequence of Slice
        All frames of the file.
    """
    alike = len({frame.rescale for frame in everyone}) == 1
    samples = _by_itk(frames[0].path) if alike else _stored(frames[0].path, frames[0].size[1::-1])
    for a in range(0, len(frames), SLAB):
        some = frames[a : a + SLAB]
        part = samples[:, [frame.frame or 0 for frame in some]]
        if not alike:
            slopes, intercepts = np.array([frame.rescale for frame in some], float).T[:, :, None, None]
            part = part * slopes + intercepts
        yield part


def _by_itk(path: Path) -> NDArray[Any]:
    """Rescaled as the first frame says."""
    with reading(path):
        return samples_of(SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO"))


def _stored(path: Path, shape: Sequence[int]) -> NDArray[Any]:
    """The stored values ``(1, n, y, x)``."""
    from pydicom.pixels.utils import pixel_array

    try:
        return np.asarray(pixel_array(path)).reshape(1, -1, *shape)
    except (RuntimeError, ValueError, AttributeError, NotImplementedError) as error:
        raise SourceError(f"{path.name} cannot be decoded: {one_line(error)}. Convert it with `dcm2niix`") from error
