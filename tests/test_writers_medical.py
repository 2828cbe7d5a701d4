"""Segmentations for medical programs, read back by others: highdicom, pydicom, SimpleITK, nibabel."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import rasterio.features
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

import promptile as pt
from kinds import right_handed, write_series
from perfect import Perfect
from promptile import writers
from promptile.cli import main
from promptile.errors import OutputError, UsageError
from promptile.grid import Window
from promptile.masks import ObjectMask
from promptile.sources import open_source
from promptile.writers.cleaning import Cleaning
from promptile.writers.keyholes import joined
from promptile.writers.pieces import without_holes, without_islands

highdicom = pytest.importorskip("highdicom")
pydicom = pytest.importorskip("pydicom")

SHAPE = (14, 90, 80)


@dataclass
class Masks:
    """Objects in memory, each with samples of the whole image."""

    grid: Any
    samples: dict[int, np.ndarray]
    categories: dict[int, str] = field(default_factory=dict)
    image: dict[str, Any] = field(default_factory=dict)
    layers: int = 0
    origin: dict[str, Any] = field(
        default_factory=lambda: {"model": {"name": "basin"}, "promptile": "0.1", "image": {"name": "a"}}
    )

    @property
    def objects(self) -> pd.DataFrame:
        ids = list(self.samples)
        rows = [[i, self.categories.get(i, ""), 1 / i, [*w.start, *w.stop]] for i in ids for w in [self.mask(i).window]]
        return pd.DataFrame(rows, columns=["id", "category", "score", "bbox"])

    def mask(self, object_id: int) -> ObjectMask:
        samples = self.samples[object_id]
        return ObjectMask.of(samples.shape, Window.of(samples.shape), samples)

    def read_labels(self, window: Window, layer: int = 0) -> np.ndarray:
        found = np.zeros(window.shape, np.uint32)
        for i in sorted(self.samples, reverse=True):  # their scores fall with their ids
            found[self.samples[i][window.slices]] = i
        return found


def objects(overlapping=True):
    z, y, x = np.indices(SHAPE)
    liver = (y - 40) ** 2 + (x - 30) ** 2 < 20**2
    liver[:2] = liver[12:] = False
    liver[5, 35:45, 20:33] = False  # a hole in one slice
    tumour = ((y - 40) ** 2 + (x - 38) ** 2 < 8**2) & (abs(z - 7) < 3)
    corner = np.zeros(SHAPE, bool)
    corner[-1, -1, -1] = True
    return {1: liver, 4: tumour if overlapping else tumour & ~liver, 300: corner}


@pytest.fixture
def series(tmp_path):
    said = {"0020|000d": "1.2.9", "0020|0052": "1.2.8", "0010|0020": "somebody"}
    write_series(tmp_path / "ct", right_handed(SHAPE), tags=lambda i, _: said)
    return tmp_path / "ct"


def result_of(series, overlapping=True):
    source = open_source(series)
    return Masks(source.grid, objects(overlapping), {1: "liver", 4: "tumour", 300: "kidney_left"}, source.place)


@pytest.mark.parametrize("overlapping", [True, False])
def test_dicom_segmentation(tmp_path, series, overlapping):
    result = result_of(series, overlapping)
    path = writers.write(result, tmp_path / "a.seg.dcm")
    found = highdicom.seg.segread(path)
    assert [s.SegmentLabel for s in found.SegmentSequence] == ["liver", "tumour", "kidney_left"]
    types = [s.SegmentedPropertyTypeCodeSequence[0] for s in found.SegmentSequence]
    assert [t.CodeMeaning for t in types] == ["Liver", "Neoplasm", "Kidney"]
    assert types[2].SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert found.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    headers = {pydicom.dcmread(f).SOPInstanceUID for f in series.iterdir()}
    referred = {i.ReferencedSOPInstanceUID for i in found.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referred <= headers
    assert found.FrameOfReferenceUID == pydicom.dcmread(next(series.iterdir())).FrameOfReferenceUID
    volume = found.get_volume(combine_segments=False)
    for k, (number, samples) in enumerate(result.samples.items()):
        index = np.argwhere(volume.array[..., k])
        assert len(index) == samples.sum()
        places = volume.map_indices_to_reference(index)
        back = result.grid.to_index(places)
        np.testing.assert_allclose(back, np.round(back), atol=1e-4)
        np.testing.assert_array_equal(sorted(map(tuple, np.round(back).astype(int))), np.argwhere(samples), str(number))


def rasterised(path, grid):
    """Samples of each region whose centres lie inside its contours (even-odd), by rasterio."""
    file = pydicom.dcmread(path)
    names = {roi.ROINumber: roi.ROIName for roi in file.StructureSetROISequence}
    found = {}
    for item in file.ROIContourSequence:
        samples = np.zeros(grid.shape, bool)
        for contour in item.ContourSequence:
            index = grid.to_index(np.reshape(contour.ContourData, (-1, 3)).astype(float))
            z = round(index[0, 0])
            np.testing.assert_allclose(index[:, 0], z, atol=1e-4)
            ring = np.round(index[:, :0:-1] + 0.5, 3)
            shape = {"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()]]}
            samples[z] ^= rasterio.features.rasterize([shape], grid.shape[1:]).astype(bool)
        found[names[item.ReferencedROINumber]] = samples
    return found


def test_structure_set(tmp_path, series):
    result = result_of(series)
    path = writers.write(result, tmp_path / "a.rt.dcm")
    found = rasterised(path, result.grid)
    for name, samples in zip(("liver", "tumour", "kidney_left"), result.samples.values(), strict=True):
        np.testing.assert_array_equal(found[name], samples)
    file = pydicom.dcmread(path)
    contour = file.ROIContourSequence[0].ContourSequence[0]
    by_uid = {d.SOPInstanceUID: d for d in map(pydicom.dcmread, series.iterdir())}
    header = by_uid[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
    normal = np.cross(header.ImageOrientationPatient[:3], header.ImageOrientationPatient[3:])
    first = np.array(contour.ContourData[:3], float) - np.array(header.ImagePositionPatient, float)
    assert abs(first @ normal) < 1e-3
    assert [
        c for r in file.ROIContourSequence for c in r.ContourSequence if c.ContourGeometricType != "CLOSED_PLANAR"
    ] == []


@settings(deadline=None, max_examples=30)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_keyholes_give_every_sample_back(samples):
    from promptile.vectors.outlines import outline

    found = np.zeros(samples.shape, bool)
    for rings in outline(ObjectMask.of(samples.shape, Window.of(samples.shape), samples)):
        ring = joined(rings)
        inside = np.zeros(samples.shape, int)
        for (r0, c0), (r1, _) in itertools.pairwise(ring):  # crossings of the half line to the left
            rows = np.arange(samples.shape[0])[:, None]
            crossed = (min(r0, r1) < rows) & (rows < max(r0, r1))
            inside += crossed & (c0 < np.arange(samples.shape[1]))
        found ^= inside % 2 == 1
    np.testing.assert_array_equal(found, samples)


@pytest.mark.parametrize("overlapping", [True, False])
def test_segmentation_of_slicer(tmp_path, series, overlapping):
    result = result_of(series, overlapping)
    path = writers.write(result, tmp_path / "a.seg.nrrd")
    image = sitk.ReadImage(path)
    size = image.GetSize()
    fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    array = sitk.GetArrayFromImage(image)
    array = array if array.ndim == 4 else array[..., None]
    assert array.shape == (*SHAPE, 1 + overlapping)
    for i, (number, samples) in enumerate(result.samples.items()):
        assert fields[f"Segment{i}_Name"] == ("liver", "tumour", "kidney_left")[i]
        layer = array[..., int(fields[f"Segment{i}_Layer"])]
        np.testing.assert_array_equal(layer == int(fields[f"Segment{i}_LabelValue"]), samples)
        assert int(fields[f"Segment{i}_LabelValue"]) == number
        low, high = np.argwhere(samples).min(0), np.argwhere(samples).max(0)
        assert fields[f"Segment{i}_Extent"] == " ".join(f"{a} {b}" for a, b in zip(low[::-1], high[::-1], strict=True))
    if size[:3] == SHAPE[::-1]:
        np.testing.assert_allclose(image.GetOrigin()[:3], result.grid.to_world((0, 0, 0)), atol=1e-9)
        np.testing.assert_allclose(image.GetSpacing()[:3], result.grid.spacing[::-1], rtol=1e-9)


def test_names_beside_nifti(tmp_path, series):
    path = writers.write(result_of(series), tmp_path / "labels.nii.gz")
    known = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))
    assert {k: v["name"] for k, v in known["labels"].items()} == {"1": "liver", "4": "tumour", "300": "kidney_left"}
    assert set(np.unique(np.asarray(nibabel.load(path).dataobj))) == {0, 1, 4, 300}
    path.unlink()
    with pytest.raises(OutputError, match=r"labels\.json exists: add --overwrite"):
        writers.write(result_of(series), path)
    writers.write(result_of(series), path, overwrite=True)


@pytest.mark.parametrize("suffix", [".seg.dcm", ".rt.dcm"])
def test_what_is_not_dicom_says_what_to_use(tmp_path, capsys, suffix):
    sitk.WriteImage(right_handed((8, 20, 20)), tmp_path / "a.nii.gz")
    (tmp_path / "p.csv").write_text("x,y,z\n0,0,0\n", encoding="utf-8")
    line = ["segment", str(tmp_path / "a.nii.gz"), "--points", str(tmp_path / "p.csv")]
    assert main([*line, "--out", str(tmp_path / f"a{suffix}")]) == 1
    assert "a.nii.gz is none: use .seg.nrrd or .nii.gz" in capsys.readouterr().err
    assert {p.name for p in tmp_path.iterdir()} == {"a.nii.gz", "p.csv"}


@pytest.mark.parametrize("suffix", [".seg.dcm", ".rt.dcm"])
def test_the_patient_is_not_in_the_log(tmp_path, caplog, capfd, suffix):
    """Values that pydicom and highdicom would complain about, and quote."""
    said = {
        "0020|000d": "1.2.9",
        "0020|0052": "1.2.8",
        "0010|0010": "secretname",
        "0008|0050": "secret-number-too-long",
    }
    write_series(tmp_path / "ct", right_handed(SHAPE), tags=lambda i, _: said)
    caplog.clear()
    path = writers.write(result_of(tmp_path / "ct"), tmp_path / f"a{suffix}")
    assert "secret" not in caplog.text + "".join(capfd.readouterr())
    assert pydicom.dcmread(path).PatientName == "secretname"


def test_a_series_that_says_too_little(tmp_path, series, caplog):
    result = result_of(series)

    def forget(key):
        for file in series.iterdir():
            header = pydicom.dcmread(file)
            delattr(header, key)
            header.save_as(file)

    forget("FrameOfReferenceUID")
    frames = [
        pydicom.dcmread(writers.write(result, tmp_path / n)).FrameOfReferenceUID for n in ("a.seg.dcm", "b.seg.dcm")
    ]
    assert frames[0] == frames[1]
    assert "names no frame of reference" in caplog.text
    forget("StudyInstanceUID")
    with pytest.raises(OutputError, match="has no StudyInstanceUID: use"):
        writers.write(result, tmp_path / "c.seg.dcm")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.seg.dcm", "b.seg.dcm", "ct"]


SMALL = hnp.arrays(bool, st.tuples(st.integers(60, 70), st.integers(2, 4), st.integers(62, 67)), fill=st.booleans())


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**16), st.floats(0.2, 0.8), st.integers(1, 40))
def test_pieces_over_blocks_equal_those_of_scipy(seed, share, limit):
    random = np.random.default_rng(seed)
    samples = np.pad(random.random((20, 68, 12)) < share, ((50, 3), (2, 3), (58, 2)))
    mask = ObjectMask.of(samples.shape, Window.of(samples.shape), samples)
    labels, count = ndimage.label(samples)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    expected = (sizes >= limit)[labels] & samples
    np.testing.assert_array_equal(without_islands(mask, limit).read(Window.of(samples.shape)), expected)
    labels, count = ndimage.label(~samples)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    holes = (sizes <= limit)[labels] & ~samples & (labels != labels[0, 0, 0])
    np.testing.assert_array_equal(without_holes(mask, limit).read(Window.of(samples.shape)), samples | holes)


def test_overlaps_are_decided(tmp_path, series):
    result = result_of(series)
    both = result.samples[1] & result.samples[4]
    for rule, shown in {"score": 1, "first": 1, "last": 4}.items():
        path = writers.write(result, tmp_path / f"{rule}.nrrd", cleaning=Cleaning(rule))
        assert set(np.unique(sitk.GetArrayFromImage(sitk.ReadImage(path))[both])) == {shown}
    with pytest.raises(UsageError, match="--fill-holes is -1"):
        Cleaning(fill_holes=-1)


def test_the_command_cleans(tmp_path):
    """Holes and islands are mended when labels are written; the run stays as it is."""
    samples = np.zeros(SHAPE, np.int16)
    samples[3:11, 20:70, 20:70] = 9
    samples[5:8, 40:44, 40:44] = 0
    samples[12, 3:5, 3] = 9
    image = sitk.GetImageFromArray(samples)
    image.SetSpacing((0.5, 0.5, 2))
    sitk.WriteImage(image, tmp_path / "a.nii.gz")
    prompts = pt.Prompts.of(points=[[5, 24, 24], [12, 3, 3]], objects=[1, 1])
    run = pt.segment(tmp_path / "a.nii.gz", prompts, model=Perfect(3), out=tmp_path / "r.run.zarr")
    out, counts = tmp_path / "l.nrrd", []
    for option in ([], ["--fill-holes", "23.9"], ["--fill-holes", "24"], ["--remove-islands", "1.1"]):
        assert main(["export", str(run.path), "--out", str(out), "--overwrite", *option]) == 0
        counts.append(int((sitk.GetArrayFromImage(sitk.ReadImage(out)) > 0).sum()))
    whole = np.count_nonzero(samples)
    assert counts == [whole, whole, whole + 48, whole - 2]
    for option in (["--smooth"], ["--remove-islands", "-1"]):
        assert main(["export", str(run.path), "--out", str(out), "--overwrite", *option]) == 2
