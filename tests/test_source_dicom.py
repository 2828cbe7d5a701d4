"""DICOM series: which files belong together, and stacks that ITK would read without a word although they are none."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import SimpleITK

from kinds import itk_affine, read_all, right_handed, write_series
from promptile.errors import SourceError, UsageError
from promptile.sources import open_source


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "series"


def files(folder):
    """In the order of the stack."""
    return sorted(folder.iterdir(), reverse=True)


def moved(image, i, offset):
    """The position of a slice after it was moved along the stack's own axes, in millimetres."""
    axes = np.reshape(image.GetDirection(), (3, 3))
    place = np.array(image.TransformIndexToPhysicalPoint((0, 0, i))) + axes @ offset
    return {"0020|0032": "\\".join(f"{p:.6f}" for p in place)}


def refused(folder, finding, **options):
    with pytest.raises(SourceError, match=finding) as caught:
        open_source(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_one_file_stands_for_its_series(folder):
    write_series(folder, right_handed())
    one = files(folder)[5]
    assert open_source(one).grid == open_source(folder).grid
    np.testing.assert_array_equal(read_all(one), read_all(folder))
    with pytest.raises(UsageError, match="leave it out"):
        open_source(one, series=1)


def test_files_without_series_uid_are_one_series(folder):
    write_series(folder, right_handed(), tags=lambda i, _: {"0020|000e": ""})
    assert open_source(folder).grid.shape == (14, 90, 80)


def test_the_order_of_positions_counts_not_that_of_names_or_numbers(folder):
    image = right_handed()
    write_series(folder, image, tags=lambda i, _: {"0020|0013": str((i * 5) % 14)})
    np.testing.assert_array_equal(read_all(folder)[0], SimpleITK.GetArrayFromImage(image))


def test_a_tilted_gantry(folder):
    image = right_handed()
    write_series(folder, image, tags=lambda i, _: moved(image, i, (0, i * 3 * np.tan(np.radians(12)), 0)))
    refused(folder, r"series was taken with a tilted gantry \(12\.0°\): each slice lies 0\.64 mm beside")


def test_a_missing_slice(folder):
    write_series(folder, right_handed())
    gone = files(folder)[6]
    before, after = files(folder)[5].name, files(folder)[7].name
    gone.unlink()
    refused(folder, rf"misses about 1 slice: 6\.00 mm between {before} and {after}, where 3\.00 mm is usual")


def test_several_missing_slices(folder):
    write_series(folder, right_handed())
    gone = [files(folder)[i] for i in (3, 4, 5, 9)]
    for file in gone:
        file.unlink()
    refused(folder, "misses about 4 slices")


def test_a_duplicate_slice(folder):
    write_series(folder, right_handed())
    shutil.copy(files(folder)[4], folder / "copy")
    message = refused(folder, "duplicate slices: 1 of 14 places have more than one")
    assert "copy" in message


def test_a_series_that_is_there_twice(folder):
    write_series(folder, right_handed())
    for file in files(folder):
        shutil.copy(file, folder / f"copy-{file.name}")
    refused(folder, "duplicate slices: 14 of 14 places")


def test_uneven_distances(folder):
    image = right_handed()
    write_series(folder, image, tags=lambda i, _: moved(image, i, (0, 0, 0.8 if i > 6 else 0)))
    refused(folder, r"uneven distances between slices, 3\.000 to 3\.800 mm")


def test_rounded_positions_are_even_enough(folder):
    image = right_handed()
    write_series(folder, image, tags=lambda i, _: moved(image, i, (0, 0, 0.05 * (-1) ** i)))
    assert open_source(folder).grid.spacing[0] == pytest.approx(3, abs=0.02)


def test_a_slice_that_is_shifted_sideways(folder):
    image = right_handed()
    write_series(folder, image, tags=lambda i, _: moved(image, i, (2 if i == 3 else 0, 0, 0)))
    refused(folder, r"shifted sideways, up to 2\.00 mm")


def test_a_localizer_among_the_slices(folder):
    image = right_handed()
    axes = np.reshape(image.GetDirection(), (3, 3))
    other = "\\".join(f"{d:.9f}" for d in [*axes[:, 1], *axes[:, 2]])
    write_series(folder, image, tags=lambda i, _: {"0020|0037": other} if i == 13 else {})
    refused(folder, "mixes orientations: 1 of 14 slices lie differently")


def test_mixed_sizes_and_spacings(folder, tmp_path):
    write_series(folder, right_handed())
    write_series(tmp_path / "other", right_handed((2, 45, 40)))
    for i, file in enumerate(files(tmp_path / "other")):
        shutil.copy(file, folder / f"other-{i}")
    refused(folder, r"different sizes \(45 × 40, 90 × 80 samples\)")
    shutil.rmtree(folder)
    wide = right_handed()
    wide.SetSpacing((1.6, 1.6, 3))
    write_series(tmp_path / "wide", wide)
    write_series(folder, right_handed())
    shutil.copy(files(tmp_path / "wide")[3], files(folder)[3])
    refused(folder, r"different spacing \(0\.8 × 0\.8, 1\.6 × 1\.6 mm\)")


def test_several_series_are_listed_and_chosen_by_number_or_uid(folder):
    ct, mr = right_handed(), right_handed((6, 90, 80), seed=4)
    write_series(folder, ct, "1.2.3")
    write_series(folder, mr, "1.2.4", kind="MR", tags=lambda i, _: {"0008|103e": "T1 axial"})
    message = refused(folder, "holds 2 series: choose one with --series NUMBER, UID or DESCRIPTION")
    assert "1: CT" in message
    assert "2: MR T1 axial (6 files, 1.2.4)" in message
    for asked in (2, "2", "1.2.4", "t1 axial"):
        source = open_source(folder, series=asked)
        assert source.modality == "MR"
        assert source.grid.shape == (6, 90, 80)
    refused(folder, "holds 2 series, none of them 7", series=7)


def test_time_points_lie_at_the_same_places(folder):
    images = [right_handed((8, 30, 20), seed=i) for i in range(3)]
    for t, image in enumerate(images):
        write_series(
            folder,
            image,
            uid="1.2.3",
            tags=lambda i, _, t=t: {"0008|0018": f"1.2.3.{t}.{i}", "0020|0013": str(t * 8 + i)},
        )
        for file in folder.glob("1.2.3-*"):
            file.rename(folder / f"time{t}-{file.name}")
    refused(folder, r"has 3 time points: choose one with --time 0\.\.2$")
    for t, image in enumerate(images):
        np.testing.assert_array_equal(read_all(folder, time=t)[0], SimpleITK.GetArrayFromImage(image))
    assert open_source(folder, time=0).identity != open_source(folder, time=1).identity


def test_a_single_slice(folder):
    image = right_handed()
    write_series(folder, image)
    for file in files(folder)[1:]:
        file.unlink()
    source = open_source(folder)
    assert source.grid.shape == (1, 90, 80)
    affine = itk_affine(image)
    np.testing.assert_allclose(source.grid.to_world((0, 8, 5)), (affine @ [5, 8, 0, 1])[:3], atol=1e-4)


def test_other_files_in_the_folder_do_not_matter(folder):
    write_series(folder, right_handed())
    (folder / "notes.txt").write_text("seen on Tuesday")
    (folder / "README").write_text("no suffix, no image")
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 100)
    assert open_source(folder).grid.shape == (14, 90, 80)


def test_a_folder_without_images_says_where_they_may_be(folder, tmp_path):
    write_series(folder, right_handed((2, 9, 8)))
    message = refused(tmp_path, "folder without DICOM images")
    assert "open one of its folders (series)" in message


def test_headers_are_read_when_opening_and_samples_later(folder, monkeypatch):
    write_series(folder, right_handed())
    source = open_source(folder)
    for file in files(folder):
        file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(SourceError, match="cannot be read"):
        source.read(source.grid.window)


@pytest.mark.parametrize("kept", [0, 500])
def test_a_damaged_slice_at_the_end_is_named(folder, kept, caplog):
    write_series(folder, right_handed())
    damaged = files(folder)[-1].rename(folder / "last.dcm")
    damaged.write_bytes(damaged.read_bytes()[:kept])
    (folder / "notes.txt").write_text("no image, and not meant as one")
    assert open_source(folder).grid.shape == (13, 90, 80)
    assert damaged.name in caplog.text
    assert "notes.txt" not in caplog.text


def test_slopes_that_differ_from_slice_to_slice(folder):
    image = right_handed()
    slopes = {i: {"0028|1053": f"{1 + i}", "0028|1052": "0"} for i in range(14)}
    write_series(folder, SimpleITK.Cast(image, SimpleITK.sitkInt16) * 14 // 14, tags=lambda i, _: slopes[i])
    pydicom = pytest.importorskip("pydicom")
    stored = sorted((pydicom.dcmread(f) for f in folder.iterdir()), key=lambda d: int(d.InstanceNumber))
    expected = [d.pixel_array * float(d.RescaleSlope) + float(d.RescaleIntercept) for d in stored]
    np.testing.assert_allclose(read_all(folder)[0], expected)
    assert len({float(d.RescaleSlope) for d in stored}) == 14


@pytest.fixture
def many_frames(tmp_path):
    pytest.importorskip("pydicom")
    from enhanced import write_enhanced

    image = right_handed((6, 20, 16))
    return image, lambda **options: write_enhanced(tmp_path / "e.dcm", image, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"order": [3, 1, 2, 0, 5, 4]},
        {"order": [5, 4, 3, 2, 1, 0], "slopes": [1, 2, 3, 4, 5, 6], "shared": False},
        {"kind": "MR", "slopes": [0.5, 0.25, 1, 2, 3, 1.5]},
    ],
)
def test_frames_lie_where_they_say_and_are_rescaled_each_on_its_own(many_frames, options):
    image, write = many_frames
    source = open_source(write(**options))
    np.testing.assert_allclose(
        source.grid.to_world(np.indices(source.grid.shape).reshape(3, -1).T)[:, :],
        [image.TransformIndexToPhysicalPoint(tuple(map(int, i[::-1]))) for i in np.ndindex(source.grid.shape)],
        atol=1e-4,
    )
    exact = SimpleITK.GetArrayFromImage(image)
    coarse = np.max(options.get("slopes", [0])) / 2
    np.testing.assert_allclose(source.read(source.grid.window)[0], exact, atol=coarse)
    assert source.modality == options.get("kind", "CT")


def test_frames_must_form_a_stack_too(many_frames):
    _, write = many_frames
    refused(write(order=[0, 1, 2, 4, 5]), "misses about 1 slice")
    refused(write(positions=lambda z, place: place + np.array([0, 0, 2.0 * (z > 3)])), "uneven|sideways|misses")
    refused(write(order=[0, 1, 1, 2]), "duplicate slices")


def test_frames_of_several_time_points(many_frames):
    image, write = many_frames
    path = write(order=[0, 1, 2, 0, 1, 2])
    refused(path, r"has 2 time points: choose one with --time 0\.\.1$")
    np.testing.assert_array_equal(read_all(path, time=1)[0], SimpleITK.GetArrayFromImage(image)[:3])


def ramp(grid):
    """Intensity that grows linearly in the patient: linear interpolation gives it back exactly."""
    places = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    return places @ [3.0, -2.0, 5.0] + 700


def write_irregular(folder, shift, skip=()):
    """A series whose slice ``i`` lies at ``shift(i)`` (along the stack's axes, mm) beside its place, of a ramp."""
    from promptile.sources.itk import lps_grid

    image = right_handed((14, 40, 30))
    axes = np.reshape(image.GetDirection(), (3, 3))
    size, steps = image.GetSize(), axes * image.GetSpacing()
    slices = []
    for i in range(14):
        place = np.array(image.TransformIndexToPhysicalPoint((0, 0, i))) + axes @ shift(i)
        slices.append(ramp(lps_grid((*size[:2], 1), steps, place))[0])
    values = SimpleITK.GetImageFromArray(np.rint(slices).astype(np.int16))
    values.CopyInformation(image)
    write_series(folder, values, tags=lambda i, _: moved(image, i, shift(i)))
    for i in skip:
        files(folder)[13 - i].unlink()
    return image


@pytest.mark.parametrize(
    ("shift", "skip", "finding"),
    [
        (lambda i: (0, i * 3 * np.tan(np.radians(12)), 0), (), "tilted gantry"),
        (lambda i: (-i * 0.37, i * 0.5, 0), (), "tilted gantry"),
        (lambda i: (0, 0, 0.8 if i > 6 else 0), (), "uneven distances"),
        (lambda i: (0, 0, 0), (4, 5, 9), "misses about 3 slices"),
        (lambda i: (2 if i == 3 else 0, 0, 0), (), "shifted sideways"),
    ],
    ids=["tilt", "tilt both ways", "uneven", "missing", "sideways"],
)
def test_what_is_refused_can_be_resampled(folder, caplog, shift, skip, finding):
    write_irregular(folder, shift, skip)
    refused(folder, f"{finding}.*--resample")
    source = open_source(folder, resample=True)
    assert finding in caplog.text
    found, valid = source.read(source.grid.window)[0], source.valid(source.grid.window)
    assert np.abs(found - ramp(source.grid))[valid].max() <= 2  # rounded when it was stored, and again
    assert valid.mean() > 0.6
    height = 14 * 40 * 30 - len(skip) * 40 * 30
    assert valid.sum() >= 0.9 * height
    steps = source.grid.matrix[:3, :3] / source.grid.spacing
    np.testing.assert_allclose(steps.T @ steps, np.eye(3), atol=1e-6)
    assert source.identity["resampled"]
    assert open_source(**source.place).grid == source.grid


def test_a_regular_series_is_not_resampled(folder):
    write_series(folder, right_handed())
    plain, asked = open_source(folder), open_source(folder, resample=True)
    assert plain.grid == asked.grid
    assert plain.identity == asked.identity
