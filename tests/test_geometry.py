"""Labels lie where their image lies, in every format, as others read them (all data: ``benchmarks/geometry.py``)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from kinds import oblique, right_handed, write_series

pytest.importorskip("nibabel")

SMALL = (
    "med/pyrad_breast1/image.nrrd",
    "med/msd_hippocampus/images/hippocampus_001.nii.gz",
    "med/sct_t2/image.nii.gz",
    "med/ibsi_STS_001_MR_T1/dicom",
    "odd/dcm_series/d2n_anat001",
    "odd/dcm_series/d2n_jpegls",
    "odd/nii_niivue/low_res.nii.gz",
    "odd/nrrd_pynrrd/BallBinary30x30x30_bz2.nrrd",
)


@pytest.fixture(scope="module")
def bench():
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "geometry.py"
    spec = importlib.util.spec_from_file_location("geometry_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
def test_oblique_volumes(tmp_path, bench, name):
    (tmp_path / "in").mkdir()
    sitk.WriteImage(oblique((5, 7, 6)), tmp_path / "in" / name)
    found = bench.check(tmp_path / "in" / name, tmp_path)
    assert found == dict.fromkeys((".nii.gz", ".nrrd", ".mha", ".seg.nrrd"), "exact")


def test_an_oblique_series(tmp_path, bench):
    pytest.importorskip("highdicom")
    said = {"0020|000d": "1.2.9", "0020|0052": "1.2.8"}
    write_series(tmp_path / "ct", right_handed((5, 9, 8)), tags=lambda i, _: said)
    assert bench.check(tmp_path / "ct", tmp_path) == dict.fromkeys(bench.SUFFIXES, "exact")


def test_many_frames(tmp_path, bench):
    pytest.importorskip("highdicom")
    from enhanced import write_enhanced

    write_enhanced(tmp_path / "e.dcm", right_handed((5, 9, 8)))
    assert bench.check(tmp_path / "e.dcm", tmp_path) == dict.fromkeys(bench.SUFFIXES, "exact")


def test_frames_in_any_order(tmp_path):
    """The object's frames refer to the frames that it lies on, wherever these are in the file."""
    highdicom = pytest.importorskip("highdicom")
    import pydicom

    from enhanced import write_enhanced
    from promptile import writers
    from promptile.prompts import Prompts
    from promptile.sources import open_source
    from test_writers_medical import Masks

    order = [2, 0, 4, 1, 3]
    write_enhanced(tmp_path / "e.dcm", right_handed((5, 9, 8)), order=order)
    source = open_source(tmp_path / "e.dcm")
    samples = np.zeros(source.grid.shape, bool)
    samples[1:3, 2:5, 3:7] = True
    samples[3, 2, 3] = True
    result = Masks(source.grid, {1: samples}, {}, source.place)
    for suffix in (".seg.dcm", ".rt.dcm"):
        path = writers.write(result, tmp_path / f"a{suffix}")
        (prompt,) = Prompts.read(path, source.grid)
        np.testing.assert_array_equal(prompt.region.within(source.grid.window, (1, 1, 1)), samples)
    items = [c for r in pydicom.dcmread(path).ROIContourSequence for c in r.ContourSequence]
    assert [order[c.ContourImageSequence[0].ReferencedFrameNumber - 1] for c in items] == [1, 2, 3]
    found = highdicom.seg.segread(tmp_path / "a.seg.dcm")
    referred = [
        f.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        for f in found.PerFrameFunctionalGroupsSequence
    ]
    assert sorted(order[int(n) - 1] for n in referred) == [1, 2, 3]


@pytest.mark.data
@pytest.mark.parametrize("name", SMALL)
def test_real_volumes(shared, tmp_path, bench, name):
    if (shared / name).is_dir():
        pytest.importorskip("highdicom")
    found = bench.check(shared / name, tmp_path)
    assert len(found) == 4 + (shared / name).is_dir()
    assert set(found.values()) == {"exact"}


def test_a_shift_is_found(tmp_path, bench, monkeypatch):
    """The check itself can fail: half a sample is seen."""
    from promptile.writers import volume

    place = volume._place

    def shifted(image, grid):
        place(image, grid)
        image.SetOrigin(grid.to_world([0.5, 0, 0]).tolist())

    monkeypatch.setattr(volume, "_place", shifted)
    (tmp_path / "in").mkdir()
    sitk.WriteImage(oblique((5, 7, 6)), tmp_path / "in" / "a.mha")
    found = bench.check(tmp_path / "in" / "a.mha", tmp_path)
    assert [found[s].split()[0] for s in (".nii.gz", ".nrrd", ".seg.nrrd")] == ["origin", "origin", "exact"]
