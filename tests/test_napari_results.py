"""The labels of a run and the preview in a viewer: what is drawn anew, what is painted, where it lies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("napari")

from napari.components import ViewerModel
from napari.layers import Image, Labels

from perfect import Perfect
from promptile._napari import coarse, layers, paintable, results, sketch
from promptile._napari.coarse import Pyramid
from promptile._napari.paintable import Paintable
from promptile._napari.placement import KEY, Placement
from promptile._napari.preview import PreviewLayer
from promptile._napari.redraw import redraw
from promptile._napari.results import ResultLayer
from promptile._napari.sketch import Sketch
from promptile._napari.transforms import moved, placing
from promptile.errors import UsageError
from promptile.grid import Grid, Window
from promptile.masks import ObjectMask
from promptile.session import Session
from promptile.sources import levels

MAP = [[0.5, 0, 4e5], [0, -0.5, 5e6], [0, 0, 1]]
TURNED = [[0.4, 0.3, 4e5], [0.3, -0.4, 5e6], [0, 0, 1]]


class FakeRun:
    """What a viewer needs of a run: its labels and where they are."""

    def __init__(self, labels, affine=None, space="pixels") -> None:
        self.stored = np.array(labels, np.uint32)
        matrix = None if affine is None else np.asarray(affine, float)[:, [1, 0, 2]]
        self.grid = Grid.of(self.stored.shape, matrix, space)
        self.name, self.path = "town.run.zarr", "town.run.zarr"
        self.reads: list[Window] = []

    def read_labels(self, window: Window) -> np.ndarray:
        self.reads.append(window)
        return self.stored[window.slices]

    def write(self, strokes) -> None:
        for stroke in strokes:
            changed = stroke.before != stroke.after
            self.stored[stroke.window.slices][changed] = stroke.after[changed]


def coarse_labels(run, factors, window):
    middles = [
        np.minimum(np.arange(a, a + n) * f + f // 2, whole - 1)
        for a, n, f, whole in zip(window.start, window.shape, factors, run.grid.shape, strict=True)
    ]
    return run.stored[np.ix_(*middles)]


class Jobs(list):
    """Work that is done when the test says so."""

    def __call__(self, work, then) -> None:
        self.append((work, then))

    def finish(self) -> int:
        done = 0
        while self:
            work, then = self.pop(0)
            then(work())
            done += 1
        return done


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Everything is large here."""
    monkeypatch.setattr(results, "PAINTABLE", 2000)
    monkeypatch.setattr(results, "EDITED", 500)
    monkeypatch.setattr(results, "coarse_labels", coarse_labels)
    monkeypatch.setattr(levels, "FINEST_ENOUGH", {2: 16, 3: 8})
    monkeypatch.setattr(layers, "_WHOLE", {2: 300, 3: 2000})
    monkeypatch.setattr(paintable, "LABEL_SIDE", {2: 16, 3: 8})
    monkeypatch.setattr(coarse, "_SIDE", {2: 16, 3: 8})
    monkeypatch.setattr(coarse, "_AT_ONCE", 2**10)
    monkeypatch.setattr(sketch, "SHOWN", {2: 400, 3: 1000})


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 4, shape)


def show(run, viewer=None, **options):
    viewer = viewer or ViewerModel()
    jobs = Jobs()
    return viewer, ResultLayer(viewer, run, Placement.among([], run.grid), jobs, **options), jobs


def seen(layer):
    return np.asarray(layer._slice.image.raw)


def test_the_layer_lies_where_the_image_does():
    run = FakeRun(noise((30, 40)), TURNED, "EPSG:32632")
    _viewer, result, _ = show(run)
    placement = Placement.among([], run.grid)
    image = Image(np.zeros((30, 40)), **placement.attributes)
    np.testing.assert_allclose(result.layer.data_to_world((7, 9)), image.data_to_world((7, 9)))
    assert result.layer.name == "town labels"
    assert result.layer.metadata[KEY]["path"] == "town.run.zarr"
    assert result.layer.units == image.units


def test_new_layers_lie_below_marks_and_select_nothing():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((30, 40)))
    points = viewer.add_points(np.zeros((1, 2)))
    _, result, _ = show(FakeRun(noise((30, 40))), viewer)
    shown = PreviewLayer(viewer)
    shown.show(Sketch.of(disc((30, 40))), {}, Window.of((30, 40)))
    assert list(viewer.layers)[1:] == [result.layer, shown.layer, points]
    assert viewer.layers.selection.active is points
    assert set(viewer.layers.selection) == {points}


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_a_part_of_a_volume_is_drawn_anew_in_any_orientation(order):
    run = FakeRun(noise((9, 10, 11)))
    viewer, result, _ = show(run)
    viewer.dims.order = order
    viewer.dims.set_current_step(order[0], 4)
    refreshed = []
    result.layer.events.set_data.connect(refreshed.append)
    window = Window((2, 1, 3), (5, 6, 4))
    run.stored[window.slices] = 7
    result.refresh(window)
    expected = np.take(run.stored, 4, order[0])
    np.testing.assert_array_equal(seen(result.layer), expected if order[1] < order[2] else expected.T)
    np.testing.assert_array_equal(result.layer._slice.image.view, result.layer._raw_to_displayed(seen(result.layer)))
    assert not refreshed


def test_only_what_changed_is_sent_to_the_screen():
    run = FakeRun(noise((30, 40)))
    _viewer, result, _ = show(run)
    sent = []
    result.layer.events.labels_update.connect(lambda e: sent.append((tuple(e.offset), e.data.shape)))
    result.refresh(Window((25, 30), (10, 5)))
    assert sent == [((25, 30), (5, 5))]
    result.layer.contour = 2
    result.refresh(Window((10, 10), (5, 5)))
    assert sent[1:] == [((8, 8), (9, 9))]
    np.testing.assert_array_equal(result.layer._slice.image.view, result.layer._raw_to_displayed(seen(result.layer)))


def test_another_slice_and_a_hidden_layer_are_not_drawn():
    run = FakeRun(noise((9, 10, 11)))
    viewer, result, _ = show(run)
    viewer.dims.set_current_step(0, 2)
    sent = []
    result.layer.events.labels_update.connect(sent.append)
    result.refresh(Window((3, 0, 0), (6, 10, 11)))
    result.layer.visible = False
    run.stored[:] = 9
    result.refresh(run.grid.window)
    assert not sent
    result.layer.visible = True
    assert (seen(result.layer) == 9).all()


def test_beside_the_volume_there_is_nothing_to_draw():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((40, 10, 11)))
    run = FakeRun(noise((9, 10, 11)))
    _, result, _ = show(run, viewer)
    viewer.dims.set_current_step(0, 30)
    result.refresh(run.grid.window)
    viewer.dims.set_current_step(0, 3)
    np.testing.assert_array_equal(seen(result.layer), run.stored[3])


def test_where_naparis_insides_are_others_the_layer_is_refreshed(monkeypatch):
    labels = Labels(Paintable((30, 40), lambda w: np.full(w.shape, 5)))
    refreshed = []
    monkeypatch.setattr(labels, "refresh", lambda **_: refreshed.append(1))
    monkeypatch.setattr(Labels, "_raw_to_displayed", None)
    redraw(labels, Window((0, 0), (3, 3)))
    assert refreshed


def test_what_is_painted_comes_out_and_back():
    run = FakeRun(noise((9, 10, 11)))
    viewer, result, _ = show(run)
    heard = []
    result.painted.connect(lambda: heard.append(1))
    viewer.dims.set_current_step(0, 4)
    result.layer.brush_size = 3
    result.layer.paint((4, 5, 5), 8)
    strokes = result.taken()
    assert heard
    assert [s.window for s in strokes] == [Window((4, 4, 4), (1, 3, 3))]
    run.write(strokes)
    for stroke in strokes:
        result.refresh(stroke.window)
    np.testing.assert_array_equal(seen(result.layer), run.stored[4])
    result.layer.undo()
    result.layer.redo()
    result.layer.undo()
    (stroke,) = result.taken()
    assert (stroke.before == 8).all()


def test_sessions_changes_leave_no_trace_in_naparis_history():
    run = FakeRun(noise((30, 40)))
    _viewer, result, _ = show(run)
    run.stored[:] = 9
    result.refresh(run.grid.window)
    assert result.taken() == []
    result.layer.undo()
    assert result.taken() == []
    assert (seen(result.layer) == 9).all()


def test_hand_and_model_at_one_place():
    run = FakeRun(np.zeros((30, 40)))
    _viewer, result, _ = show(run)
    result.layer.brush_size = 5
    result.layer.paint((10, 10), 3)
    run.stored[5:12, 5:12] = 6  # accepted meanwhile
    result.refresh(Window((5, 5), (7, 7)))
    assert seen(result.layer)[10, 10] == 3
    assert seen(result.layer)[6, 6] == 6
    (stroke,) = result.taken()
    run.write([stroke])
    assert run.stored[10, 10] == 3
    assert run.stored[6, 6] == 6


def test_large_rasters_are_read_elsewhere_from_afar():
    run = FakeRun(noise((100, 120)), MAP, "EPSG:32632")
    _viewer, result, jobs = show(run)
    assert result.layer.multiscale
    assert not result.layer.editable
    assert not seen(result.layer).any()
    assert jobs.finish() > 1
    count = len(result.layer.data)
    for level in range(1, count):
        factors = tuple(np.rint(result.layer.downsample_factors[level]).astype(int))
        result.layer.data_level = level
        jobs.finish()
        whole = Window.of(result.layer.data[level].shape)
        np.asarray(result.layer.data[level])
        result.layer.refresh()
        jobs.finish()
        np.testing.assert_array_equal(np.asarray(result.layer.data[level]), coarse_labels(run, factors, whole))
    run.stored[20:60, 30:70] = 9
    result.refresh(Window((20, 30), (40, 40)))
    jobs.finish()
    for level in range(count):
        factors = (1, 1) if not level else result._pyramid.levels[level - 1].factors
        whole = Window.of(result.layer.data[level].shape)
        np.testing.assert_array_equal(np.asarray(result.layer.data[level]), coarse_labels(run, factors, whole))
    assert (seen(result.layer) == 9).any()


def test_a_pyramid_forgets_what_nobody_looks_at(monkeypatch):
    monkeypatch.setattr(coarse, "_BLOCKS", 4)
    run, jobs, filled = FakeRun(noise((200, 200))), Jobs(), []

    def note(level, window):
        filled.append(window)

    pyramid = Pyramid((200, 200), [(2, 2), (16, 16)], lambda f, w: coarse_labels(run, f, w), note, jobs)
    fine = pyramid.levels[0]
    for y in range(0, 100, 10):
        fine.read(Window((y, y), (10, 10)))
    pyramid.go_on()
    jobs.finish()
    assert len(fine._blocks) <= 4
    assert all(window.size * 4 <= 2**10 for window in filled if window in Window.of((100, 100)))
    np.testing.assert_array_equal(
        fine.read(Window((90, 90), (10, 10))), coarse_labels(run, (2, 2), Window((90, 90), (10, 10)))
    )
    fine.read(Window((0, 0), (10, 10)))
    pyramid.close()
    pyramid.go_on()
    assert not jobs


def test_a_part_of_a_large_raster_is_painted_in_its_place():
    run = FakeRun(noise((100, 120)), TURNED, "EPSG:32632")
    viewer, result, jobs = show(run)
    jobs.finish()
    result.layer.translate = (3, 4)  # by the user
    edited = result.edit(Window((90, 30), (40, 20)))
    np.testing.assert_allclose(edited.data_to_world((2, 3)), result.layer.data_to_world((92, 33)))
    np.testing.assert_array_equal(np.asarray(edited.data), run.stored[90:100, 30:50])
    assert not np.asarray(result.layer.data[0])[90:100, 30:50].any()
    edited.brush_size = 3
    edited.paint((5, 5), 8)
    edited.fill((0, 0), 11)
    edited.undo()
    run.stored[92:, 40:] = 9
    result.refresh(Window((92, 40), (8, 80)))
    np.testing.assert_array_equal(seen(edited)[2:, 12:], 9)
    again = result.edit(Window((0, 0), (10, 10)))
    assert edited not in viewer.layers
    assert again in viewer.layers
    (stroke,) = result.taken()
    assert stroke.window == Window((94, 34), (3, 3))
    run.write([stroke])
    result.refresh(stroke.window)
    result.stop_editing()
    np.testing.assert_array_equal(np.asarray(result.layer.data[0]), run.stored)
    with pytest.raises(UsageError, match="zoom in"):
        result.edit(Window((0, 0), (100, 100)))


def test_large_volumes_are_coarse_in_3d_and_fine_again_in_slices():
    run = FakeRun(noise((21, 20, 22)))
    viewer, result, jobs = show(run)
    viewer.dims.set_current_step(0, 13)
    point, steps = viewer.dims.point, viewer.dims.nsteps
    run.reads.clear()
    viewer.dims.ndisplay = 3
    assert not run.reads
    assert not result.layer.editable
    assert jobs.finish() > 1
    factors = result._pyramid.levels[0].factors
    whole = Window.of(np.asarray(result.layer.data).shape)
    np.testing.assert_array_equal(seen(result.layer), coarse_labels(run, factors, whole))
    np.testing.assert_allclose(result.layer.data_to_world((0, 0, 0)), (np.array(factors) - 1) / 2)
    np.testing.assert_allclose(Image(np.zeros((2, 2, 2)), **result.place).data_to_world((1, 2, 3)), (1, 2, 3))
    run.stored[4:9, 3:12, 1:9] = 9
    result.refresh(Window((4, 3, 1), (5, 9, 8)))
    jobs.finish()
    np.testing.assert_array_equal(seen(result.layer), coarse_labels(run, factors, whole))
    viewer.dims.ndisplay = 2
    assert viewer.dims.point == point
    assert viewer.dims.nsteps == steps
    np.testing.assert_array_equal(seen(result.layer), run.stored[13])
    np.testing.assert_allclose(result.layer.data_to_world((1, 2, 3)), (1, 2, 3))
    assert result.layer.editable
    result.layer.paint((13, 5, 5), 7)
    assert result.taken()


def test_a_layer_that_comes_into_a_3d_view():
    viewer = ViewerModel(ndisplay=3)
    viewer.add_image(np.zeros((21, 20, 22)))
    run = FakeRun(noise((21, 20, 22)))
    _, result, jobs = show(run, viewer)
    assert not run.reads
    jobs.finish()
    assert seen(result.layer).any()


def test_small_volumes_are_shown_as_they_are_in_3d():
    run = FakeRun(noise((9, 10, 11)))
    viewer, result, _ = show(run)
    viewer.dims.ndisplay = 3
    run.stored[3:5, 4:9, 5:7] = 9
    result.refresh(Window((3, 4, 5), (2, 5, 2)))
    np.testing.assert_array_equal(seen(result.layer), run.stored)
    assert result.layer.editable


@pytest.mark.parametrize("shape", [(30, 40), (100, 120), (21, 20, 22)])
def test_a_deleted_layer_is_gone_and_nothing_painted_is_lost(shape):
    run = FakeRun(noise(shape))
    viewer, result, jobs = show(run)
    gone = []
    result.gone.connect(lambda: gone.append(1))
    layer = result.layer if result.paintable else result.edit(Window((0, 0), (20, 20)))
    layer.paint((4,) * len(shape), 9)
    viewer.layers.remove(result.layer)
    assert gone == [1]
    assert result.taken()
    result.refresh(Window((0,) * len(shape), (5,) * len(shape)))
    viewer.dims.ndisplay = 3
    jobs.finish()
    result.close()
    result.close()
    assert gone == [1]
    assert not viewer.layers


@pytest.mark.parametrize("reverse", [False, True])
def test_all_layers_may_be_deleted_at_once(reverse):
    run = FakeRun(noise((100, 120)))
    viewer, result, _ = show(run)
    gone = []
    result.gone.connect(lambda: gone.append(1))
    edited = result.edit(Window((0, 0), (20, 20)))
    viewer.add_points(np.zeros((1, 2)))
    if reverse:
        viewer.layers.move(viewer.layers.index(edited), 0)
    viewer.layers.select_all()
    viewer.layers.remove_selected()
    assert gone == [1]
    assert not viewer.layers
    result.close()
    _, result, _ = show(run, viewer)
    result.edit(Window((0, 0), (20, 20)))
    viewer.layers.clear()
    assert not viewer.layers


def test_the_user_may_delete_the_layer_that_is_painted_on():
    run = FakeRun(noise((100, 120)))
    viewer, result, _ = show(run)
    viewer.layers.remove(result.edit(Window((0, 0), (20, 20))))
    np.testing.assert_array_equal(np.asarray(result.layer.data[0]), run.stored)
    result.refresh(run.grid.window)
    result.stop_editing()
    result.describe(pd.DataFrame({"id": [1]}), {})


def test_objects_have_their_features_and_colours():
    run = FakeRun(noise((30, 40)))
    _viewer, result, _ = show(run)
    objects = pd.DataFrame({"id": [1, 2, 3], "category": ["field", "water", ""], "bbox": [None] * 3})
    cyclic = result.layer.colormap
    result.describe(objects, {})
    assert list(result.layer.features["index"]) == [1, 2, 3]
    assert result.layer.colormap is cyclic
    result.describe(objects, {2: "#ff0000"})
    np.testing.assert_allclose(result.layer.get_color(2), (1, 0, 0, 1))
    for other in (1, 3, 51, 400):
        np.testing.assert_allclose(result.layer.get_color(other), cyclic.map(other))
    named = result.layer.colormap
    result.describe(objects, {2: "#ff0000"})
    assert result.layer.colormap is named
    many = pd.DataFrame({"id": np.arange(1, 5000)})
    result.describe(many, {2: "#ff0000"})
    np.testing.assert_allclose(result.layer.get_color(2), (1, 0, 0, 1))
    np.testing.assert_allclose(result.layer.get_color(len(named.colors) + 1), cyclic.map(len(named.colors) + 1))
    result.describe(many, {4999: "#0000ff"})
    np.testing.assert_allclose(result.layer.get_color(4999), (0, 0, 1, 1))
    np.testing.assert_allclose(result.layer.get_color(2), cyclic.map(2))
    result.describe(objects.iloc[:0], {})
    np.testing.assert_allclose(result.layer.get_color(2), cyclic.map(2))


def test_a_part_that_is_painted_has_the_same_colours():
    run = FakeRun(noise((100, 120)))
    _viewer, result, _ = show(run)
    objects = pd.DataFrame({"id": [1, 2, 3]})
    result.describe(objects, {2: "#ff0000"})
    edited = result.edit(Window((0, 0), (10, 10)))
    np.testing.assert_allclose(edited.get_color(2), (1, 0, 0, 1))
    result.describe(objects, {1: "#00ff00"})
    np.testing.assert_allclose(edited.get_color(1), (0, 1, 0, 1))
    np.testing.assert_allclose(edited.get_color(2), result.layer.get_color(2))


def disc(shape, radius=6):
    grids = np.ogrid[tuple(slice(n) for n in shape)]
    inside = sum((g - n // 2) ** 2 for g, n in zip(grids, shape, strict=True)) <= radius**2
    return ObjectMask.of(shape, Window.of(shape), np.broadcast_to(inside, shape).copy())


@pytest.mark.parametrize(("shape", "radius", "step"), [((90, 80), 6, 1), ((90, 80), 30, 4), ((60, 60, 60), 20, 8)])
def test_a_sketch_covers_the_object(shape, radius, step):
    mask = disc(shape, radius)
    sketch = Sketch.of(mask)
    assert set(sketch.steps) == {step}
    fine = sketch.samples.repeat(step, 0).repeat(step, 1)
    fine = fine if len(shape) == 2 else fine.repeat(step, 2)
    place = Window(sketch.start, fine.shape)
    assert mask.window in place
    truth = mask.read(place & Window.of(shape))
    pooled = np.zeros(fine.shape, bool)
    pooled[(place & Window.of(shape)).within(place).slices] = truth
    for axis in range(len(shape)):
        pooled = np.maximum.reduceat(pooled, range(0, pooled.shape[axis], step), axis)
    np.testing.assert_array_equal(sketch.samples, pooled)


def test_a_thin_object_is_seen_from_afar():
    line = np.zeros((200, 200), bool)
    line[np.arange(200), np.arange(200)] = True
    sketch = Sketch.of(ObjectMask.of((200, 200), Window.of((200, 200)), line))
    assert sketch.samples.diagonal().all()


@pytest.mark.parametrize("affine", [MAP, TURNED])
def test_the_preview_lies_on_the_object(affine):
    grid = Grid.of((90, 80), np.asarray(affine)[:, [1, 0, 2]], "EPSG:32632")
    attributes = Placement.among([], grid).attributes
    image = Image(np.zeros((90, 80)), **attributes)
    viewer = ViewerModel()
    sketch = Sketch.of(disc((90, 80), 30))
    preview = PreviewLayer(viewer)
    preview.show(sketch, attributes, sketch.window)
    layer = preview.layer
    corner = np.array(sketch.start) - 0.5
    np.testing.assert_allclose(layer.data_to_world((-0.5, -0.5)), image.data_to_world(corner))
    np.testing.assert_allclose(layer.data_to_world((4.5, 2.5)), image.data_to_world(np.add(corner, (20, 12))))
    image.translate = (5, 6)
    image.rotate = 20
    other = Sketch.of(disc((90, 80), 4))
    preview.show(other, placing(image), other.window)
    assert preview.layer is layer
    np.testing.assert_allclose(layer.data_to_world((1, 2)), image.data_to_world(np.add(other.start, (1, 2))))
    assert len(viewer.layers) == 1
    np.testing.assert_array_equal(seen(layer) > 0, other.samples > 0)
    assert not layer.editable


def shown_by(preview, shape):
    """Where a preview is, sample by sample of the image."""
    board, whole = preview._board, np.zeros(shape, np.uint8)
    fine = np.asarray(preview.layer.data)
    for axis, step in enumerate(board.steps):
        fine = fine.repeat(step, axis)
    place = Window(board.start, fine.shape)
    shared = place.clip(shape)
    whole[shared.slices] = fine[shared.within(place).slices]
    return whole > 0


def test_what_is_seen_changes_in_place():
    viewer = ViewerModel()
    preview = PreviewLayer(viewer)
    seen_part = Window((10, 0), (70, 80))
    arrays = []
    for centre in ((30, 20), (60, 60), (30, 20)):
        at = np.zeros((90, 80), bool)
        at[centre[0] - 5 : centre[0] + 6, centre[1] - 7 : centre[1] + 8] = True
        preview.show(Sketch.of(ObjectMask.of((90, 80), Window.of((90, 80)), at)), {}, seen_part)
        np.testing.assert_array_equal(shown_by(preview, (90, 80)), at)
        arrays.append(preview.layer.data)
    assert arrays[0] is arrays[2]
    coarse = Sketch((20, 40), (4, 4), np.ones((5, 3), np.uint8))
    preview.show(coarse, {}, seen_part)
    at = np.zeros((90, 80), bool)
    at[20:40, 40:52] = True
    np.testing.assert_array_equal(shown_by(preview, (90, 80)), at)
    assert preview.layer.data is arrays[0]
    preview.clear()
    assert not preview.layer.data.any()
    outside = Sketch.of(ObjectMask.of((90, 80), Window.of((90, 80)), np.ones((90, 80), bool)))
    preview.show(outside, {}, seen_part)
    assert shown_by(preview, (90, 80)).all()
    assert preview.layer.data is not arrays[0]
    assert len(viewer.layers) == 1


def test_a_finer_object_than_the_last_and_one_larger_than_what_may_be_seen(monkeypatch):
    preview = PreviewLayer(ViewerModel())
    preview.show(Sketch((8, 16), (4, 4), np.ones((2, 2), np.uint8)), {}, Window.of((90, 80)))
    at = disc((90, 80), 9)
    preview.show(Sketch.of(at), {}, Window.of((90, 80)))
    np.testing.assert_array_equal(shown_by(preview, (90, 80)), at.read(Window.of((90, 80))))
    preview.remove()
    monkeypatch.setattr("promptile._napari.preview._SEEN", {2: 1000, 3: 1000})
    preview.show(Sketch((2, 2), (1, 1), np.ones((40, 50), np.uint8)), {}, Window.of((90, 80)))
    assert np.asarray(preview.layer.data).shape == (40, 50)
    assert np.asarray(preview.layer.data).all()


def test_a_preview_of_nothing_and_one_that_was_deleted():
    viewer = ViewerModel()
    nothing = Sketch.of(ObjectMask.collect((90, 80), ()))
    preview = PreviewLayer(viewer)
    preview.clear()
    preview.show(nothing, {}, nothing.window)
    layer = preview.layer
    assert not seen(layer).any()
    viewer.layers.clear()
    preview.clear()
    preview.remove()
    preview.show(Sketch.of(disc((90, 80))), {}, Window.of((90, 80)))
    assert preview.layer is not layer
    assert len(viewer.layers) == 1
    preview.remove()
    assert not len(viewer.layers)


def test_a_preview_moves_no_slider():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((60, 60, 60)), scale=(3, 1, 1), translate=(50, 0, 0))
    viewer.dims.set_current_step(0, 37)
    attributes = placing(viewer.layers[0])
    preview = PreviewLayer(viewer)
    for radius in (20, 3, 9):
        preview.show(Sketch.of(disc((60, 60, 60), radius)), attributes, Window((37, 0, 0), (1, 60, 60)))
        assert viewer.dims.current_step[0] == 37


def test_moved_is_what_napari_makes_of_it():
    image = Image(
        np.zeros((30, 40)), scale=(2, -3), translate=(5, 6), rotate=30, shear=[0.2], affine=np.diag([2, 3, 1])
    )
    part = Image(np.zeros((3, 4)), **moved(placing(image), (10, 20), 4))
    np.testing.assert_allclose(part.data_to_world((1, 2)), image.data_to_world((10 + 1.5 + 4, 20 + 1.5 + 8)))


@pytest.mark.parametrize("shape", [(30, 40), (100, 120), (21, 20, 22)])
def test_a_session_keeps_what_is_painted(tmp_path, monkeypatch, shape):
    monkeypatch.setattr(results, "coarse_labels", layers.coarse_labels)
    with Session(noise(shape).astype(np.uint8), Perfect(len(shape)), out=tmp_path / "a.run.zarr") as session:
        viewer, result, jobs = show(session.run)
        layer = result.layer if result.paintable else result.edit(Window((0, 0), (20, 20)))
        where = (3, 8, 9)[-len(shape) :]
        layer.brush_size = 5
        layer.paint(where, 1)
        shown = np.asarray(layer.data)
        strokes = result.taken()
        assert session.paint(strokes, "field") is not None
        for stroke in strokes:
            result.refresh(stroke.window)
        np.testing.assert_array_equal(np.asarray(layer.data), shown)
        stored = session.run.read_labels(session.run.grid.window)
        assert stored[where] == 1
        np.testing.assert_array_equal(stored[strokes[0].window.slices], strokes[0].after)
        result.describe(session.run.objects, {1: "#00ff00"})
        assert list(result.layer.features["category"]) == ["field"]
        session.undo()
        result.refresh(strokes[0].window)
        assert not np.asarray(layer.data).any()
        session.redo()
        result.refresh(strokes[0].window)
        result.stop_editing()
        viewer.dims.ndisplay = len(shape)
        jobs.finish()
        for level in result._pyramid.levels:
            level.read(Window.of(level.shape))
            result._pyramid.go_on()
            jobs.finish()
            expected = layers.coarse_labels(session.run, level.factors, Window.of(level.shape))
            np.testing.assert_array_equal(level.read(Window.of(level.shape)), expected)


@pytest.fixture
def window(make_napari_viewer):
    """A viewer that is drawn."""
    return make_napari_viewer(show=True)


def picture(viewer):
    return viewer.screenshot(flash=False)


def show_in(window, run):
    return ResultLayer(window, run, Placement.among([], run.grid))


@pytest.mark.window
@pytest.mark.parametrize("ndisplay", [2, 3])
def test_the_screen_shows_what_a_full_refresh_would(window, ndisplay):
    run = FakeRun(noise((9, 10, 11)))
    result = show_in(window, run)
    window.dims.ndisplay = ndisplay
    before = picture(window)
    for contour in (0, 1) if ndisplay == 2 else (0,):
        result.layer.contour = contour
        run.stored[2:7, 3:8, 2:6] += 1
        result.refresh(Window((2, 3, 2), (5, 5, 4)))
        part = picture(window)
        result.layer.refresh()
        np.testing.assert_array_equal(part, picture(window))
        assert (part != before).any()


@pytest.mark.window
def test_objects_are_drawn_in_their_colours(window):
    run = FakeRun(np.full((30, 40), 300))
    result = show_in(window, run)
    result.layer.opacity = 1
    for colour, rgb in (("#ff0000", (255, 0, 0)), ("#0000ff", (0, 0, 255))):
        result.describe(pd.DataFrame({"id": [1, 300]}), {1: "#ffffff", 300: colour})
        pixels = picture(window)[..., :3].reshape(-1, 3)
        assert (pixels == rgb).all(axis=1).mean() > 0.1


@pytest.mark.window
def test_the_mouse_paints_and_what_it_painted_is_taken(window, qtbot):
    from qtpy.QtCore import Qt

    run = FakeRun(np.zeros((30, 40)))
    result = show_in(window, run)
    window.layers.selection.active = result.layer
    result.layer.mode, result.layer.brush_size, result.layer.selected_label = "paint", 3, 7
    canvas = window.window._qt_viewer.canvas.native
    qtbot.mouseMove(canvas, canvas.rect().center())
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=canvas.rect().center())
    (stroke,) = result.taken()
    assert set(np.unique(stroke.after)) <= {0, 7}
    assert stroke.window.shape == (3, 3)


@pytest.mark.window
@pytest.mark.parametrize("shape", [(100, 120), (21, 20, 22)])
def test_coarse_levels_come_from_a_thread(window, qtbot, shape):
    run = FakeRun(np.full(shape, 3))
    result = show_in(window, run)
    if len(shape) == 3:
        window.dims.ndisplay = 3
    else:
        window.scene.camera.zoom = 1
        picture(window)

    def filled():
        assert (seen(result.layer) == 3).all()

    qtbot.waitUntil(filled, timeout=20_000)
    window.dims.ndisplay = 2
    picture(window)


@pytest.mark.window
def test_a_window_that_closes_while_levels_are_read(window, qtbot):
    run = FakeRun(noise((100, 120)))
    result = show_in(window, run)
    gone = []
    result.gone.connect(lambda: gone.append(1))
    window.layers.clear()
    assert gone
    qtbot.wait(100)


@pytest.mark.window
def test_previews_follow_each_other_in_one_layer(window):
    mask = disc((60, 60), 5)
    preview = PreviewLayer(window)
    preview.show(Sketch.of(mask), {}, Window.of((60, 60)))
    first, layer = picture(window), preview.layer
    preview.show(Sketch.of(disc((60, 60), 20)), {}, Window.of((60, 60)))
    assert preview.layer is layer
    assert (picture(window) != first).any()
    preview.show(Sketch.of(mask), {}, Window.of((60, 60)))
    np.testing.assert_array_equal(picture(window), first)
    preview.clear()
    assert (picture(window) != first).any()
    assert len(window.layers) == 1
