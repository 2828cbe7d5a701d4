"""Saving from napari: what other programs read in the file lies where the image lies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import geopandas
import nibabel
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
import SimpleITK
import zarr
from affine import Affine
from geopandas.testing import assert_geodataframe_equal
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

pytest.importorskip("napari")

import napari
import npe2
from napari.components import ViewerModel
from napari.layers import Labels, Layer
from napari.plugins.io import save_layers

from conftest import ROOT
from kinds import NORTH_UP, ROTATED, SOUTH_UP, noise, right_handed, write_series, write_tif
from perfect import Perfect
from promptile._napari import layer_result, reader, results, writers
from promptile._napari.layer_result import LayerResult
from promptile._napari.layers import boxes_layer, points_layer
from promptile._napari.lazy import LazyArray
from promptile._napari.paintable import Paintable
from promptile._napari.placement import KEY, Placement
from promptile.errors import OutputError, PromptError
from promptile.grid import Grid, Window
from promptile.prompts import Prompts
from promptile.segmentation import segment
from promptile.sources import open_source
from promptile.structures import read_structures
from promptile.writers import DICOM, SUFFIXES

TRANSFORMS = {"north-up": NORTH_UP, "south-up": SOUTH_UP, "rotated": ROTATED}


@pytest.fixture(autouse=True)
def ours(npe2pm):
    """No plugin but this one."""
    npe2pm.register(npe2.PluginManifest.from_file(ROOT / "napari.yaml"))


@pytest.fixture
def viewer(monkeypatch):
    """A viewer without a window."""
    model = ViewerModel()
    monkeypatch.setattr(napari, "current_viewer", lambda: model)
    return model


@pytest.fixture
def said(monkeypatch):
    """Warnings that were shown."""
    texts = []
    monkeypatch.setattr(writers, "show_warning", texts.append)
    return texts


def opened(viewer, path):
    """The last layer of a path, opened in a viewer."""
    for entry in reader.read(str(path)):
        viewer.add_layer(Layer.create(*entry))
    return viewer.layers[-1]


def drawn_over(viewer, image):
    """What napari's button for new labels gives over an image, with three objects drawn."""
    viewer.layers.selection.active = image
    viewer._new_labels()
    layer = viewer.layers[-1]
    paint(layer.data)
    return layer


def paint(labels):
    """Objects 2, 3 and 7: a block, a block at the edge, two samples that only touch at their corners."""
    inner = labels[(labels.shape[0] // 2,)] if labels.ndim == 3 else labels
    inner[3:9, 4:12] = 2
    inner[:3, -5:] = 3
    inner[10, 2] = inner[11, 3] = 7


def volume(path, turned=True):
    image = SimpleITK.GetImageFromArray(noise((12, 14, 16), np.int16))
    c, s = np.cos(0.3), np.sin(0.3)
    if turned:
        image.SetDirection((np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ [[c, -s, 0], [s, c, 0], [0, 0, 1]]).ravel())
    image.SetSpacing((0.8, 0.9, 2.5))
    image.SetOrigin((-100.0, -120.0, 30.0))
    SimpleITK.WriteImage(image, str(path))
    return image


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_labels_over_a_raster_are_its_samples(tmp_path, viewer, said, kind):
    write_tif(tmp_path / "a.tif", noise((1, 30, 40), np.uint16), TRANSFORMS[kind])
    layer = drawn_over(viewer, opened(viewer, tmp_path / "a.tif"))
    assert KEY not in layer.metadata, "napari made it, we did not"
    (written,) = save_layers(str(tmp_path / "labels.tif"), [layer])
    with rasterio.open(tmp_path / "a.tif") as image, rasterio.open(written) as labels:
        assert labels.crs == image.crs
        assert labels.transform == image.transform
        np.testing.assert_array_equal(labels.read(1), layer.data)
    assert not said


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".parquet", ".shp"])
@pytest.mark.parametrize("kind", TRANSFORMS)
def test_outlines_over_a_raster_cover_its_samples(tmp_path, viewer, kind, suffix):
    write_tif(tmp_path / "a.tif", noise((1, 30, 40), np.uint16), TRANSFORMS[kind])
    layer = drawn_over(viewer, opened(viewer, tmp_path / "a.tif"))
    (written,) = save_layers(str(tmp_path / f"labels{suffix}"), [layer])
    frame = (geopandas.read_parquet if suffix == ".parquet" else geopandas.read_file)(written).to_crs("EPSG:32633")
    with rasterio.open(tmp_path / "a.tif") as image:
        pairs = zip(frame.geometry, frame["id"], strict=True)
        back = rasterio.features.rasterize(pairs, image.shape, transform=image.transform)
    np.testing.assert_array_equal(back, layer.data)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("turned", [False, True])
def test_labels_over_a_volume_are_its_samples(tmp_path, viewer, said, suffix, turned):
    image = volume(tmp_path / "a.nrrd", turned)
    layer = drawn_over(viewer, opened(viewer, tmp_path / "a.nrrd"))
    (written,) = save_layers(str(tmp_path / f"labels{suffix}"), [layer])
    labels = SimpleITK.ReadImage(written)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(labels), layer.data)
    for index in [(0, 0, 0), (15, 13, 11)]:
        places = [i.TransformIndexToPhysicalPoint(index) for i in (labels, image)]
        np.testing.assert_allclose(*places, atol=1e-3 if ".nii" in suffix else 1e-9)
    assert not said


def test_an_oblique_volume_lies_right_for_another_reader(tmp_path, viewer):
    image = volume(tmp_path / "a.nrrd")
    layer = drawn_over(viewer, opened(viewer, tmp_path / "a.nrrd"))
    save_layers(str(tmp_path / "labels.nii.gz"), [layer])
    labels = nibabel.load(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(np.asarray(labels.dataobj), layer.data.T)
    expected = np.array([-1, -1, 1]) * image.TransformIndexToPhysicalPoint((15, 13, 11))  # RAS
    np.testing.assert_allclose((labels.affine @ [15, 13, 11, 1])[:3], expected, atol=1e-4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of three objects over a rotated raster."""
    folder = tmp_path_factory.mktemp("run")
    samples = np.zeros((1, 300, 250), np.uint8)
    samples[0, 50:150, 20:200] = 3
    samples[0, 200:250, 50:100] = 7
    samples[0, 270:300, 200:250] = 5
    write_tif(folder / "fields.tif", samples, ROTATED)
    prompts = Prompts.of(points=[(100, 100), (220, 70), (290, 240)])
    return segment(folder / "fields.tif", prompts, model=Perfect(2), window=(0.0, 9.0), out=folder / "fields.run.zarr")


def run_labels(run):
    entries = [entry for entry in reader.read(str(run.path)) if entry[2] == "labels"]
    (layer,) = [Layer.create(*entry) for entry in entries]
    return layer


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".geojson"])
def test_a_run_is_saved_as_the_command_line_saves_it(run, tmp_path, viewer, said, suffix):
    (written,) = save_layers(str(tmp_path / f"a{suffix}"), [run_labels(run)])
    run.write(tmp_path / f"b{suffix}")
    read = geopandas.read_parquet if suffix == ".parquet" else geopandas.read_file
    ours, theirs = (read(tmp_path / f"{name}{suffix}").sort_values("id", ignore_index=True) for name in "ab")
    assert written == str(tmp_path / f"a{suffix}")
    assert set(ours.columns) == set(theirs.columns)
    assert_geodataframe_equal(ours[theirs.columns], theirs, check_dtype=False)
    assert not said


def test_a_run_is_saved_as_the_command_line_saves_it_also_as_raster(run, tmp_path):
    save_layers(str(tmp_path / "a.tif"), [run_labels(run)])
    run.write(tmp_path / "b.tif")
    with rasterio.open(tmp_path / "a.tif") as ours, rasterio.open(tmp_path / "b.tif") as theirs:
        assert ours.profile == theirs.profile
        assert ours.tags() == theirs.tags()
        np.testing.assert_array_equal(ours.read(), theirs.read())


def test_where_labels_come_from_is_in_the_file(run, tmp_path):
    save_layers(str(tmp_path / "a.gpkg"), [run_labels(run)])
    assert pyogrio.read_info(tmp_path / "a.gpkg")["layer_metadata"]["model"] == json.dumps(run.origin["model"])
    layer = run_labels(run)
    layer.metadata[KEY]["path"] = "/gone/scene.tif"
    save_layers(str(tmp_path / "b.gpkg"), [layer])
    assert json.loads(pyogrio.read_info(tmp_path / "b.gpkg")["layer_metadata"]["image"]) == {"name": "scene.tif"}


def test_painted_corrections_are_saved(run, tmp_path):
    layer = run_labels(run)
    layer.data[60:80, 205:215] = 9
    layer.data[200:250, 50:100] = 0
    save_layers(str(tmp_path / "a.gpkg"), [layer])
    frame = geopandas.read_file(tmp_path / "a.gpkg").set_index("id")
    assert sorted(frame.index) == [1, 3, 9]
    assert frame["prompt"].to_dict() == {1: "points", 3: "points", 9: ""}
    assert frame.loc[9].geometry.area == pytest.approx(200 * abs(ROTATED.determinant))
    assert frame.loc[9, "area_m2"] == pytest.approx(frame.loc[9].geometry.area, rel=1e-2)
    assert frame["touches_edge"].to_dict() == {1: False, 3: True, 9: False}


def test_labels_that_a_layer_does_not_show_are_saved_too(run, tmp_path, viewer, said):
    whole = run_labels(run)
    labels = whole.data
    whole.metadata[KEY]["labels"] = labels
    state = whole.as_layer_data_tuple()[1]
    hidden = LazyArray(labels.shape, np.uint32, lambda window: np.zeros(window.shape, np.uint32))
    painted = labels.copy()
    painted[0, 0] = 77
    for data, levels, expected in [
        (labels[::4, ::4], False, labels),  # a volume in 3D
        ([hidden, hidden[::2, ::2]], True, labels),  # a part of it is in a layer to paint on
        (painted, False, painted),  # a copy that somebody painted on
    ]:
        npe2.write(str(tmp_path / "a.tif"), [(data, {**state, "multiscale": levels}, "labels")])
        with rasterio.open(tmp_path / "a.tif") as file:
            np.testing.assert_array_equal(file.read(1), expected)
    assert not said


def test_labels_that_are_painted_on_and_not_taken_yet_are_saved(run, tmp_path, viewer):
    metadata = {KEY: Placement.among([], run.grid).to_json()}
    layer = Labels(Paintable(run.grid.shape, run.read_labels), metadata=metadata)
    layer.data[0, 0:3] = 9
    save_layers(str(tmp_path / "a.tif"), [layer])
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.read(1)[0, :4].tolist() == [9, 9, 9, 0]
        np.testing.assert_array_equal(file.read(1)[1:], run.labels[1:])
    assert run.labels[0, 0] == 0


def test_a_result_is_saved_whole_while_a_part_of_it_is_painted_on(run, tmp_path, viewer, said, monkeypatch):
    monkeypatch.setattr(results, "PAINTABLE", 1000)
    monkeypatch.setattr("promptile._napari.layers._WHOLE", {2: 20_000})
    result = results.ResultLayer(viewer, run, Placement.among([], run.grid), later=lambda task, done: None)
    part = result.edit(Window((40, 10), (120, 100)))
    part.data[0, 0] = 9
    assert not np.asarray(result.layer.data[0][40:160, 10:110]).any(), "the layer itself shows nothing there"
    save_layers(str(tmp_path / "a.tif"), [result.layer])
    expected = run.labels[...]
    expected[40, 10] = 9
    with rasterio.open(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.read(1), expected)
    assert not said
    save_layers(str(tmp_path / "part.tif"), [part])
    with rasterio.open(tmp_path / "part.tif") as file:
        assert file.crs == "EPSG:32633"
        np.testing.assert_array_equal(file.read(1), expected[40:160, 10:110])
        np.testing.assert_allclose(file.xy(0, 0), ROTATED @ (10.5, 40.5), atol=1e-3)


def test_features_are_attributes(tmp_path, viewer):
    write_tif(tmp_path / "a.tif", noise((1, 30, 40), np.uint16), NORTH_UP)
    layer = drawn_over(viewer, opened(viewer, tmp_path / "a.tif"))
    layer.features = pd.DataFrame(
        {
            "index": [7, 2, 50, 2],
            "category": pd.Categorical(["hut", "old", "gone", "field"]),
            "score": [0.5, 0.1, 0.2, np.nan],
            "height_m": [2.5, 9.0, 9.0, 4.0],
            "checked": [True, False, False, True],
            "note": ["low", 3, None, 4],
        }
    )
    save_layers(str(tmp_path / "a.gpkg"), [layer])
    frame = geopandas.read_file(tmp_path / "a.gpkg").set_index("id")
    assert frame["category"].to_dict() == {2: "field", 3: "", 7: "hut"}
    assert frame["score"].fillna(-1).to_dict() == {2: -1, 3: -1, 7: 0.5}
    assert frame["height_m"].fillna(-1).to_dict() == {2: 4, 3: -1, 7: 2.5}
    assert frame["note"].fillna("-").to_dict() == {2: "4", 3: "-", 7: "low"}
    layer.features = pd.DataFrame({"category": ["background", "", "two", "three"]})  # a row per label, from 0
    save_layers(str(tmp_path / "a.gpkg"), [layer])
    frame = geopandas.read_file(tmp_path / "a.gpkg").set_index("id")
    assert frame["category"].to_dict() == {2: "two", 3: "three", 7: ""}


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s not in DICOM])
def test_no_labels_are_a_valid_file_without_objects(tmp_path, viewer, suffix):
    if suffix in (".nii", ".nii.gz", ".nrrd", ".mha", ".seg.nrrd"):
        volume(tmp_path / "image.nrrd")
        image = opened(viewer, tmp_path / "image.nrrd")
    else:
        write_tif(tmp_path / "image.tif", noise((1, 30, 40), np.uint16), NORTH_UP)
        image = opened(viewer, tmp_path / "image.tif")
    layer = drawn_over(viewer, image)
    layer.data[:] = 0
    (written,) = save_layers(str(tmp_path / f"labels{suffix}"), [layer])
    if suffix == ".tif" or suffix == ".tiff":
        with rasterio.open(written) as file:
            assert not file.read().any()
    elif suffix == ".zarr":
        assert not zarr.open_group(written, mode="r")["0"][...].any()
    elif suffix in (".nii", ".nii.gz", ".nrrd", ".mha", ".seg.nrrd"):
        assert not SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(written)).any()
    else:
        frame = (geopandas.read_parquet if suffix == ".parquet" else geopandas.read_file)(written)
        assert len(frame) == 0
        assert suffix == ".geojson" or {"id", "category", "score", "geometry"} <= set(frame.columns)


class Counted:
    """Labels that remember which windows were read, and never hold more than one."""

    def __init__(self) -> None:
        self.windows: list[Window] = []

    def __call__(self, window: Window) -> np.ndarray:
        self.windows.append(window)
        labels = np.zeros(window.shape, np.uint32)
        for number, box in enumerate(BOXES, 1):
            labels[(box & window).within(window).slices] = number
        return labels


BOXES = [Window((10, 20), (300, 400)), Window((3_000, 500), (2_500, 8_000)), Window((8_500, 9_000), (500, 1_000))]


@pytest.mark.parametrize("suffix", [".gpkg", ".tif"])
def test_large_labels_are_read_by_window(tmp_path, suffix):
    shape, read = (9_000, 10_000), Counted()
    grid = Grid.of(shape, [[0, 0.5, 5e5], [-0.5, 0, 4e6], [0, 0, 1]], "EPSG:32633")
    metadata = {KEY: Placement.among([], grid).to_json()}
    levels = [LazyArray(shape, np.uint32, read), np.zeros((300, 300), np.uint32)]
    layer = (levels, {"metadata": metadata, "multiscale": True, "name": "large"}, "labels")
    (written,) = npe2.write(str(tmp_path / f"labels{suffix}"), [layer])
    assert max(window.size for window in read.windows) <= 2**22
    assert sum(window.size for window in read.windows) < 2.1 * 9_000 * 10_000, "read once to look, once to write"
    if suffix == ".gpkg":
        frame = geopandas.read_file(written).sort_values("id")
        np.testing.assert_allclose(frame.geometry.area, [box.size / 4 for box in BOXES])
        np.testing.assert_allclose(frame["area_m2"], frame.geometry.area, rtol=2e-3)
    else:
        with rasterio.open(written) as file:
            assert file.shape == shape
            for number, box in enumerate(BOXES, 1):
                corner = [n - 1 for n in box.stop]
                assert file.read(1, window=((corner[0], corner[0] + 1), (corner[1], corner[1] + 1))) == number


ids = st.sampled_from([0, 0, 0, 1, 2, 3, 300, 70_000, 2**32 - 1])


@given(arrays(np.uint32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=ids), st.booleans())
def test_objects_are_found_over_windows(labels, wide):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer_result, "_SIDE", {2: 4})
        patch.setattr(layer_result, "_DENSE", 2**24 if wide else 2)
        result = LayerResult(labels, Grid.of(labels.shape), pd.DataFrame(), {}, {})
        assert result.objects["id"].tolist() == np.unique(labels[labels > 0]).tolist()
        for row in result.objects.itertuples():
            where = np.argwhere(labels == row.id)
            assert row.area_px == len(where)
            assert list(row.bbox) == [*where.min(axis=0), *(where.max(axis=0) + 1)]
            assert row.touches_edge == ((where == 0) | (where == np.subtract(labels.shape, 1))).any()
            assert result.mask(row.id).count == len(where)


def test_ids_of_any_size_are_outlined(tmp_path, viewer):
    write_tif(tmp_path / "a.tif", noise((1, 30, 40), np.uint16), NORTH_UP)
    layer = drawn_over(viewer, opened(viewer, tmp_path / "a.tif"))
    layer.data[layer.data == 7] = 255
    labels = layer.data.astype(np.int64)
    labels[labels == 255] = 4_000_000_000
    entry = (labels, *layer.as_layer_data_tuple()[1:])
    npe2.write(str(tmp_path / "a.gpkg"), [entry])
    assert sorted(geopandas.read_file(tmp_path / "a.gpkg")["id"]) == [2, 3, 4_000_000_000]
    npe2.write(str(tmp_path / "a.tif.tif"), [entry])
    with rasterio.open(tmp_path / "a.tif.tif") as file:
        np.testing.assert_array_equal(file.read(1), labels)
    for wrong in (-1, 2**32):
        labels[0, 0] = wrong
        with pytest.raises(OutputError, match=f"Label {wrong} cannot be written"):
            npe2.write(str(tmp_path / "a.gpkg"), [entry])


def test_labels_over_all_channels_are_one_label_image(tmp_path, viewer, said):
    write_tif(tmp_path / "a.tif", noise((20, 30, 40), np.uint16), ROTATED, photometric="MINISBLACK")
    layer = drawn_over(viewer, opened(viewer, tmp_path / "a.tif"))
    assert layer.data.shape == (20, 30, 40)
    layer.data[3, 20:25, 20:25] = 9
    save_layers(str(tmp_path / "labels.tif"), [layer])
    with rasterio.open(tmp_path / "a.tif") as image, rasterio.open(tmp_path / "labels.tif") as labels:
        assert labels.transform == image.transform
        np.testing.assert_array_equal(labels.read(1), layer.data.max(axis=0))
    assert not said


def test_labels_with_other_samples_lie_in_the_world_of_their_image(tmp_path, viewer, said):
    write_tif(tmp_path / "a.tif", noise((1, 30, 40), np.uint16), ROTATED)
    image = opened(viewer, tmp_path / "a.tif")
    half = np.diag([2.0, 2.0, 1.0])  # every other sample, placed with napari's own transforms
    layer = viewer.add_labels(np.zeros((15, 20), np.uint8), affine=image.affine.affine_matrix @ half, name="coarse")
    layer.data[3:6, 4:9] = 1
    save_layers(str(tmp_path / "labels.tif"), [layer])
    with rasterio.open(tmp_path / "labels.tif") as labels:
        assert labels.crs == "EPSG:32633"
        np.testing.assert_allclose(labels.xy(5, 7), ROTATED @ (14.5, 10.5), atol=1e-3)
    assert said == [f"coarse has other samples than the images here: it keeps its own, where it lies on {image.name}"]


def test_labels_of_a_moved_image_stay_on_its_samples(tmp_path, viewer, said):
    write_tif(tmp_path / "a.tif", noise((1, 30, 40), np.uint16), NORTH_UP)
    image = opened(viewer, tmp_path / "a.tif")
    image.translate = (1000, -3000)
    layer = drawn_over(viewer, image)
    save_layers(str(tmp_path / "labels.tif"), [layer])
    with rasterio.open(tmp_path / "labels.tif") as labels:
        assert labels.transform == NORTH_UP
    assert not said


def test_labels_on_nothing_are_in_samples_and_say_so(tmp_path, viewer, said):
    layer = viewer.add_labels(np.zeros((30, 40), np.uint8), scale=(2, 3), translate=(10, 20))
    paint(layer.data)
    save_layers(str(tmp_path / "labels.gpkg"), [layer])
    frame = geopandas.read_file(tmp_path / "labels.gpkg").set_index("id")
    assert frame.crs is None
    assert frame.loc[2].geometry.bounds == (20 + 3 * 3.5, 10 + 2 * 2.5, 20 + 3 * 11.5, 10 + 2 * 8.5)
    assert len(said) == 1
    assert "without a CRS" in said[0]


def test_what_does_not_fit_is_an_error_of_one_line(tmp_path, viewer):
    volume(tmp_path / "a.nrrd")
    layer = drawn_over(viewer, opened(viewer, tmp_path / "a.nrrd"))
    for name, text in [("a.gpkg", "3D: use .nii"), ("none/a.nrrd", "does not exist: create it with `mkdir -p")]:
        with pytest.raises(OutputError, match=text) as error:
            save_layers(str(tmp_path / name), [layer], plugin="promptile")
        assert "\n" not in str(error.value)


def test_a_file_that_is_there_is_replaced(run, tmp_path):
    (tmp_path / "a.gpkg").write_text("old")
    save_layers(str(tmp_path / "a.gpkg"), [run_labels(run)])
    assert len(geopandas.read_file(tmp_path / "a.gpkg")) == 3


def equal(ours, theirs):
    """Whether two sets of prompts say the same."""
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert (one.id, one.category) == (other.id, other.category)
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.points, other.points, atol=1e-4)
        assert (one.box is None) == (other.box is None)
        if one.box is not None:
            np.testing.assert_allclose(one.box, other.box, atol=1e-4)
    return True


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".csv"])
@pytest.mark.parametrize("kind", TRANSFORMS)
def test_points_and_boxes_come_back_as_prompts(tmp_path, viewer, said, kind, suffix):
    write_tif(tmp_path / "a.tif", noise((1, 30, 40), np.uint16), TRANSFORMS[kind])
    image = opened(viewer, tmp_path / "a.tif")
    grid = open_source(tmp_path / "a.tif").grid
    place = {"affine": image.affine.affine_matrix, "scale": image.scale, "translate": image.translate}
    points = viewer.add_points([(3, 4), (5, 6), (20, 30)], features={"object": [4, 4, 9], "label": [1, 0, 1]}, **place)
    boxes = [] if (kind, suffix) == ("rotated", ".csv") else [[(1, 2), (1, 9), (8, 9), (8, 2)]]
    layers = [points]
    if boxes:
        layers.append(viewer.add_shapes(boxes, features={"object": [4], "category": ["hut"]}, **place))
    (written,) = save_layers(str(tmp_path / f"prompts{suffix}"), layers)
    wanted = Prompts.of(points=[(3, 4), (5, 6), (20, 30)], labels=[1, 0, 1], objects=[1, 1, 2], boxes=[]).objects
    box = np.array([(1.0, 2.0), (8.0, 9.0)]) if boxes else None
    wanted = [replace(wanted[0], id=4, box=box, category="hut" if boxes else ""), replace(wanted[1], id=9)]
    assert equal(Prompts.read(written, grid), wanted)
    assert not said


@pytest.mark.parametrize("suffix", [".mrk.json", ".csv"])
def test_points_in_an_oblique_volume_come_back_as_prompts(tmp_path, viewer, suffix):
    image = volume(tmp_path / "a.nrrd")
    layer = opened(viewer, tmp_path / "a.nrrd")
    points = viewer.add_points([(3, 4, 5), (5, 6, 7)], scale=layer.scale, translate=layer.translate)
    (written,) = save_layers(str(tmp_path / f"prompts{suffix}"), [points])
    grid = open_source(tmp_path / "a.nrrd").grid
    assert equal(Prompts.read(written, grid), Prompts.of(points=[(3, 4, 5), (5, 6, 7)]))
    if suffix == ".mrk.json":
        place = json.loads((tmp_path / "prompts.mrk.json").read_text())["markups"][0]["controlPoints"][0]["position"]
        np.testing.assert_allclose(place, image.TransformIndexToPhysicalPoint((5, 4, 3)), atol=1e-4)


def test_marks_that_know_their_grid_need_no_image(tmp_path, viewer):
    write_tif(tmp_path / "a.tif", noise((1, 30, 40), np.uint16), ROTATED)
    grid = open_source(tmp_path / "a.tif").grid
    prompts = Prompts.of(points=[(3, 4), (5, 6)], labels=[1, 0], boxes=[[(1.5, 2.5), (9.5, 19.5)]], objects=[1, 1])
    placement = Placement.among([], grid)
    layers = [points_layer(prompts, "points", placement), boxes_layer(prompts, "boxes", placement)]
    npe2.write(str(tmp_path / "prompts.gpkg"), layers)
    assert equal(Prompts.read(tmp_path / "prompts.gpkg", grid), prompts)


def test_marks_are_of_the_image_that_they_lie_on(tmp_path, viewer):
    write_tif(tmp_path / "a.tif", noise((1, 30, 40), np.uint16), NORTH_UP)
    write_tif(tmp_path / "b.tif", noise((1, 30, 40), np.uint16), NORTH_UP @ Affine.translation(500, 500))
    first = opened(viewer, tmp_path / "a.tif")
    opened(viewer, tmp_path / "b.tif")
    points = viewer.add_points([(3, 4)], scale=first.scale, translate=first.translate)
    save_layers(str(tmp_path / "prompts.geojson"), [points])
    assert equal(
        Prompts.read(tmp_path / "prompts.geojson", open_source(tmp_path / "a.tif").grid), Prompts.of(points=[(3, 4)])
    )
    points.data = [(-90, -90)]
    with pytest.raises(PromptError, match="outside the image"):
        save_layers(str(tmp_path / "prompts.geojson"), [points])


def test_marks_over_other_images_are_in_samples_and_say_so(tmp_path, viewer, said):
    points = viewer.add_points([(7, 4)], scale=(2, 2))
    with pytest.raises(PromptError, match="open it, then save them again"):
        save_layers(str(tmp_path / "prompts.geojson"), [points])
    viewer.add_image(np.zeros((30, 40)), scale=(2, 2), name="plain")
    save_layers(str(tmp_path / "prompts.geojson"), [points])
    assert equal(Prompts.read(tmp_path / "prompts.geojson", Grid.of((30, 40))), Prompts.of(points=[(7, 4)]))
    assert said == ["plain was not opened by Promptile: coordinates are its samples, without a CRS"]
    with pytest.raises(OutputError, match=r"write \.geojson or \.csv"):
        save_layers(str(tmp_path / "prompts.gpkg"), [points])


def test_no_marks_are_an_error(tmp_path, viewer):
    viewer.add_image(np.zeros((30, 40)))
    with pytest.raises(OutputError, match="no prompts to write"):
        save_layers(str(tmp_path / "prompts.csv"), [viewer.add_points(ndim=2)])


@pytest.mark.parametrize("suffix", DICOM)
def test_labels_on_a_dicom_series_are_saved_as_dicom(viewer, tmp_path, suffix):
    pytest.importorskip("highdicom")
    said = {"0020|000d": "1.2.9", "0020|0052": "1.2.8", "0010|0020": "somebody"}
    write_series(tmp_path / "ct", right_handed((6, 20, 24)), tags=lambda i, _: said)
    layer = drawn_over(viewer, opened(viewer, tmp_path / "ct"))
    (path,) = save_layers(str(tmp_path / f"a{suffix}"), [layer])
    found = {structure.name: structure for structure in read_structures(Path(path), open_source(tmp_path / "ct").grid)}
    assert set(found) == {"object 2", "object 3", "object 7"}
    again = np.zeros(layer.data.shape, bool)
    again[found["object 2"].window.slices] = found["object 2"].samples
    np.testing.assert_array_equal(again, np.asarray(layer.data) == 2)


def test_labels_on_no_dicom_series_are_not_saved_as_dicom(viewer, tmp_path):
    volume(tmp_path / "a.nii.gz")
    layer = drawn_over(viewer, opened(viewer, tmp_path / "a.nii.gz"))
    with pytest.raises(OutputError, match=r"a\.nii\.gz is none: use \.seg\.nrrd"):
        save_layers(str(tmp_path / "a.seg.dcm"), [layer])
