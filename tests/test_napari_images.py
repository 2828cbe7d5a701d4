"""Layers of a viewer and the images behind them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("napari")

import dask.array as da
import zarr
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from kinds import NORTH_UP, ROTATED, noise, write_tif
from promptile._napari import reader
from promptile._napari.images import Shown, hidden_axes, level_seen, source_of, view_window
from promptile._napari.placement import KEY, Placement
from promptile.errors import SourceError
from promptile.grid import LPS, PIXELS, Grid, Window
from promptile.sources import open_source
from promptile.sources.arrays import ArraySource

FOUND = (Phase.explicit, Phase.reuse, Phase.generate)
"""Layers are too slow for making an example that failed smaller."""


def viewer_of(path) -> ViewerModel:
    viewer = ViewerModel()
    for entry in reader.read(str(path)):
        viewer.add_layer(Layer.create(*entry))
    return viewer


def everything(source) -> np.ndarray:
    return source.read(source.grid.window)


def test_all_layers_of_a_file_are_the_file(tmp_path):
    samples = noise((3, 30, 40), np.uint16)
    write_tif(tmp_path / "a.tif", samples, ROTATED, photometric="MINISBLACK")
    viewer = viewer_of(tmp_path / "a.tif")
    assert len(viewer.layers) == 3
    for layer in viewer.layers:
        shown = Shown.of(viewer, layer)
        assert shown.source.identity == open_source(tmp_path / "a.tif").identity
        assert shown.grid == open_source(tmp_path / "a.tif").grid
        np.testing.assert_array_equal(everything(shown.source), samples)


def test_a_file_that_is_gone_or_another_is_an_error(tmp_path):
    write_tif(tmp_path / "a.tif", noise((1, 30, 40), np.uint16), NORTH_UP)
    (layer,) = viewer_of(tmp_path / "a.tif").layers
    write_tif(tmp_path / "a.tif", noise((1, 31, 40), np.uint16), NORTH_UP)
    with pytest.raises(SourceError, match="has changed"):
        source_of(layer)
    (tmp_path / "a.tif").unlink()
    with pytest.raises(SourceError, match="does not exist"):
        source_of(layer)


def test_what_was_made_of_a_file_is_not_the_file(tmp_path):
    samples = noise((1, 30, 40), np.uint16)
    write_tif(tmp_path / "a.tif", samples, ROTATED)
    (opened,) = viewer_of(tmp_path / "a.tif").layers
    placed = {"affine": opened.affine, "metadata": opened.metadata}
    source = source_of(Image(np.asarray(opened.data) // 2, **placed))
    np.testing.assert_array_equal(everything(source), samples // 2)
    assert source.grid == open_source(tmp_path / "a.tif").grid
    smaller = source_of(Image(samples[0, :20], **placed))
    assert smaller.grid == Grid.of((20, 40)), "its metadata speaks of another shape"


VOLUME = noise((20, 30, 40), np.uint16)


@pytest.mark.parametrize("make", [np.asarray, da.from_array, zarr.array])
@pytest.mark.parametrize("shape", [(30, 40), (20, 30, 40)])
def test_arrays_of_any_kind(make, shape):
    samples = VOLUME[0] if len(shape) == 2 else VOLUME
    source = source_of(Image(make(samples), contrast_limits=(0, 1)))
    expected = ArraySource(samples)
    assert (source.grid, source.levels, source.dtype) == (expected.grid, expected.levels, expected.dtype)
    window = Window.between([n // 3 for n in shape], [n // 2 for n in shape])
    np.testing.assert_array_equal(source.read(window), expected.read(window))


def test_levels_are_means_of_level_0_whatever_the_layer_shows():
    samples = noise((600, 700), np.uint16)
    layer = Image([da.from_array(samples), samples[::2, ::2]], multiscale=True, contrast_limits=(0, 1))
    source, expected = source_of(layer), ArraySource(samples)
    assert source.grid.shape == (600, 700)
    whole = source.grid.coarsen(source.levels[1]).window
    np.testing.assert_array_equal(source.read(whole, 1), expected.read(whole, 1))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_are_channels(dtype, channels):
    samples = noise((30, 40, channels), np.uint8)
    samples[:5, ..., 2:] = 0
    source = source_of(Image((samples / 255).astype(dtype) if dtype == np.float32 else samples, rgb=True))
    assert source.channels == ("red", "green", "blue", "alpha")[:channels]
    assert source.grid.shape == (30, 40)
    assert everything(source).shape == (channels, 30, 40)
    valid = source.valid(source.grid.window)
    np.testing.assert_array_equal(valid, samples[..., 3] > 0 if channels == 4 else np.ones((30, 40), bool))


def test_yes_and_no_are_samples():
    assert everything(source_of(Image(VOLUME[0] > 9))).dtype == np.uint8


def test_time_and_channels_are_read_where_the_sliders_are():
    viewer = ViewerModel()
    stack = viewer.add_image(VOLUME, axis_labels=("channel", "y", "x"), scale=(5, 1, 1))
    film = viewer.add_image(noise((4, 6, 30, 40), np.uint8))
    viewer.dims.set_point(1, 5 * 7)
    shown = Shown.of(viewer, stack)
    assert (shown.fixed, shown.grid.shape) == ((7,), (30, 40))
    np.testing.assert_array_equal(everything(shown.source)[0], VOLUME[7])
    viewer.dims.set_point(0, 2)
    shown = Shown.of(viewer, film)
    assert (shown.fixed, shown.grid.shape) == ((2,), (6, 30, 40))
    np.testing.assert_array_equal(everything(shown.source)[0], film.data[2])


def test_layers_that_are_no_image():
    with pytest.raises(SourceError, match="Labels layer: choose an image layer"):
        source_of(Labels(np.zeros((5, 5), int)))
    with pytest.raises(SourceError, match="y, x, time: needed are two or three axes of space"):
        source_of(Image(VOLUME, axis_labels=("y", "x", "time")))
    with pytest.raises(SourceError, match="time, x: needed are two or three axes of space"):
        source_of(Image(VOLUME[0], axis_labels=("time", "x")))


def test_an_image_is_known_by_its_content():
    samples = noise((3000, 2000), np.uint16)  # so many that only some count
    one, other = source_of(Image(samples, name="a")), source_of(Image(samples.copy(), name="b"))
    assert one.identity == other.identity, "a new name makes no new image"
    assert source_of(Image(samples + 1)).identity != one.identity
    assert source_of(Image(samples[:, :-1])).identity != one.identity


def test_a_large_array_is_read_only_where_it_is_looked_at():
    read = []

    def block(block_info=None):
        read.append(block_info[None]["chunk-location"])
        return np.zeros((16, 600, 600), np.uint8)

    large = da.map_blocks(block, chunks=((16,) * 250, 600, 600), dtype=np.uint8, meta=np.zeros((0, 0, 0), np.uint8))
    source = source_of(Image(large, contrast_limits=(0, 1)))
    assert source.grid.shape == (4000, 600, 600)
    read.clear()
    source.read(Window((1000, 500, 3), (20, 30, 300)))
    assert len(read) == 2
    read.clear()
    assert source.identity
    assert len(read) <= 16 * 5


transforms = st.fixed_dictionaries(
    {
        "scale": st.tuples(*[st.floats(0.1, 10)] * 3),
        "translate": st.tuples(*[st.floats(-1e4, 1e4)] * 3),
        "rotate": st.floats(-180, 180),
    }
)


@settings(max_examples=30, deadline=None, phases=FOUND)
@given(transforms, st.sampled_from([2, 3]), st.lists(st.floats(-10, 50), min_size=3, max_size=3))
def test_places_go_through_any_transform(transform, ndim, place):
    """Whatever was done to a layer, places are where napari says they are."""
    angle = np.deg2rad(transform["rotate"])
    turned = np.eye(4)
    turned[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    labels = ("channel", "y", "x") if ndim == 2 else ("z", "y", "x")
    layer = Image(VOLUME, axis_labels=labels, scale=transform["scale"], translate=transform["translate"], affine=turned)
    viewer = ViewerModel()
    viewer.add_layer(layer)
    shown = Shown.of(viewer, layer)
    assert shown.grid.ndim == ndim
    world = shown.to_world(place[-ndim:])
    np.testing.assert_allclose(world[0], layer.data_to_world([*shown.fixed, *place[-ndim:]]), atol=1e-6)
    np.testing.assert_allclose(shown.to_index(world)[0], place[-ndim:], atol=1e-6)
    np.testing.assert_allclose(shown.to_index(np.hstack([[[9.0]], world])), shown.to_index(world))


def look_at(viewer, centre, zoom, size=(400, 600)):
    viewer.canvas.size = size
    viewer.scene.camera.center = (0, *centre)
    viewer.scene.camera.zoom = zoom


def test_the_view_of_an_image():
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((1000, 2000), np.uint8), scale=(0.5, 0.5))
    look_at(viewer, (100, 300), 4.0)  # 100 x 150 in the world, 200 x 300 samples
    shown = Shown.of(viewer, layer)
    assert view_window(viewer, shown) == Window.between((100, 450), (301, 751))
    assert hidden_axes(viewer, shown) == ()
    look_at(viewer, (0, 0), 4.0)
    assert view_window(viewer, shown) == Window.between((0, 0), (101, 151))
    look_at(viewer, (-500, 0), 4.0)
    assert view_window(viewer, shown).empty


@pytest.mark.parametrize(("zoom", "level"), [(50, 0), (2, 0), (1, 1), (0.5, 2), (0.27, 3), (0.001, 4)])
def test_the_level_that_is_seen(zoom, level):
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((3000, 4000), np.uint8), scale=(0.5, 0.5))
    look_at(viewer, (0, 0), zoom)
    shown = Shown.of(viewer, layer)
    assert len(shown.source.levels) == 5
    assert level_seen(viewer, shown) == level


def test_the_view_of_a_turned_raster_holds_all_that_is_seen(tmp_path):
    write_tif(tmp_path / "a.tif", noise((1, 300, 400), np.uint16), ROTATED)
    viewer = viewer_of(tmp_path / "a.tif")
    shown = Shown.of(viewer, viewer.layers[0])
    centre = shown.to_world([(150, 200)])[0]
    viewer.canvas.size = (100, 100)
    look_at(viewer, centre, 4 / shown.grid.spacing[0], (100, 100))
    window = view_window(viewer, shown)
    corners = shown.to_index(centre + np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * 12.5 * shown.grid.spacing[0])
    assert window.holds(0.99 * (corners - corners.mean(axis=0)) + corners.mean(axis=0)).all()
    assert (window.shape <= np.ptp(corners, axis=0) + 3).all()


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1), (1, 2, 0)])
def test_the_view_of_a_volume_is_the_slice_that_is_seen(order):
    viewer = ViewerModel()
    layer = viewer.add_image(VOLUME, scale=(3, 1, 0.5), translate=(10, 20, 30))
    viewer.dims.order = order
    viewer.dims.set_current_step(order[0], 4)
    shown = Shown.of(viewer, layer)
    assert hidden_axes(viewer, shown) == (order[0],)
    across = np.array(layer.scale)[list(order[1:])]
    middle = np.array([10, 15, 20])[list(order[1:])]
    centre = (np.array(layer.translate) + np.array([10, 15, 20]) * layer.scale)[list(order[1:])]
    look_at(viewer, centre, 10, tuple((10 * across * 8).astype(int)))
    window = view_window(viewer, shown)
    assert (window.start[order[0]], window.shape[order[0]]) == (4, 1)
    assert [window.start[axis] for axis in order[1:]] == (middle - 4).tolist()
    assert [window.shape[axis] for axis in order[1:]] == [9, 9]
    np.testing.assert_array_equal(np.take(VOLUME, 4, order[0]), layer._slice.image.raw.transpose(*_untransposed(order)))
    viewer.dims.ndisplay = 3
    assert view_window(viewer, shown) == shown.grid.window


def _untransposed(order):
    return (0, 1) if order[1] < order[2] else (1, 0)


def test_an_oblique_volume_is_seen_by_index():
    angle = np.deg2rad(20)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1], [np.sin(angle), np.cos(angle), 0], [np.cos(angle), -np.sin(angle), 0]]) * 2
    grid = Grid.of(VOLUME.shape, affine, LPS)
    placement = Placement.among([], grid)
    assert placement.straightened
    viewer = ViewerModel()
    layer = viewer.add_image(VOLUME, **placement.attributes, metadata={KEY: placement.to_json()})
    shown = Shown.of(viewer, layer)
    assert shown.grid == grid
    viewer.dims.set_current_step(0, 13)
    assert view_window(viewer, shown).start[0] == 13
    np.testing.assert_allclose(shown.to_index(shown.to_world([(3, 4, 5)])), [(3, 4, 5)])


def test_a_slider_of_channels_is_no_axis_of_the_image(tmp_path):
    samples = noise((20, 30, 40), np.uint16)
    write_tif(tmp_path / "a.tif", samples, NORTH_UP, photometric="MINISBLACK")
    viewer = viewer_of(tmp_path / "a.tif")
    viewer.dims.set_current_step(0, 6)
    shown = Shown.of(viewer, viewer.layers[0])
    assert shown.fixed == (6,)
    assert len(shown.source.channels) == 20, "it is the file"
    assert view_window(viewer, shown).ndim == 2
    assert hidden_axes(viewer, shown) == ()
    assert shown.grid.space != PIXELS


@pytest.mark.window
def test_the_view_is_what_napari_reads(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    samples = np.zeros((4000, 5000), np.uint8)
    layer = viewer.add_image([samples, samples[::2, ::2], samples[::4, ::4]], multiscale=True, scale=(0.5, 0.5))
    shown = Shown.of(viewer, layer)
    for zoom, centre in [(4.0, (700, 800)), (1.1, (900, 1000)), (9.0, (1500, 2000))]:
        viewer.scene.camera.center = (0, *centre)
        viewer.scene.camera.zoom = zoom
        viewer.screenshot(flash=False)
        window = view_window(viewer, shown)
        factor = 2**layer.data_level
        corners = layer.corner_pixels * factor
        assert (np.abs(corners[0] - window.start) <= 2 * factor).all()
        assert (np.abs(corners[1] - window.stop) <= 2 * factor).all()
