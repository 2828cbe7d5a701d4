"""Points and Shapes layers as prompts of an image."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("napari")

pytest.importorskip("qtpy")

from napari.components import ViewerModel
from napari.layers import Layer, Points, Shapes
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from kinds import NORTH_UP, ROTATED, noise, write_tif
from promptile._napari import reader
from promptile._napari.images import Shown
from promptile._napari.layers import boxes_layer, points_layer
from promptile._napari.marks import (
    clear,
    follow_labels,
    is_positive,
    new_marks,
    prompts_of,
    set_positive,
    show_prompts,
)
from promptile._napari.placement import Placement
from promptile._napari.watch import on_marks_changed
from promptile.errors import PromptError
from promptile.grid import Window
from promptile.prompts import Prompt, Prompts
from promptile.prompts.reading import read_prompts
from promptile.prompts.regions import Outline, Raster
from promptile.prompts.writing import write_prompts

FOUND = (Phase.explicit, Phase.reuse, Phase.generate)
"""Layers are too slow for making an example that failed smaller."""

PLANE = np.zeros((60, 80), np.uint8)
VOLUME = np.zeros((20, 30, 40), np.uint8)


def shown_in(viewer, array, **place) -> Shown:
    return Shown.of(viewer, viewer.add_image(array, **place))


def drafted(array=PLANE, **place):
    """A viewer with an image and new layers for its prompts."""
    viewer = ViewerModel()
    image = shown_in(viewer, array, **place)
    points, shapes = map(viewer.add_layer, new_marks(image, "draft"))
    return viewer, image, points, shapes


def only(prompts: Prompts) -> Prompt:
    (prompt,) = prompts
    return prompt


def rectangle(low, high, at=None, axis=0):
    """The corners of a rectangle, in a slice of a volume if `at` is given."""
    corners = np.array([low, (low[0], high[1]), high, (high[0], low[1])], float)
    return corners if at is None else np.insert(corners, axis, at, axis=1)


def look(points):
    return [str(symbol) for symbol in points.symbol], [tuple(np.rint(c[:2]).astype(int)) for c in points.face_color]


GREEN, RED = (0, 1), (1, 0)


def test_points_look_as_their_label_says():
    _, _, points, _ = drafted()
    assert is_positive(points)
    points.add((1, 2))
    set_positive(points, False)
    assert not is_positive(points)
    assert points.features["label"].tolist() == [1], "the point that is selected stays what it is"
    points.add((3, 4))
    assert look(points) == (["disc", "x"], [GREEN, RED])
    set_positive(points, True)
    points.add([(5, 6), (7, 8)])
    assert points.features["label"].tolist() == [1, 0, 1, 1]
    points.features = points.features.assign(label=[0, 1, 1, 0])
    assert look(points) == (["x", "disc", "disc", "x"], [RED, GREEN, GREEN, RED])
    points.features.loc[1, "label"] = 0  # as napari's own table does
    points.events.features()
    assert look(points)[0] == ["x", "x", "disc", "x"]
    points.remove([0])
    assert look(points) == (["x", "disc", "x"], [RED, GREEN, RED])


def test_pasted_points_look_as_their_label_says():
    _, image, points, _ = drafted()
    set_positive(points, False)
    points.add((3, 4))
    points._copy_data()
    set_positive(points, True)
    points._paste_data()
    points.add((5, 6))
    assert points.features["label"].tolist() == [0, 0, 1]
    assert look(points)[0] == ["x", "x", "disc"]
    assert only(prompts_of(points, None, image, single=True)).labels.tolist() == [False, False, True]


def test_layers_from_elsewhere_take_labels():
    layer = Points([(1, 2), (3, 4)], features={"size": [3.0, 4.0]})
    assert is_positive(layer)
    set_positive(layer, False)
    layer.add((5, 6))
    assert layer.features["label"].tolist() == [1, 1, 0]
    assert layer.features["size"].tolist()[:2] == [3.0, 4.0]
    assert look(layer)[0] == ["disc", "disc", "x"]


@pytest.mark.parametrize("ndim", [2, 3])
def test_layers_of_prompts_and_new_ones_are_alike(ndim):
    viewer, image, points, shapes = drafted(PLANE if ndim == 2 else VOLUME)
    low, high = np.full(ndim, 2.5), np.full(ndim, 8.5)
    prompts = Prompts((Prompt(7, np.full((1, ndim), 4.0), np.ones(1, bool), np.stack([low, high]), category="field"),))
    placement = Placement.among([], image.grid)
    read_points = viewer.add_layer(Layer.create(*points_layer(prompts, "points", placement)))
    read_boxes = viewer.add_layer(Layer.create(*boxes_layer(prompts, "boxes", placement)))
    follow_labels(read_points)
    for mine, read in [(points, read_points), (shapes, read_boxes)]:
        assert list(mine.features) == list(read.features)
        assert mine.features["object"].dtype == read.features["object"].dtype == int
        assert mine.feature_defaults.iloc[0].to_dict() == read.feature_defaults.iloc[0].to_dict()
        assert mine.ndim == read.ndim == ndim
    points.add(np.full(ndim, 4.0))
    set_positive(read_points, False)
    read_points.add(np.full(ndim, 5.0))
    assert look(read_points) == (["disc", "x"], [GREEN, RED])
    assert points.size[0] == read_points.size[0]
    again = only(prompts_of(read_points, read_boxes, image, single=True))
    np.testing.assert_array_equal(again.box, [low, high])
    assert only(prompts_of(None, read_boxes, image, single=False)).id == 7


def test_one_object_is_all_that_is_drawn():
    _, image, points, shapes = drafted()
    assert not prompts_of(points, shapes, image, single=True).objects
    assert not prompts_of(points, shapes, image, single=False).objects
    points.add([(3, 4), (5, 6)])
    shapes.add(rectangle((1, 1), (9, 9)), shape_type="rectangle")
    shapes.add(rectangle((2, 3), (12.5, 14)), shape_type="rectangle")
    shapes.add(np.array([(20, 20), (20, 30), (30, 25)]), shape_type="polygon")
    shapes.add(np.array([(20, 40), (20, 50), (30, 45)]), shape_type="path")
    prompt = only(prompts_of(points, shapes, image, single=True))
    assert (prompt.id, prompt.kind) == (1, "box+mask+points")
    np.testing.assert_array_equal(prompt.box, [(2, 3), (12.5, 14)], "the box that was drawn last")
    assert isinstance(prompt.region, Outline)
    assert len(prompt.region.parts) == 2
    each = prompts_of(points, shapes, image, single=False)
    assert [p.kind for p in each] == ["points", "points", "box", "box", "mask", "mask"]


def test_features_say_whose_a_mark_is():
    _, image, points, shapes = drafted()
    points.add([(3, 4), (5, 6), (7, 8), (9, 9)])
    points.features = {"object": [5, 5, 0, 0], "label": [1, 0, 1, 0], "category": ["field", "", "", ""]}
    shapes.add(rectangle((1, 1), (9, 9)), shape_type="rectangle")
    shapes.features = {"object": [5], "category": ["field"]}
    prompts = prompts_of(points, shapes, image, single=False)
    assert [(p.id, p.kind, p.category) for p in prompts] == [(5, "box+points", "field"), (1, "points", "")]
    assert prompts.objects[0].labels.tolist() == [True, False, False], "the last point counts for all"
    assert prompts.objects[1].labels.tolist() == [True, False]
    points.features = {"object": [5, 5, 0, 0], "label": [1, 0, 1, 0], "category": ["water", "", "", ""]}
    with pytest.raises(PromptError, match="give an object one category"):
        prompts_of(points, shapes, image, single=False)


@pytest.mark.parametrize(
    ("features", "message"),
    [({"label": ["tree"]}, "point 0 of layer 'mine': label is 'tree'"), ({"object": [-1]}, "object is -1, needed")],
)
def test_features_that_say_nothing(features, message):
    image = shown_in(ViewerModel(), PLANE)
    with pytest.raises(PromptError, match=message):
        prompts_of(Points([(1, 2)], features=features, name="mine"), None, image, single=False)


def test_marks_that_mean_nothing():
    image = shown_in(ViewerModel(), PLANE, name="scene")
    with pytest.raises(PromptError, match="outside the image"):
        prompts_of(Points([(1, 200)]), None, image, single=True)
    with pytest.raises(PromptError, match="is a line"):
        prompts_of(None, Shapes([[(1, 1), (5, 5)]], shape_type="line"), image, single=True)
    with pytest.raises(PromptError, match="shape 0 of layer 'Shapes' has no area"):
        prompts_of(None, Shapes([rectangle((3, 3), (3, 9))], shape_type="polygon"), image, single=True)
    with pytest.raises(PromptError, match="negative points"):
        prompts_of(Points([(1, 2)], features={"label": [0]}), None, image, single=True)
    volume = shown_in(ViewerModel(), VOLUME, name="scan")
    with pytest.raises(PromptError, match="layer 'Points' has 2 axes and 'scan' 3"):
        prompts_of(Points([(1, 2)]), None, volume, single=True)


def test_a_hidden_point_says_nothing():
    image = shown_in(ViewerModel(), PLANE)
    points = Points([(1, 2), (3, 4)], shown=[True, False])
    assert only(prompts_of(points, None, image, single=True)).points.tolist() == [[1, 2]]


def test_an_ellipse_is_an_area():
    _, image, _, shapes = drafted()
    shapes.add(rectangle((10, 20), (30, 60)), shape_type="ellipse")
    region = only(prompts_of(None, shapes, image, single=True)).region
    mask = region.within(image.grid.window, (1, 1))
    y, x = np.indices(PLANE.shape)
    expected = ((y - 20) / 10) ** 2 + ((x - 40) / 20) ** 2 <= 1
    assert np.count_nonzero(mask != expected) <= 16
    assert np.count_nonzero(mask) == pytest.approx(np.pi * 10 * 20, rel=0.02)


def test_a_lasso_may_cross_itself():
    _, image, _, shapes = drafted()
    shapes.add(np.array([(10, 10), (30, 30), (10, 30), (30, 10)]), shape_type="polygon")
    prompt = only(prompts_of(None, shapes, image, single=False))
    mask = prompt.region.within(image.grid.window, (1, 1))
    assert mask[20, 12]
    assert mask[20, 28]
    assert not mask[[13, 27], 20].any()


def test_a_turned_rectangle_is_an_area():
    _, image, _, shapes = drafted()
    shapes.add(np.array([(20, 10), (30, 20), (20, 30), (10, 20)]), shape_type="rectangle")
    assert only(prompts_of(None, shapes, image, single=True)).kind == "mask"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_shapes_in_a_volume_are_one_slice_thick(axis):
    _, image, _, shapes = drafted(VOLUME, scale=(3, 1, 0.5))
    shapes.add(rectangle((2, 3), (8, 9), at=4, axis=axis), shape_type="rectangle")
    box = only(prompts_of(None, shapes, image, single=True)).box
    np.testing.assert_allclose(box, np.insert([(2.0, 3.0), (8.0, 9.0)], axis, [3.5, 4.5], axis=1))
    shapes.data = []
    shapes.add(np.insert([(2.0, 3.0), (2.0, 9.0), (8.0, 9.0)], axis, 4, axis=1), shape_type="polygon")
    region = only(prompts_of(None, shapes, image, single=True)).region
    mask = region.within(image.grid.window, (1, 1, 1))
    assert np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))).tolist() == [4]
    plane = np.take(mask, 4, axis)
    y, x = np.nonzero(plane)
    assert shapely.contains_xy(shapely.Polygon([(3, 2), (9, 2), (9, 8)]).buffer(1e-9), x, y).all()
    assert 15 <= plane.sum() <= 28


def test_rectangles_in_two_slices_are_one_box():
    _, image, points, shapes = drafted(VOLUME)
    shapes.add(rectangle((2, 3), (8, 9), at=4), shape_type="rectangle")
    shapes.add(rectangle((1, 5), (7, 12), at=11), shape_type="rectangle")
    expected = [(3.5, 1, 3), (11.5, 8, 12)]
    np.testing.assert_array_equal(only(prompts_of(points, shapes, image, single=True)).box, expected)
    assert len(prompts_of(points, shapes, image, single=False)) == 2
    shapes.features = {"object": [4, 4], "category": ["", ""]}
    prompt = only(prompts_of(points, shapes, image, single=False))
    assert prompt.id == 4
    np.testing.assert_array_equal(prompt.box, expected)


def test_shapes_across_slices():
    image = shown_in(ViewerModel(), VOLUME)
    across = Shapes([[(2, 3, 4), (2, 9, 4), (8, 9, 10), (8, 3, 10)]], shape_type="rectangle")
    np.testing.assert_array_equal(only(prompts_of(None, across, image, single=True)).box, [(2, 3, 4), (8, 9, 10)])
    across = Shapes([[(2, 3, 4), (2, 9, 4), (8, 9, 10)]], shape_type="polygon")
    with pytest.raises(PromptError, match="lies across slices of the image: draw it in one slice"):
        prompts_of(None, across, image, single=True)


@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED])
def test_marks_go_where_they_are_seen(tmp_path, transform):
    """A layer without any place, over a raster in map units: through the viewer's world."""
    write_tif(tmp_path / "a.tif", noise((1, 60, 80), np.uint16), transform)
    viewer = ViewerModel()
    (entry,) = reader.read(str(tmp_path / "a.tif"))
    layer = viewer.add_layer(Layer.create(*entry))
    image = Shown.of(viewer, layer)
    points, shapes = map(viewer.add_layer, new_marks(image, "a"))
    points.add((27, 39))
    shapes.add(rectangle((3, 4), (10, 20)), shape_type="rectangle")
    world = np.array(layer.data_to_world((27, 39)))
    plain = viewer.add_layer(Points([world]))
    prompt = only(prompts_of(plain, shapes, image, single=True))
    np.testing.assert_allclose(prompt.points, [(27, 39)], atol=1e-9)
    np.testing.assert_allclose(prompt.box, [(3, 4), (10, 20)], atol=1e-9)
    np.testing.assert_allclose(only(prompts_of(points, None, image, single=True)).points, [(27, 39)], atol=1e-9)
    layer.translate = np.add(layer.translate, 5 * np.array(image.grid.spacing))  # the user moves the image only
    moved = only(prompts_of(plain, None, image, single=True)).points
    np.testing.assert_allclose(layer.data_to_world(moved[0]), world, atol=1e-6)
    assert np.abs(moved - (27, 39)).max() > 1


def test_marks_of_other_times_and_channels():
    viewer = ViewerModel()
    film = viewer.add_image(np.zeros((4, *PLANE.shape), np.uint8), axis_labels=("time", "y", "x"))
    stack = viewer.add_image(np.zeros((4, *PLANE.shape), np.uint8), axis_labels=("channel", "y", "x"))
    viewer.dims.set_point(0, 2)
    points = Points([(2, 5, 6), (3, 7, 8)])
    assert only(prompts_of(points, None, Shown.of(viewer, film), single=True)).points.tolist() == [[5, 6]]
    here = only(prompts_of(points, None, Shown.of(viewer, stack), single=True))
    assert here.points.tolist() == [[5, 6], [7, 8]], "all channels are one image"
    mine, _ = new_marks(Shown.of(viewer, film), "film")
    assert mine.ndim == 2


def places(ndim):
    return st.lists(st.tuples(*[st.floats(0, n - 1) for n in (20, 30, 40)[-ndim:]]), min_size=1, max_size=4)


@st.composite
def objects(draw, ndim):
    points = np.array(draw(places(ndim)))
    labels = np.array(draw(st.lists(st.booleans(), min_size=len(points), max_size=len(points))))
    box = np.sort(draw(st.tuples(st.tuples(*[st.floats(0, 9)] * ndim), st.tuples(*[st.floats(10, 19)] * ndim))), axis=0)
    if ndim == 3 and draw(st.booleans()):
        axis, place = draw(st.integers(0, 2)), draw(st.integers(0, 18))
        box[:, axis] = place - 0.5, place + 0.5
    elif ndim == 3:
        box[:, 0] = np.add(np.rint(box[:, 0]), (-0.5, 0.5))
    region = draw(st.sampled_from(["none", "area"]))
    if region == "area":
        mask = np.array(draw(st.lists(st.booleans(), min_size=20, max_size=20))).reshape(4, 5)
        mask[1, 2] = True
        region = Raster(
            Window((3, 4, 5)[-ndim:], (1,) * (ndim - 2) + mask.shape), mask.reshape((1,) * (ndim - 2) + (4, 5))
        )
    return Prompt(3, points, labels, box, None if region == "none" else region, "field")


@pytest.mark.parametrize("array", [PLANE[:30, :40], VOLUME])
@settings(max_examples=15, deadline=None, phases=FOUND)
@given(drawn=st.data())
def test_an_object_that_is_shown_is_the_object(array, drawn):
    _, image, points, shapes = drafted(array, scale=(3.0, 1.0, 0.5)[-array.ndim :], translate=(1, 2, 3)[-array.ndim :])
    prompt = drawn.draw(objects(array.ndim))
    show_prompts(points, shapes, prompt, image)
    again = only(prompts_of(points, shapes, image, single=False))
    assert (again.id, again.kind, again.category) == (prompt.id, prompt.kind, prompt.category)
    np.testing.assert_allclose(again.points, prompt.points, atol=1e-9)
    np.testing.assert_array_equal(again.labels, prompt.labels)
    np.testing.assert_allclose(again.box, prompt.box, atol=1e-9)
    if prompt.region is not None:
        window, factors = image.grid.window, (1,) * array.ndim
        np.testing.assert_array_equal(again.region.within(window, factors), prompt.region.within(window, factors))
    show_prompts(points, shapes, prompt, image)
    assert len(points.data) == len(prompt.points), "what was there is replaced"


def test_holes_are_shown():
    _, image, points, shapes = drafted()
    ring = shapely.Point(30, 30).buffer(20).difference(shapely.Point(32, 30).buffer(8))
    parts = tuple(np.array(r.coords) for r in (ring.exterior, *ring.interiors))
    prompt = Prompt(1, np.zeros((0, 2)), np.zeros(0, bool), None, Outline((parts,)))
    show_prompts(points, shapes, prompt, image)
    again = only(prompts_of(points, shapes, image, single=True))
    window = image.grid.window
    np.testing.assert_array_equal(again.region.within(window, (1, 1)), prompt.region.within(window, (1, 1)))


@pytest.mark.parametrize("kind", ["raster", "volume"])
def test_marks_say_what_their_file_says(tmp_path, kind):
    """Drawn and exported and read again: the same prompts."""
    if kind == "raster":
        write_tif(tmp_path / "a.tif", noise((1, 60, 80), np.uint16), ROTATED)
        viewer = ViewerModel()
        image = Shown.of(viewer, viewer.add_layer(Layer.create(*reader.read(str(tmp_path / "a.tif"))[0])))
        points, shapes = new_marks(image, "a")
        points.add([(3, 4), (20, 30), (50, 70)])
        shapes.add(rectangle((1, 2), (9, 19)), shape_type="rectangle")
        shapes.add(np.array([(20, 20), (20, 40), (40, 33)]), shape_type="polygon")
        shapes.features = {"object": [1, 2], "category": ["field", "water"]}
        file = tmp_path / "a.gpkg"
    else:
        _, image, points, shapes = drafted(VOLUME)
        points.add([(3, 4, 5), (10, 20, 30), (1, 2, 3)])
        shapes.add(rectangle((2, 3), (8, 9), at=4, axis=1), shape_type="rectangle")
        shapes.features = {"object": [1], "category": ["field"]}
        file = tmp_path / "a.csv"
    points.features = {"object": [1, 2, 0], "label": [1, 1, 0], "category": ["", "water", ""]}
    drawn = prompts_of(points, shapes, image, single=False)
    write_prompts(drawn, file, image.grid)
    read = {prompt.id: prompt for prompt in read_prompts(file, image.grid)}
    assert set(read) == {1, 2}
    for prompt in drawn:
        other = read[prompt.id]
        assert (other.kind, other.category, other.labels.tolist()) == (
            prompt.kind,
            prompt.category,
            prompt.labels.tolist(),
        )
        np.testing.assert_allclose(other.points, prompt.points, atol=1e-6)
        np.testing.assert_allclose(other.extent, prompt.extent, atol=1e-6)
        if prompt.box is not None:
            np.testing.assert_allclose(other.box, prompt.box, atol=1e-6)


@pytest.fixture
def watched():
    viewer, image, points, shapes = drafted()
    heard = []
    stop = on_marks_changed(points, shapes, lambda: heard.append(len(points.data)))
    return viewer, image, points, shapes, heard, stop


def test_each_change_is_heard_once(watched):
    _, image, points, shapes, heard, stop = watched
    changes = [
        lambda: points.add((1, 2)),
        lambda: points.add([(3, 4), (5, 6)]),
        lambda: setattr(points, "features", points.features.assign(label=[1, 0, 1])),
        lambda: setattr(points, "data", points.data + 1),
        lambda: points.remove([1]),
        lambda: shapes.add(rectangle((1, 2), (5, 6)), shape_type="rectangle"),
        lambda: setattr(shapes, "data", [rectangle((1, 2), (9, 9))]),
        lambda: shapes.remove([0]),
        lambda: show_prompts(
            points, shapes, only(Prompts.of(points=[(3, 4)], boxes=[[(1, 2), (3, 4)]], objects=[1])), image
        ),
        lambda: clear(points, shapes),
    ]
    for count, change in enumerate(changes, 1):
        change()
        assert len(heard) == count, f"after change {count}"
    clear(points, shapes)
    assert len(heard) == len(changes), "there was nothing to clear"
    stop()
    points.add((1, 2))
    assert len(heard) == len(changes)


def test_what_changes_no_mark_is_not_heard(watched):
    viewer, _, points, shapes, heard, _ = watched
    points.add([(1, 2), (3, 4)])
    heard.clear()
    points.selected_data = {0}
    points.size = 4
    set_positive(points, False)
    points.visible = False
    points.name = "other"
    shapes.mode = "add_rectangle"
    viewer.reset_view()
    points.refresh()
    assert not heard


def test_pasted_points_are_heard(watched):
    _, _, points, _, heard, _ = watched
    points.add((1, 2))
    points._copy_data()
    points._paste_data()
    assert heard == [1, 2]


def test_clearing_ends_a_polygon_that_is_being_drawn(watched):
    _, _, points, shapes, heard, _ = watched
    points.add((1, 2))
    shapes.mode = "add_polygon"
    clear(points, shapes)
    assert not len(shapes.data)
    assert not len(shapes.features)
    shapes.add(rectangle((1, 2), (5, 6)), shape_type="rectangle")
    assert len(shapes.features) == 1
    assert heard == [1, 0, 0]


def click(viewer, qtbot, *places):
    """Press at the first place of the displayed world, go through the others, release at the last."""
    canvas = viewer.window._qt_viewer.canvas.native
    size, camera = np.array(viewer.canvas.size), viewer.scene.camera
    ends = [(np.array(place) - np.array(camera.center)[-2:]) * camera.zoom + size / 2 for place in places]
    spots = [QPoint(round(x), round(y)) for y, x in ends]
    qtbot.mouseMove(canvas, spots[0])
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=spots[0])
    for spot in [spot for spot in spots[1:] for _ in range(2)]:
        moved = QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(spot),
            QPointF(canvas.mapToGlobal(spot)),
            Qt.MouseButton.LeftButton,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(canvas, moved)
        qtbot.wait(50)  # napari leaves out moves that come too fast
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=spots[-1])
    qtbot.wait(50)


@pytest.mark.window
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_clicks_in_any_slice(make_napari_viewer, qtbot, order):
    """With the mouse: two points, one of them dragged, and a rectangle, in slice 4 of any axis."""
    viewer = make_napari_viewer(show=True)
    image = shown_in(viewer, VOLUME, scale=(3, 1, 0.5), translate=(10, 20, 30))
    points, shapes = map(viewer.add_layer, new_marks(image, "draft"))
    heard = []
    on_marks_changed(points, shapes, lambda: heard.append(None))
    viewer.dims.order = order
    viewer.dims.set_current_step(order[0], 4)
    viewer.reset_view()
    qtbot.wait(100)
    sample = 2 / viewer.scene.camera.zoom / np.array(image.layer.scale)  # two pixels of the screen, in samples

    def at(*index):
        """Where index coordinates of the slice's two axes, as displayed, are in the displayed world."""
        full = np.insert(np.array(index, float), 0, 4)[np.argsort(order)]
        return image.to_world(full)[0][list(order[1:])]

    viewer.layers.selection.active = points
    points.mode = "add"
    click(viewer, qtbot, at(3, 9))
    set_positive(points, False)
    click(viewer, qtbot, at(8, 15))
    assert len(heard) == 2
    points.mode = "select"
    click(viewer, qtbot, at(8, 15), at(9, 12), at(11, 17))
    assert len(heard) == 3, "a drag is heard when it ends"
    viewer.layers.selection.active = shapes
    shapes.mode = "add_rectangle"
    click(viewer, qtbot, at(2, 3), at(5, 9), at(12, 18))
    assert len(heard) == 4

    prompt = only(prompts_of(points, shapes, image, single=True))
    back = np.argsort(order)
    expected = np.array([(4, 3, 9), (4, 11, 17)], float)[:, back]
    assert (np.abs(prompt.points - expected) <= sample + 0.01).all()
    assert prompt.labels.tolist() == [True, False]
    assert look(points) == (["disc", "x"], [GREEN, RED])
    box = np.array([(3.5, 2, 3), (4.5, 12, 18)])[:, back]
    assert (np.abs(prompt.box - box) <= sample + 0.01).all()
    np.testing.assert_array_equal(prompt.box[:, order[0]], (3.5, 4.5))
