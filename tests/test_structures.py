"""Structure sets and segmentations as prompts: ours come back exactly, others lie where they say."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

import promptile as pt
from kinds import right_handed, write_series
from perfect import Perfect
from promptile import writers
from promptile.errors import PromptError
from promptile.structures import read_structures
from test_writers_medical import SHAPE, result_of

highdicom = pytest.importorskip("highdicom")
pydicom = pytest.importorskip("pydicom")

SAID = {"0020|000d": "1.2.9", "0020|0052": "1.2.8", "0010|0020": "somebody"}


@pytest.fixture
def series(tmp_path):
    write_series(tmp_path / "ct", right_handed(SHAPE), tags=lambda i, _: SAID)
    return tmp_path / "ct"


def whole(region, shape):
    from promptile.grid import Window

    return region.within(Window.of(shape), (1, 1, 1))


@pytest.mark.parametrize("suffix", [".seg.dcm", ".rt.dcm"])
@pytest.mark.parametrize("overlapping", [True, False])
def test_ours_come_back_exactly(tmp_path, series, suffix, overlapping):
    result = result_of(series, overlapping)
    path = writers.write(result, tmp_path / f"a{suffix}")
    prompts = pt.Prompts.read(path, result.grid)
    assert {p.id: p.category for p in prompts} == {1: "liver", 4: "tumour", 300: "kidney_left"}
    for prompt in prompts:
        np.testing.assert_array_equal(whole(prompt.region, SHAPE), result.samples[prompt.id])
    boxes = pt.Prompts.read(path, result.grid, kind="boxes")
    for prompt in boxes:
        low, high = np.argwhere(result.samples[prompt.id]).min(0), np.argwhere(result.samples[prompt.id]).max(0)
        np.testing.assert_array_equal(prompt.box, [low - 0.5, high + 0.5])


def test_from_a_structure_set_to_an_object(tmp_path):
    """A rough region finds the object of the image beneath it, under the region's name."""
    truth = np.zeros((10, 60, 50), np.int16)
    truth[2:8, 10:40, 12:44] = 7
    image = right_handed(truth.shape)
    body = sitk.GetImageFromArray(truth)
    body.CopyInformation(image)
    write_series(tmp_path / "ct", body, tags=lambda i, _: SAID)
    source = pt.open(tmp_path / "ct")
    drawn = pt.Prompts.of(boxes=[[[2.5, 11.5, 14.5], [6.5, 35.5, 40.5]]])
    run = pt.segment(source, drawn, model=Perfect(3), out=tmp_path / "a.run.zarr")
    path = run.write(tmp_path / "drawn.rt.dcm")
    again = pt.segment(source, pt.Prompts.read(path, source.grid, kind="boxes"), model=Perfect(3))
    assert again.objects["category"].tolist() == ["object 1"]
    np.testing.assert_array_equal(again.labels[...] > 0, truth > 0)


def test_flipped_and_turned_frames(tmp_path):
    """A sagittal segmentation with its columns running up, made by highdicom on the same frame of reference."""
    write_series(tmp_path / "ct", right_handed((6, 9, 8)), tags=lambda i, _: SAID)
    grid = pt.open(tmp_path / "ct").grid
    samples = np.random.default_rng(0).random((6, 9, 8)) < 0.3
    turned = samples.transpose(2, 1, 0)[:, :, ::-1]  # (x, y, z reversed)
    axes = grid.matrix[:3, :3]
    unit = axes / np.linalg.norm(axes, axis=0)
    corner = [grid.to_world((5, 0, x)) for x in range(8)]
    headers = [pydicom.dcmread(f) for f in sorted((tmp_path / "ct").iterdir(), reverse=True)]
    for header in headers:
        header.SliceThickness, header.PatientName, header.PatientBirthDate, header.PatientSex = 3, "", "", ""
        for key in ("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"):
            setattr(header, key, None)
    from promptile.writers.dicom_seg import _description
    from promptile.writers.naming import Segment

    class Empty:
        objects, origin = result_of(tmp_path / "ct").objects, {}

    file = highdicom.seg.Segmentation(
        source_images=headers,
        pixel_array=turned.astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[_description(1, Segment(1, "thing", "", (1, 2, 3)), Empty())],
        series_instance_uid="1.2.77",
        series_number=7,
        sop_instance_uid="1.2.78",
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="x",
        software_versions="1",
        device_serial_number="1",
        plane_orientation=highdicom.PlaneOrientationSequence("PATIENT", [*-unit[:, 0], *unit[:, 1]]),
        pixel_measures=highdicom.PixelMeasuresSequence([grid.spacing[1], grid.spacing[0]], grid.spacing[2]),
        plane_positions=[highdicom.PlanePositionSequence("PATIENT", c) for c in corner],
    )
    file.save_as(tmp_path / "turned.dcm")
    (found,) = read_structures(tmp_path / "turned.dcm", grid)
    back = np.zeros(samples.shape, bool)
    back[found.window.slices] = found.samples
    np.testing.assert_array_equal(back, samples)
    other = pt.Grid.of(grid.shape, grid.matrix + np.pad([[0.4], [0], [0]], ((0, 1), (3, 0))), grid.space)
    with pytest.raises(PromptError, match=r"^turned\.dcm: lies on another grid"):
        pt.Prompts.read(tmp_path / "turned.dcm", other)


def test_contours_of_others(tmp_path, series):
    """Nested contours are holes, points are points; the contours of another series are refused."""
    result = result_of(series)
    grid = result.grid
    path = writers.write(result, tmp_path / "a.rt.dcm")
    file = pydicom.dcmread(path)
    contours = file.ROIContourSequence[0].ContourSequence

    def contour(corners, kind="CLOSED_PLANAR"):
        made = pydicom.Dataset()
        made.ContourGeometricType = kind
        made.ContourData = [f"{v:.4f}" for v in grid.to_world(np.array(corners, float)).ravel()]
        return made

    def square(z, low, high):
        return contour([[z, low, low], [z, low, high], [z, high, high], [z, high, low]])

    contours[:] = [square(3, 9.5, 29.5), square(3, 14.5, 19.5), square(4, 9.5, 29.5), contour([[7, 50, 51]], "POINT")]
    file.save_as(path)
    prompt = next(iter(pt.Prompts.read(path, grid)))
    expected = np.zeros(SHAPE, bool)
    expected[3:5, 10:30, 10:30] = True
    expected[3, 15:20, 15:20] = False
    np.testing.assert_array_equal(whole(prompt.region, SHAPE), expected)
    np.testing.assert_allclose(prompt.points, [[7, 50, 51]], atol=1e-3)
    contours[:] = [square(3.5, 9.5, 29.5)]
    file.save_as(path)
    with pytest.raises(PromptError, match=r"between the slices of the image, at 3\.50: give the series"):
        pt.Prompts.read(path, grid)
    contours[:] = [square(30, 9.5, 29.5)]
    file.save_as(path)
    with pytest.raises(PromptError, match="reaches outside the image"):
        pt.Prompts.read(path, grid)


def test_what_is_no_structure_set_is_said(tmp_path, series):
    grid = pt.open(series).grid
    slice_ = next(series.iterdir()).rename(tmp_path / "slice.dcm")
    (tmp_path / "broken.dcm").write_bytes(slice_.read_bytes()[:300])
    (tmp_path / "text.dcm").write_text("not DICOM at all", encoding="utf-8")
    for name, finding in {"slice": r"is CT: a structure set", "broken": "", "text": ""}.items():
        with pytest.raises(PromptError, match=rf"^{name}\.dcm: .*{finding}") as caught:
            pt.Prompts.read(tmp_path / f"{name}.dcm", grid)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [
    (lambda file: setattr(file.SegmentSequence[0], "SegmentNumber", 77), "samples of segment 1, but does not say what"),
    (lambda file: setattr(file, "Rows", 3), r"damaged or incomplete \(ValueError\)"),
])  # fmt: skip
def test_segments_that_do_not_fit_their_description(tmp_path, series, change):
    """Nothing is left out, or put elsewhere, without a word."""
    result = result_of(series)
    path = writers.write(result, tmp_path / "a.seg.dcm")
    file = pydicom.dcmread(path)
    change[0](file)
    file.save_as(path)
    with pytest.raises(PromptError, match=change[1]):
        pt.Prompts.read(path, result.grid)


@pytest.mark.data
@pytest.mark.parametrize("name", ["ibsi_STS_001_CT", "ibsi_STS_001_MR_T1"])
def test_a_radiologists_contours(shared, name):
    folder = shared / "med" / name
    (path,) = (p for p in (folder / "rtstruct").iterdir() if p.is_file())
    grid = pt.open(folder / "dicom").grid
    volumes = {s.name: s.samples.sum() * grid.sample_size for s in read_structures(path, grid)}
    labels = sitk.ReadImage(str(folder / "labels.nii.gz"))
    truth = (sitk.GetArrayFromImage(labels) > 0).sum() * np.prod(labels.GetSpacing())
    assert min(abs(volume / truth - 1) for volume in volumes.values()) < 0.03
