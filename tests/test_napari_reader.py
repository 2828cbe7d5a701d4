"""Images and runs as napari layers: where they lie, what they show, what is read for it."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import PIL.Image
import pytest
import rasterio
import SimpleITK
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.enums import ColorInterp

pytest.importorskip("napari")

import napari
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from kinds import NORTH_UP, ROTATED, SOUTH_UP, noise, right_handed, write_series, write_tif
from perfect import Perfect
from promptile._napari import reader
from promptile._napari.images import Shown
from promptile._napari.layers import boxes_layer, labels_layer, points_layer
from promptile._napari.lazy import LazyArray
from promptile._napari.placement import KEY, Placement
from promptile.errors import PromptileError, SourceError
from promptile.grid import LPS, Grid, Window
from promptile.prompts import Prompts
from promptile.samples import sample
from promptile.segmentation import segment
from promptile.sources import open_source
from promptile.sources.image import ImageSource
from test_source_dicom import write_irregular

keys = st.one_of(st.integers(-4, 3), st.slices(5), st.just(slice(None)))


class Counted:
    """A read function that remembers what it was asked for."""

    def __init__(self, samples: np.ndarray) -> None:
        self.samples = samples
        self.windows: list[Window] = []

    def __call__(self, window: Window) -> np.ndarray:
        self.windows.append(window)
        return self.samples[window.slices]


@given(st.lists(st.tuples(keys, keys, keys) | st.tuples(keys) | st.just((Ellipsis, 0)), max_size=2))
def test_a_lazy_array_is_the_array(cuts):
    samples = np.arange(4 * 5 * 4).reshape(4, 5, 4)
    lazy = LazyArray(samples.shape, samples.dtype, Counted(samples))
    for cut in cuts:
        try:
            samples = samples[cut]
        except IndexError:
            with pytest.raises(IndexError):
                lazy[cut]
            return
        lazy = lazy[cut]
        assert (lazy.shape, lazy.ndim, lazy.size) == (samples.shape, samples.ndim, samples.size)
    np.testing.assert_array_equal(np.asarray(lazy), samples)


def test_a_lazy_array_reads_only_what_is_used_and_only_then():
    read = Counted(np.arange(1000).reshape(10, 10, 10))
    view = LazyArray((10, 10, 10), np.int64, read)[:, 2:5, 3:9][7]
    assert not read.windows
    assert np.asarray(view).shape == (3, 6)
    assert read.windows == [Window((7, 2, 3), (1, 3, 6))]


def test_a_lazy_array_takes_masks_and_lists():
    samples = np.arange(20).reshape(4, 5)
    lazy = LazyArray((4, 5), samples.dtype, Counted(samples))
    np.testing.assert_array_equal(lazy[samples > 7], samples[samples > 7])
    np.testing.assert_array_equal(lazy[[0, 2]], samples[[0, 2]])


def layers_of(path) -> list[Layer]:
    """What napari makes of a path, without a window."""
    return [Layer.create(*entry) for entry in reader.get_reader(str(path))(str(path))]


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED])
def test_rasters_lie_north_up_in_map_units(tmp_path, transform):
    write_tif(tmp_path / "a.tif", noise((1, 30, 40), np.uint16), transform)
    (layer,) = layers_of(tmp_path / "a.tif")
    x0, y0 = layer.metadata[KEY]["origin"]
    with rasterio.open(tmp_path / "a.tif") as dataset:
        for index in [(0, 0), (29, 0), (0, 39), (17, 5)]:
            x, y = dataset.xy(*index)  # of the centre
            np.testing.assert_allclose(layer.data_to_world(index), (y0 - y, x - x0), atol=1e-6)
    assert [str(unit) for unit in layer.units] == ["meter", "meter"]
    assert layer.axis_labels == ("y", "x")


def test_a_north_up_raster_needs_only_scale_and_translate(tmp_path):
    write_tif(tmp_path / "a.tif", noise((1, 30, 40), np.uint16), NORTH_UP)
    (layer,) = layers_of(tmp_path / "a.tif")
    np.testing.assert_array_equal(layer.scale, (0.5, 0.5))
    np.testing.assert_array_equal(layer.affine, np.eye(3))


def test_degrees_and_samples(tmp_path):
    write_tif(tmp_path / "a.tif", noise((1, 30, 40), np.uint16), Affine(1e-4, 0, 10, 0, -1e-4, 50), crs="EPSG:4326")
    assert [str(unit) for unit in layers_of(tmp_path / "a.tif")[0].units] == ["degree", "degree"]
    PIL.Image.fromarray(noise((30, 40), np.uint8)).save(tmp_path / "b.tif")
    (layer,) = layers_of(tmp_path / "b.tif")
    assert [str(unit) for unit in layer.units] == ["pixel", "pixel"]
    np.testing.assert_array_equal(layer.data_to_world((3, 4)), (3, 4))


def test_rasters_of_one_crs_lie_on_each_other(tmp_path):
    write_tif(tmp_path / "a.tif", noise((1, 30, 40), np.uint16), NORTH_UP)
    write_tif(tmp_path / "b.tif", noise((1, 30, 40), np.uint16), NORTH_UP @ Affine.translation(7, -3) @ Affine.scale(2))
    (first,) = layers_of(tmp_path / "a.tif")
    placement = Placement.among([first], open_source(tmp_path / "b.tif").grid)
    assert placement.origin == tuple(first.metadata[KEY]["origin"])
    # the corner between the first four samples of b is the corner of a's sample (-3, 7) plus two
    second = Image(np.zeros((30, 40)), **placement.attributes)
    np.testing.assert_allclose(second.data_to_world((0.5, 0.5)), first.data_to_world((-3 + 1.5, 7 + 1.5)))


def write_volume(path, direction, spacing=(0.8, 0.9, 2.5), origin=(-100.0, -120.0, 30.0), seed=0):
    image = SimpleITK.GetImageFromArray(noise((12, 14, 16), np.int16, seed))
    image.SetDirection(np.ravel(direction).tolist())
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    SimpleITK.WriteImage(image, str(path))
    return image


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_straight_volumes_lie_in_patient_millimetres(tmp_path, suffix, flips):
    image = write_volume(tmp_path / f"a{suffix}", np.diag(flips))
    (layer,) = layers_of(tmp_path / f"a{suffix}")
    for z, y, x in [(0, 0, 0), (11, 0, 0), (3, 13, 15)]:
        expected = image.TransformContinuousIndexToPhysicalPoint([float(x), float(y), float(z)])[::-1]
        np.testing.assert_allclose(layer.data_to_world((z, y, x)), expected, atol=1e-4)
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert layer.axis_labels == ("z", "y", "x")
    assert not layer.metadata[KEY]["straightened"]
    np.testing.assert_array_equal(np.asarray(layer.data), SimpleITK.GetArrayFromImage(image))


def rotation(degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def test_oblique_volumes_are_straightened_about_their_centre(tmp_path):
    image = write_volume(tmp_path / "a.nrrd", rotation(12))
    (layer,) = layers_of(tmp_path / "a.nrrd")
    np.testing.assert_allclose(layer.scale, (2.5, 0.9, 0.8), rtol=1e-6)
    middle = image.TransformContinuousIndexToPhysicalPoint([7.5, 6.5, 5.5])[::-1]
    np.testing.assert_allclose(layer.data_to_world((5.5, 6.5, 7.5)), middle, atol=1e-6)
    known = layer.metadata[KEY]
    assert known["straightened"]
    grid = Grid.of(known["grid"]["shape"], known["grid"]["affine"], known["grid"]["space"])
    corner = image.TransformContinuousIndexToPhysicalPoint([15.0, 13.0, 11.0])
    np.testing.assert_allclose(grid.to_world((11, 13, 15)), corner, atol=1e-6)


def test_sagittal_volumes_name_their_axes(tmp_path):
    write_volume(tmp_path / "a.nrrd", np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]]))
    (layer,) = layers_of(tmp_path / "a.nrrd")
    assert layer.axis_labels == ("x", "z", "y")
    assert not layer.metadata[KEY]["straightened"]


def test_oblique_volumes_are_cut_without_a_warning(tmp_path):
    write_volume(tmp_path / "a.nrrd", rotation(12))
    viewer = ViewerModel()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (layer,) = [viewer.add_layer(layer) for layer in layers_of(tmp_path / "a.nrrd")]
        for order in [(0, 1, 2), (1, 0, 2), (2, 0, 1)]:
            viewer.dims.order = order
            viewer.dims.set_current_step(order[0], 3)
            np.testing.assert_array_equal(layer._slice.image.raw, np.take(np.asarray(layer.data), 3, order[0]))


def write_scene(path, shape=(700, 900), dtype=np.uint16, transform=NORTH_UP, **options):
    """Red, green, blue and infrared; 20 rows without data."""
    samples = noise((4, *shape), dtype)
    samples[:, :20] = 0
    write_tif(path, samples, transform, nodata=0, **options)
    with rasterio.open(path, "r+") as target:
        target.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined]
    return samples


def test_a_scene_is_shown_in_colour_over_its_intensity_range(tmp_path):
    samples = write_scene(tmp_path / "a.tif")
    infrared, colour = layers_of(tmp_path / "a.tif")
    assert colour.rgb
    assert (infrared.visible, colour.visible) == (False, True)
    shown = np.asarray(colour.data)
    assert shown.shape == (700, 900, 4)
    np.testing.assert_array_equal(shown[..., 3], np.where(samples.any(axis=0), 255, 0))
    red = samples[0][20:]
    low, high = np.percentile(red, (2, 98))
    np.testing.assert_allclose(shown[20:, :, 0], ((red - low) / (high - low)).clip(0, 1) * 255, atol=0.6)
    np.testing.assert_allclose(infrared.contrast_limits, np.percentile(samples[3][20:], (2, 98)))


def test_eight_bits_are_shown_as_they_are(tmp_path):
    samples = write_scene(tmp_path / "a.tif", dtype=np.uint8)
    colour = layers_of(tmp_path / "a.tif")[-1]
    np.testing.assert_array_equal(np.asarray(colour.data)[20:, :, :3], np.moveaxis(samples[:3, 20:], 0, -1))


def test_many_channels_get_a_slider(tmp_path):
    samples = noise((20, 30, 40), np.uint16)
    write_tif(tmp_path / "a.tif", samples, ROTATED, photometric="MINISBLACK")
    (layer,) = layers_of(tmp_path / "a.tif")
    assert layer.axis_labels == ("channel", "y", "x")
    np.testing.assert_array_equal(np.asarray(layer.data[13]), samples[13])
    whole = Layer.create(np.zeros((30, 40)), Placement.among([], open_source(tmp_path / "a.tif").grid).attributes)
    np.testing.assert_allclose(layer.data_to_world((13, 5, 6)), (13, *whole.data_to_world((5, 6))))


def test_a_large_raster_is_shown_by_levels_and_hardly_read(tmp_path, monkeypatch):
    profile = {"driver": "GTiff", "width": 50_000, "height": 40_000, "count": 1, "dtype": "uint8"}
    options = {"tiled": True, "sparse_ok": True, "crs": "EPSG:32633", "transform": NORTH_UP}
    with rasterio.open(tmp_path / "a.tif", "w", **profile, **options):
        pass
    read = []
    real = ImageSource.read
    monkeypatch.setattr(ImageSource, "read", lambda self, w, *rest: read.append(w.size) or real(self, w, *rest))
    ((data, attributes, _),) = reader.read(str(tmp_path / "a.tif"))
    assert [level.shape for level in data[:2]] == [(40_000, 50_000), (20_000, 25_000)]
    assert data[-1].size <= 2**20
    assert sum(read) <= 2 * 2**20
    assert attributes["contrast_limits"][0] < attributes["contrast_limits"][1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    truth = np.zeros((600, 500), np.uint8)
    truth[100:300, 50:400] = 3
    truth[400:500, 100:200] = 7
    prompts = Prompts.of(points=[(200, 200), (450, 150)])
    place = tmp_path_factory.mktemp("run") / "fields.run.zarr"
    return segment(truth, prompts, model=Perfect(2), window=(0.0, 9.0), out=place)


def test_a_run_is_a_labels_layer_with_its_objects(run, monkeypatch):
    said = []
    monkeypatch.setattr(reader, "show_info", said.append)
    (layer,) = layers_of(run.path)
    assert said == ["fields.run.zarr was made from array, which is in no file: the labels are shown without it"]
    assert isinstance(layer, Labels)
    assert layer.name == "fields labels"
    np.testing.assert_array_equal(layer.data, run.labels[...])
    assert layer.features["index"].tolist() == [1, 2]
    layer.fill((0, 0), 9)
    assert run.labels[0, 0] == 0, "painting in napari must not change the run"


@pytest.fixture
def viewer_model(monkeypatch):
    """A viewer without a window, the one in use."""
    model = ViewerModel()
    monkeypatch.setattr(napari, "current_viewer", lambda: model)
    return model


def show(viewer, path):
    """The types of the layers that a path adds to a viewer."""
    entries = reader.read(str(path))
    for entry in entries:
        viewer.add_layer(Layer.create(*entry))
    return [kind for _, _, kind in entries]


@pytest.fixture
def scene_run(tmp_path):
    """A run over a file, in one folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    samples = np.zeros((2, 60, 50), np.uint8)
    samples[:, 10:30, 5:40] = 3
    write_tif(folder / "scene.tif", samples, ROTATED)
    options = {"model": Perfect(2), "window": (0.0, 9.0), "channels": [0]}
    return segment(folder / "scene.tif", Prompts.of(points=[(20, 20)]), out=folder / "scene.run.zarr", **options)


def test_a_run_brings_its_image(scene_run, viewer_model):
    assert show(viewer_model, scene_run.path) == ["image", "image", "labels"]
    *images, labels = viewer_model.layers
    assert all(image.metadata[KEY]["path"].endswith("scene.tif") for image in images)
    for index in [(0, 0), (59, 49), (12, 34)]:
        np.testing.assert_array_equal(labels.data_to_world(index), images[0].data_to_world(index))
    np.testing.assert_array_equal(labels.data > 0, np.asarray(images[0].data) == 3)


def test_a_run_does_not_bring_an_image_that_is_open(scene_run, viewer_model, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    show(viewer_model, "work/scene.tif")
    assert show(viewer_model, scene_run.path) == ["labels"]
    np.testing.assert_array_equal(
        viewer_model.layers[-1].data_to_world((3, 4)), viewer_model.layers[0].data_to_world((3, 4))
    )


def test_a_run_that_was_moved_with_its_image_brings_it(scene_run, viewer_model, tmp_path):
    (tmp_path / "work").rename(tmp_path / "moved")
    assert show(viewer_model, tmp_path / "moved" / "scene.run.zarr") == ["image", "image", "labels"]
    assert viewer_model.layers[0].metadata[KEY]["path"] == str(tmp_path / "moved" / "scene.tif")


def test_a_run_without_its_image_says_so(scene_run, viewer_model, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(reader, "show_info", said.append)
    (tmp_path / "work" / "scene.tif").rename(tmp_path / "elsewhere.tif")
    assert show(viewer_model, scene_run.path) == ["labels"]
    place = tmp_path / "work" / "scene.tif"
    assert said == [f"scene.run.zarr was made from scene.tif, which is not at {place}: the labels are shown without it"]
    show(viewer_model, tmp_path / "elsewhere.tif")
    assert show(viewer_model, scene_run.path) == ["labels"]
    assert len(said) == 1, "an image with the same samples is open"


def test_a_run_does_not_bring_another_image(scene_run, viewer_model, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(reader, "show_warning", said.append)
    write_tif(tmp_path / "work" / "scene.tif", noise((2, 60, 50), np.uint8), ROTATED)
    assert show(viewer_model, scene_run.path) == ["labels"]
    assert "is not what scene.run.zarr was made from, or has changed" in said[0]
    (tmp_path / "work" / "scene.tif").write_bytes(b"II*\0 and nothing else")
    assert show(viewer_model, scene_run.path) == ["labels"]
    assert said[1].startswith("The image of scene.run.zarr is not shown: scene.tif")


def test_large_labels_are_shown_by_levels(run, monkeypatch):
    monkeypatch.setattr("promptile._napari.layers.PAINTABLE", 1000)
    monkeypatch.setattr("promptile._napari.layers._WHOLE", {2: 100_000})
    data, _, _ = labels_layer(run, Placement.among([], run.grid))
    assert [level.shape for level in data] == [(600, 500), (300, 250)]
    np.testing.assert_array_equal(np.asarray(data[0][90:310, 40:60]), run.labels[90:310, 40:60])
    np.testing.assert_array_equal(np.asarray(data[1]), run.labels[...][1::2, 1::2])


def test_an_unfinished_run_says_so(run, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(reader, "show_warning", said.append)
    monkeypatch.setattr(type(run), "finished", False)
    reader.read(str(run.path))
    assert "not finished" in said[0]


def test_another_map_is_not_passed_over(tmp_path, monkeypatch):
    write_tif(tmp_path / "a.tif", noise((1, 30, 40), np.uint16), NORTH_UP)
    write_tif(tmp_path / "b.tif", noise((1, 30, 40), np.uint16), NORTH_UP, crs="EPSG:32634")
    said = []
    monkeypatch.setattr(reader, "show_warning", said.append)
    first = layers_of(tmp_path / "a.tif")
    monkeypatch.setattr(reader, "shown_layers", lambda: first)
    reader.read(str(tmp_path / "a.tif"))
    assert not said
    reader.read(str(tmp_path / "b.tif"))
    assert said == [
        "b.tif has WGS 84 / UTM zone 34N, a layer that is open has WGS 84 / UTM zone 33N: they do not overlay"
    ]


def test_metadata_is_json(tmp_path):
    write_tif(tmp_path / "a.tif", noise((2, 30, 40), np.uint16), ROTATED)
    for _, attributes, _ in reader.read(str(tmp_path / "a.tif")):
        known = json.loads(json.dumps(attributes["metadata"]))[KEY]
        grid = Grid.of(known["grid"]["shape"], known["grid"]["affine"], known["grid"]["space"])
        assert grid == open_source(tmp_path / "a.tif").grid
        assert known["path"] == str(tmp_path / "a.tif")


def test_prompts_lie_on_the_image(tmp_path):
    write_tif(tmp_path / "a.tif", noise((1, 30, 40), np.uint16), ROTATED)
    placement = Placement.among([], open_source(tmp_path / "a.tif").grid)
    prompts = Prompts.of(points=[(3, 4), (5, 6)], labels=[1, 0], boxes=[[(1.5, 2.5), (9.5, 19.5)]], objects=[1, 1])
    points = Layer.create(*points_layer(prompts, "points", placement))
    boxes = Layer.create(*boxes_layer(prompts, "boxes", placement))
    image = Layer.create(np.zeros((30, 40)), placement.attributes)
    assert points.features["label"].tolist() == [1, 0]
    assert [str(symbol) for symbol in points.symbol] == ["disc", "x"]
    for layer in (points, boxes):
        np.testing.assert_allclose(layer.data_to_world((3, 4)), image.data_to_world((3, 4)))
    np.testing.assert_array_equal(boxes.data[0][[0, 2]], [(1.5, 2.5), (9.5, 19.5)])


def test_what_is_not_ours_is_left_to_others(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"\x89PNG")
    (tmp_path / "a.txt").write_text("no image")
    assert reader.get_reader(str(tmp_path / "pictures")) is None
    assert reader.get_reader(str(tmp_path / "a.txt")) is None
    assert reader.get_reader([str(tmp_path / "a.tif"), str(tmp_path / "a.txt")]) is None


def test_what_is_ours_and_broken_is_an_error(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0 and nothing else")
    with pytest.raises(SourceError, match=r"a\.tif"):
        layers_of(tmp_path / "a.tif")
    (tmp_path / "b.run.zarr").mkdir()
    (tmp_path / "b.run.zarr" / "zarr.json").write_text("{}")
    with pytest.raises(PromptileError, match="not a run folder"):
        layers_of(tmp_path / "b.run.zarr")


def test_of_dicom_files_each_series_is_opened_once(tmp_path):
    for number, uid in enumerate(["1.2.3", "1.2.4"]):
        write_series(tmp_path / str(number), right_handed((5, 8, 9), seed=number), uid)
    folder = tmp_path / "both"
    folder.mkdir()
    for file in sorted(tmp_path.glob("[01]/*")):
        shutil.copy(file, folder / f"{file.parent.name}-{file.name}")
    layers = reader.read(sorted(map(str, folder.iterdir())))
    assert [data.shape for data, _, _ in layers] == [(5, 8, 9)] * 2
    first, second = (np.asarray(data) for data, _, _ in layers)
    assert (first != second).any()
    file = max(folder.iterdir())  # at an end of the series
    file.write_bytes(file.read_bytes()[:400])
    assert len(reader.read(sorted(map(str, folder.iterdir())))) == 2, "it is of a series that is open"
    with pytest.raises(SourceError, match=r"holds 2 series: .* open one of its files\. 1: CT .* in 0-"):
        reader.read(str(folder))


def test_what_cannot_be_looked_at_is_left_to_others(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(bytes(128) + b"DICM")
    assert reader.get_reader(str(tmp_path)) is not None

    def locked(*_):
        raise PermissionError

    monkeypatch.setattr(type(tmp_path), "open", locked)
    assert reader.get_reader(str(tmp_path)) is None


@pytest.mark.data
def test_a_dicom_folder_and_its_files_are_one_volume(shared):
    folder = shared / "med" / "totalseg_ct_dicom" / "dicom"
    files = sorted(map(str, folder.iterdir()))
    (whole,) = layers_of(folder)
    ((data, attributes, _),) = reader.read(files)
    assert data.shape == whole.data.shape == (len(files), 512, 512)
    np.testing.assert_array_equal(attributes["scale"], whole.scale)
    with pytest.raises(SourceError, match="open one of its folders"):
        layers_of(folder.parent)


@pytest.mark.parametrize("yes", [True, False])
def test_slices_that_form_no_grid_are_interpolated_if_the_user_agrees(tmp_path, monkeypatch, yes):
    write_irregular(tmp_path / "ct", lambda i: (0, i * 3 * np.tan(np.radians(12)), 0))
    with pytest.raises(SourceError, match="tilted gantry"):
        reader.read(str(tmp_path / "ct"))
    asked = []
    monkeypatch.setattr(reader, "has_window", lambda: True)
    monkeypatch.setattr(reader, "agree", lambda *said: asked.append(said) or yes)
    (layer,) = reader.read(str(tmp_path / "ct"))
    ((finding, question),) = asked
    assert "tilted gantry (12.0°)" in finding
    assert "--resample" not in finding + question
    if not yes:
        assert layer == reader.NOTHING
        return
    source = open_source(tmp_path / "ct", resample=True)
    data, attributes, _ = layer
    assert data.shape == source.grid.shape
    assert attributes["metadata"][KEY]["resample"] is True
    shown = Shown.of(ViewerModel(), Layer.create(*layer))
    np.testing.assert_array_equal(shown.source.read(source.grid.window), source.read(source.grid.window))


@pytest.fixture
def viewer(make_napari_viewer, npe2pm):
    """A window in which only this plugin is there."""
    with npe2pm.tmp_plugin(package="promptile"):
        yield make_napari_viewer(show=True)


@pytest.mark.window
def test_samples_in_a_window(viewer):
    viewer.open_sample("promptile", "scene")
    assert {type(layer).__name__ for layer in viewer.layers} == {"Image", "Shapes", "Points"}
    grid = open_source(sample("scene.tif")).grid
    with rasterio.open(sample("scene.tif")) as dataset:
        left, bottom, right, top = dataset.bounds
    for layer in viewer.layers:
        x0, y0 = layer.metadata[KEY]["origin"]
        low, high = layer.extent.world
        assert (low >= (y0 - top, left - x0)).all()
        assert (high <= (y0 - bottom, right - x0)).all()
        if isinstance(layer, Image):
            half = np.divide(grid.spacing, 2)
            np.testing.assert_allclose(low - half, (y0 - top, left - x0), atol=1e-6)
            np.testing.assert_allclose(high + half, (y0 - bottom, right - x0), atol=1e-6)
    assert len(np.unique(viewer.screenshot(flash=False).reshape(-1, 4), axis=0)) > 100
    viewer.layers.clear()

    viewer.open_sample("promptile", "volume")
    grid = open_source(sample("volume.nii.gz")).grid
    image = viewer.layers[0]
    assert grid.space == LPS
    middle = np.subtract(grid.shape, 1) / 2
    np.testing.assert_allclose(image.data_to_world(middle), grid.to_world(middle)[::-1])
    np.testing.assert_allclose(np.ptp(image.extent.world, axis=0), np.multiply(grid.spacing, 2 * middle))
    points = viewer.layers[1]
    assert (points.extent.world[0] >= image.extent.world[0]).all()
    assert (points.extent.world[1] <= image.extent.world[1]).all()
    viewer.dims.ndisplay = 3
    assert len(np.unique(viewer.screenshot(flash=False).reshape(-1, 4), axis=0)) > 20


@pytest.mark.window
def test_a_window_reads_what_it_shows(viewer, tmp_path, monkeypatch):
    write_scene(tmp_path / "a.tif", (5001, 6003), transform=Affine(0.5, 0, 5e5, 0, -0.5, 45e5))
    viewer.open(tmp_path / "a.tif", plugin="promptile")
    colour = viewer.layers[-1]
    read = []
    real = ImageSource.read

    def counted(source, window, level=0, channels=None):
        read.append((window, level))
        return real(source, window, level, channels)

    monkeypatch.setattr(ImageSource, "read", counted)
    viewer.scene.camera.center = (0, *colour.data_to_world((2500, 3000)))
    viewer.scene.camera.zoom = 20
    viewer.screenshot(flash=False)
    assert colour.data_level == 0
    assert {level for _, level in read} == {0}
    assert max(window.size for window, _ in read) < 1_000_000
    assert any(window.holds(np.array([[2500, 3000]])).all() for window, _ in read)
