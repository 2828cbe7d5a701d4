"""Whether labels lie where their image lies: every readable volume under a folder, every format, read by others.

For each volume a result with two marked samples is written as ``.nii.gz``, ``.nrrd``, ``.mha``, ``.seg.nrrd`` and,
where the volume is a DICOM series, ``.seg.dcm``. Origin, spacing and direction must equal the input's as SimpleITK
reads them, to 1e-6 (NIfTI keeps single precision: to the last digit of that), and the marked corners must lie at the
same LPS place when read by SimpleITK, by nibabel, and by highdicom.

    python benchmarks/geometry.py ../shared/data
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import SimpleITK as sitk

import promptile as pt
from promptile import writers
from promptile.grid import LPS, Grid, Window
from promptile.masks import ObjectMask
from promptile.sources.dicom import files_of

EXACT = 1e-6
SUFFIXES = (".nii.gz", ".nrrd", ".mha", ".seg.nrrd", ".seg.dcm")


@dataclass
class Marked:
    """A result with one object: the sample after the first corner, and the last one."""

    grid: Grid
    image: dict[str, Any]
    layers: int = 0
    origin: dict[str, Any] = field(default_factory=lambda: {"model": {"name": "none"}, "promptile": "0"})

    @property
    def places(self) -> np.ndarray:
        """``(2, ndim)``: indices that no flip or exchange of axes maps onto themselves."""
        first = [0] * self.grid.ndim
        first[-1] = min(1, self.grid.shape[-1] - 1)
        return np.unique([first, [n - 1 for n in self.grid.shape]], axis=0)

    @property
    def objects(self) -> pd.DataFrame:
        box = [*self.places.min(0), *self.places.max(0) + 1]
        return pd.DataFrame({"id": [1], "category": ["liver"], "score": [1.0], "bbox": [box]})

    def mask(self, object_id: int) -> ObjectMask:
        whole = ObjectMask.collect(self.grid.shape, ())
        for place in self.places:
            window = Window(tuple(place.tolist()), (1,) * self.grid.ndim)
            whole = whole | ObjectMask.of(self.grid.shape, window, np.ones(window.shape, bool))
        return whole

    def read_labels(self, window: Window, layer: int = 0) -> np.ndarray:
        return self.mask(1).read(window).astype(np.uint32)


def volumes(folder: Path) -> Iterator[Path]:
    """Files and folders that may hold a medical volume."""
    series = sorted({p.parent for p in folder.rglob("*") if p.is_file() and _has_dicom(p)})
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.parent not in series]
    yield from (
        p for p in files if p.suffix.lower() not in (".tif", ".jpg", ".png", ".json", ".geojson", ".txt", ".md")
    )
    for place in series:  # of a mixture, each file with its own series
        yield from [place] if _opened(place) is not None else sorted(p for p in place.iterdir() if p.is_file())


def _has_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def check(path: Path, folder: Path) -> dict[str, str]:
    """What was found per format: ``exact``, or what is wrong; empty if the volume cannot be opened.

    Parameters
    ----------
    path : Path
        A volume.
    folder : Path
        Where label files may be written; they are removed again.
    """
    source = _opened(path)
    if source is None or source.grid.space != LPS:
        return {}
    dicom = files_of(**source.place)
    files = [str(file) for file, _ in dicom] or [str(path)]
    given = _by_itk(files[:1] if len(set(files)) == 1 else files)
    result = Marked(source.grid, source.place)
    expected = np.array([given.TransformIndexToPhysicalPoint(p[::-1].tolist()) for p in result.places])
    found = {}
    for suffix in SUFFIXES:
        if (suffix.startswith(".seg") and source.grid.ndim == 2) or (suffix == ".seg.dcm" and not dicom):
            continue
        try:
            written = writers.write(result, folder / f"labels{suffix}", overwrite=True)
        except pt.PromptileError as error:
            found[suffix] = f"refused: {error}"
            continue
        found[suffix] = (
            _in_segmentation(written, expected) if suffix == ".seg.dcm" else _compare(written, given, expected)
        )
        written.unlink()
    return found


def _opened(path: Path) -> Any:
    for options in ({}, {"time": 0}):
        try:
            return pt.open(path, **options)
        except pt.PromptileError:
            continue
    return None


def _by_itk(files: list[str]) -> sitk.Image:
    """The input's geometry as SimpleITK reads it: of four dimensions the first three."""
    if len(files) > 1:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(files)
        return reader.Execute()
    reader = sitk.ImageFileReader()
    reader.SetFileName(files[0])
    reader.ReadImageInformation()
    n, whole = min(reader.GetDimension(), 3), reader.GetDimension()
    image = sitk.Image([1] * n, sitk.sitkUInt8)
    image.SetOrigin(reader.GetOrigin()[:n])
    image.SetSpacing(reader.GetSpacing()[:n])
    image.SetDirection(np.reshape(reader.GetDirection(), (whole, whole))[:n, :n].ravel().tolist())
    return image


def _compare(written: Path, given: sitk.Image, expected: np.ndarray) -> str:
    labels = sitk.ReadImage(str(written))
    single = ".nii" in written.suffixes
    for what in ("Origin", "Spacing", "Direction"):
        a, b = (np.array(getattr(image, f"Get{what}")()) for image in (labels, given))
        allowed = EXACT + (np.spacing(np.abs(b).astype(np.float32)) if single else 0)
        if a.shape != b.shape or (np.abs(a - b) > allowed).any():
            return f"{what.lower()} {a.tolist()} instead of {b.tolist()}"
    array = sitk.GetArrayViewFromImage(labels)
    places = [labels.TransformIndexToPhysicalPoint(i[::-1].tolist()) for i in np.argwhere(array)]
    if wrong := _apart("SimpleITK", np.array(places), expected, 1e-4 if single else EXACT):
        return wrong
    if single and labels.GetDimension() == 3:
        image = nibabel.load(written)
        index = np.argwhere(np.asarray(image.dataobj))
        lps = nibabel.affines.apply_affine(image.affine, index) * [-1, -1, 1]
        return _apart("nibabel", lps, expected, 1e-3) or "exact"
    return "exact"


def _in_segmentation(written: Path, expected: np.ndarray) -> str:
    import highdicom

    volume = highdicom.seg.segread(written).get_volume(combine_segments=True)
    places = volume.map_indices_to_reference(np.argwhere(volume.array))
    return _apart("highdicom", places, expected, 1e-3) or "exact"


def _apart(reader: str, places: np.ndarray, expected: np.ndarray, allowed: float) -> str:
    """Empty if the places are the expected ones, in any order."""
    if places.shape != expected.shape:
        return f"{reader} finds {len(places)} samples instead of {len(expected)}"
    apart = np.linalg.norm(places[:, None] - expected[None], axis=-1).min(axis=1).max()
    return f"{reader} finds the corners {apart:.3g} mm away" if apart > allowed else ""


def main() -> int:
    """Print a line per volume; the number of formats that are not exact."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    begin, good, bad = time.perf_counter(), 0, []
    with tempfile.TemporaryDirectory() as folder:
        for path in volumes(options.folder):
            found = check(path, Path(folder))
            good += sum(said == "exact" for said in found.values())
            bad += [f"{path.relative_to(options.folder)} {s}: {said}" for s, said in found.items() if said != "exact"]
            if found:
                print(f"{path.relative_to(options.folder)}: {sum(s == 'exact' for s in found.values())}/{len(found)}")
    print(f"{good} files exact, {len(bad)} not, {time.perf_counter() - begin:.0f} s")
    print("\n".join(bad), file=sys.stderr)
    return len(bad)


if __name__ == "__main__":
    sys.exit(main())
