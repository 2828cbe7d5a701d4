"""NIfTI, NRRD and MHA: geometry against nibabel, time points, packed files, and files that are refused."""

from __future__ import annotations

import gzip
import logging
import os
import time
import warnings

import nibabel
import numpy as np
import pytest
import SimpleITK

from kinds import itk_affine, noise, oblique, read_all
from promptile.errors import SourceError
from promptile.grid import LPS, Window
from promptile.sources import open_source, volume, whole

RAS_TO_LPS = np.diag([-1, -1, 1, 1])


@pytest.fixture
def no_memory(tmp_path, monkeypatch):
    """Every image is too large for memory, and the cache is a folder of this test."""
    monkeypatch.setattr(whole, "IN_MEMORY", 0)
    monkeypatch.setattr(volume, "IN_MEMORY", 0)
    monkeypatch.setattr(whole, "folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def save_nifti(path, samples, affine, **codes):
    image = nibabel.Nifti1Image(samples, affine)
    image.set_sform(affine, codes.get("sform", 1))
    image.set_qform(affine, codes.get("qform", 0))
    nibabel.save(image, path)


def turned(seed=3):
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0] * [0.7, -1.5, 4]
    affine[:3, 3] = (-31, 17.5, 203)
    return affine


@pytest.mark.parametrize("codes", [{"sform": 1}, {"sform": 0, "qform": 1}, {"sform": 4, "qform": 1}])
def test_nifti_geometry_is_nibabels(tmp_path, codes):
    save_nifti(tmp_path / "a.nii.gz", noise((9, 8, 7), np.int16), turned(), **codes)
    source = open_source(tmp_path / "a.nii.gz")
    assert source.grid.space == LPS
    said = nibabel.load(tmp_path / "a.nii.gz")
    for index in ((0, 0, 0), (8, 7, 6), (3.5, -0.5, 2)):
        expected = (RAS_TO_LPS @ said.affine @ [*index, 1])[:3]
        np.testing.assert_allclose(source.grid.to_world(index[::-1]), expected, atol=1e-4)
    np.testing.assert_array_equal(source.read(source.grid.window)[0], np.asarray(said.dataobj).T)


def test_sheared_axes_are_refused(tmp_path):
    affine = np.eye(4)
    affine[0, 1] = 0.4
    save_nifti(tmp_path / "a.nii", noise((9, 8, 7), np.int16), affine)
    with pytest.raises(SourceError, match="not at right angles"):
        open_source(tmp_path / "a.nii")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
def test_a_time_point_has_to_be_chosen(tmp_path, name):
    SimpleITK.WriteImage(SimpleITK.JoinSeries([oblique((5, 6, 7), seed=i) for i in range(12)]), tmp_path / name)
    with pytest.raises(SourceError, match=r"has 12 time points: choose one with --time 0\.\.11$"):
        open_source(tmp_path / name)
    for wrong in (12, -1):
        with pytest.raises(SourceError, match=r"choose one with --time 0\.\.11"):
            open_source(tmp_path / name, time=wrong)
    chosen = [open_source(tmp_path / name, time=t) for t in (0, 11)]
    for seed, source in zip((0, 11), chosen, strict=True):
        expected = SimpleITK.GetArrayFromImage(oblique((5, 6, 7), seed=seed))
        np.testing.assert_array_equal(source.read(source.grid.window)[0], expected)
    assert chosen[0].identity != chosen[1].identity


def test_an_image_without_time_has_none_to_choose(tmp_path):
    SimpleITK.WriteImage(oblique((5, 6, 7)), tmp_path / "a.nii")
    assert open_source(tmp_path / "a.nii", time=0).grid.ndim == 3
    with pytest.raises(SourceError, match="one time point, not 3"):
        open_source(tmp_path / "a.nii", time=3)


def scaled_nifti(path):
    image = nibabel.Nifti1Image(noise((40, 50, 60), np.int16), turned())
    image.header.set_slope_inter(0.25, -3)
    nibabel.save(image, path)


def big_endian_nifti(path):
    image = nibabel.Nifti1Image(noise((40, 50, 60), np.int16), turned())
    big = nibabel.Nifti1Image(np.asarray(image.dataobj), turned(), image.header.as_byteswapped(">"))
    nibabel.save(big, path)


def big_endian_nrrd(path):
    samples = noise((60, 50, 40), np.uint16)
    head = "NRRD0004\ntype: uint16\ndimension: 3\nsizes: 40 50 60\nendian: big\nencoding: gz\n"
    head += "space: left-posterior-superior\nspace directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (5,6,7)\n\n"
    path.write_bytes(head.encode() + gzip.compress(samples.astype(">u2").tobytes()))


def written(image, compress):
    return lambda path: SimpleITK.WriteImage(image, path, compress)


PACKED = {
    "nifti": ("a.nii.gz", written(oblique((60, 50, 40)), True)),
    "nifti-scaled": ("a.nii.gz", scaled_nifti),
    "nifti-big-endian": ("a.nii.gz", big_endian_nifti),
    "nifti-flat": ("a.nii.gz", written(oblique((1, 50, 40))[:, :, 0], True)),
    "nrrd": ("a.nrrd", written(oblique((60, 50, 40), np.float32), True)),
    "nrrd-raw": ("a.nrrd", written(oblique((60, 50, 40)), False)),
    "nrrd-big-endian": ("a.nrrd", big_endian_nrrd),
    "nrrd-colour": ("a.nrrd", written(oblique((40, 50, 40, 3), np.uint8), True)),
    "mha": ("a.mha", written(oblique((60, 50, 40), np.float64), True)),
    "mha-vector": ("a.mha", written(oblique((40, 50, 40, 2), np.float32), True)),
    "mgh-like-unknown": ("a.mhd", written(oblique((60, 50, 40)), True)),
}


@pytest.mark.parametrize("kind", PACKED)
def test_large_packed_files_are_unpacked_once(tmp_path, no_memory, kind, caplog):
    name, write = PACKED[kind]
    write(tmp_path / name)
    expected = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(tmp_path / name))
    expected = np.moveaxis(expected, -1, 0) if kind.endswith(("colour", "vector")) else expected[None]
    caplog.set_level(logging.INFO, "promptile")
    source = open_source(tmp_path / name)
    assert not no_memory.exists(), "nothing is unpacked before it is asked for"
    window = Window((0,) * (source.grid.ndim - 1) + (10,), (*source.grid.shape[:-1], 20))
    read = source.read(window)
    np.testing.assert_array_equal(read, expected[:, *window.slices])
    assert read.dtype == source.dtype
    assert "unpacking it once" in caplog.text
    assert "100 % unpacked" in caplog.text
    caplog.clear()
    again = open_source(tmp_path / name)
    np.testing.assert_array_equal(again.read(again.grid.window), expected)
    assert not caplog.text
    assert [p.suffix for p in no_memory.iterdir()] == [".zarr"]


def test_a_time_point_of_a_large_packed_file(tmp_path, no_memory):
    SimpleITK.WriteImage(SimpleITK.JoinSeries([oblique((9, 8, 7), seed=i) for i in range(4)]), tmp_path / "a.nii.gz")
    for t in (3, 1):
        source = open_source(tmp_path / "a.nii.gz", time=t)
        expected = SimpleITK.GetArrayFromImage(oblique((9, 8, 7), seed=t))
        np.testing.assert_array_equal(source.read(source.grid.window)[0], expected)


def test_a_changed_file_is_unpacked_again(tmp_path, no_memory):
    for seed in (1, 2):
        SimpleITK.WriteImage(oblique((20, 20, 20), seed=seed), tmp_path / "a.nii.gz")
        source = open_source(tmp_path / "a.nii.gz")
        expected = SimpleITK.GetArrayFromImage(oblique((20, 20, 20), seed=seed))
        np.testing.assert_array_equal(source.read(source.grid.window)[0], expected)


def test_the_cache_forgets_what_is_not_used(tmp_path, no_memory):
    for name in ("a.nii.gz", "b.nii.gz"):
        SimpleITK.WriteImage(oblique((20, 20, 20), seed=ord(name[0])), tmp_path / name)
    first = open_source(tmp_path / "a.nii.gz")
    first.read(first.grid.window)
    (old,) = no_memory.iterdir()
    os.utime(old / "used", (time.time() - 40 * 24 * 3600,) * 2)
    second = open_source(tmp_path / "b.nii.gz")
    second.read(second.grid.window)
    assert old not in list(no_memory.iterdir())


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_truncated_packed_file_is_refused(tmp_path, request, name, in_memory):
    if not in_memory:
        request.getfixturevalue("no_memory")
    SimpleITK.WriteImage(oblique((60, 50, 40)), tmp_path / name, True)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    source = open_source(tmp_path / name)
    with pytest.raises(SourceError, match=f"^{name} ") as caught:
        source.read(source.grid.window)
    assert "\n" not in str(caught.value)
    if not in_memory:
        assert not list((tmp_path / "cache").iterdir()), "nothing half-unpacked stays behind"


@pytest.mark.parametrize("name", ["a.nii", "a.mha"])
def test_a_truncated_plain_file_is_refused(tmp_path, name):
    SimpleITK.WriteImage(oblique((60, 50, 40)), tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match=f"^{name} "):
        read_all(tmp_path / name)


def test_a_header_that_promises_too_much_is_refused(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[42:48] = np.array([30000] * 3, "<i2").tobytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(SourceError, match=r"promises 27000.0 GB"):
        open_source(tmp_path / "a.nii.gz")


def test_plain_files_are_read_by_window(tmp_path):
    """A window of a file that is too large to be there: the samples behind it are a hole on the disk."""
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes()[:352])
    content[42:48] = np.array([2000, 2000, 1500], "<i2").tobytes()
    with (tmp_path / "a.nii").open("wb") as file:
        file.write(content)
        file.truncate(352 + 2000 * 2000 * 1500)
    source = open_source(tmp_path / "a.nii")
    begin = time.perf_counter()
    assert not source.read(Window((1200, 700, 900), (8, 64, 64))).any()
    assert time.perf_counter() - begin < 2


def test_itk_agrees_for_every_orientation(tmp_path):
    """All 48 ways to turn and flip a volume's axes."""
    for number, order in enumerate(np.ndindex(6, 8)):
        permutation = np.eye(3)[list([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)][order[0]])]
        flips = [1 if order[1] >> i & 1 else -1 for i in range(3)]
        image = SimpleITK.GetImageFromArray(np.zeros((3, 4, 5), np.uint8))
        image.SetDirection((permutation * flips).ravel().tolist())
        image.SetSpacing((1, 2, 3))
        image.SetOrigin((10, 20, 30))
        SimpleITK.WriteImage(image, tmp_path / f"{number}.nii.gz")
        grid = open_source(tmp_path / f"{number}.nii.gz").grid
        expected = itk_affine(SimpleITK.ReadImage(tmp_path / f"{number}.nii.gz"))
        np.testing.assert_allclose(grid.to_world((2, 1, 4)), (expected @ [4, 1, 2, 1])[:3], atol=1e-5)
        assert grid.spacing == pytest.approx((3, 2, 1))


def test_levels_even_out_the_spacing(tmp_path):
    image = SimpleITK.GetImageFromArray(np.zeros((40, 300, 300), np.uint8))
    image.SetSpacing((0.8, 0.8, 5))
    SimpleITK.WriteImage(image, tmp_path / "a.nii")
    assert open_source(tmp_path / "a.nii").levels == ((1, 1, 1), (1, 2, 2), (1, 4, 4), (1, 8, 8))
    image.SetSpacing((1, 1, 2))
    SimpleITK.WriteImage(image, tmp_path / "a.nii")
    assert open_source(tmp_path / "a.nii").levels == ((1, 1, 1), (1, 2, 2), (2, 4, 4), (4, 8, 8))


def test_nothing_leaks_to_the_terminal(tmp_path, capfd):
    """ITK and its readers are written in C++ and would speak past Python."""
    image = oblique((5, 6, 7))
    SimpleITK.WriteImage(image, tmp_path / "a.nii.gz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = open_source(tmp_path / "a.nii.gz")
        source.read(source.grid.window)
    assert capfd.readouterr() == ("", "")
