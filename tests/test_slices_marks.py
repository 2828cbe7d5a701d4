"""Marks in several slices: what they change, what they leave alone, and how far an object is followed."""

from __future__ import annotations

import numpy as np
import pytest

from promptile.engine.progress import Cancelled
from promptile.engine.slices import Slices
from promptile.engine.slices.appearance import Appearance
from promptile.engine.slices.blending import blended
from promptile.engine.slices.marks import limits_of, marks_of
from promptile.engine.slices.pieces import draw, pieces_of
from promptile.engine.slices.solid import stacked
from promptile.errors import UsageError
from promptile.grid import Grid, Window
from promptile.masks import ObjectMask
from promptile.models.protocols import Embedding, Masks, WindowPrompt
from promptile.prompts import Prompt, Prompts
from promptile.prompts.regions import Raster
from slices_cases import PerfectSlices, assert_is, grow, grower, samples_of, volume

CLICK = (20, 20, 20)


def column(radius: int = 8) -> np.ndarray:
    """A column through all of 41 slices."""
    _, y, x = np.ogrid[:41, :40, :40]
    return (np.hypot(y - 20, x - 20) < radius).astype(np.uint8) * np.ones((41, 1, 1), np.uint8)


class Believing(PerfectSlices):
    """Draws what it is shown; where there are two clicks, a wider disc."""

    def predict(self, embedding, prompt):
        masks = super().predict(embedding, prompt)
        shown = prompt.mask > 0 if prompt.mask is not None else masks.logits[0] > 0
        y, x = np.ogrid[:40, :40]
        drawn = shown if len(prompt.points) < 2 else np.hypot(y - 20, x - 20) < 12
        return Masks(np.where(drawn, np.float32(6), np.float32(-6))[None], masks.scores)


def clicks(*places: tuple[float, ...]) -> Prompt:
    (prompt,) = Prompts.of(points=places, objects=[1] * len(places))
    return prompt


def test_a_correction_is_asked_about_only_up_to_the_nearest_other_marks() -> None:
    model = PerfectSlices()
    made = grower(volume(column()), model)
    made.grow(clicks(CLICK))
    assert model.asked == 1 + 41  # once by the click and each slice by its neighbours, which show the same both ways
    made.grow(clicks(CLICK, (30, 16, 20)))
    first = model.asked
    made.grow(clicks(CLICK, (30, 16, 20), (30, 24, 20)))
    assert model.asked == first + 1  # the same outline again: nothing goes on from it
    touched = []
    ask = model.predict
    model.predict = lambda e, p: (touched.append(len(p.points)), ask(e, p))[1]  # type: ignore[method-assign]
    made.grow(clicks(CLICK, (30, 16, 20), (30, 24, 20), (10, 16, 20)))
    assert len(touched) == 1


def test_slices_between_two_that_have_marks_follow_both() -> None:
    model = Believing()
    made = grower(volume(column()), model)
    narrow = made.grow(clicks(CLICK))
    before, looked = model.asked, model.embedded
    both = made.grow(clicks(CLICK, (30, 16, 20), (30, 24, 20)))
    found = samples_of(both)
    areas = found.sum(axis=(1, 2))
    assert (found[:21] == samples_of(narrow)[:21]).all()
    assert (np.diff(areas[20:31]) >= 0).all()
    assert areas[20] < areas[25] < areas[30]
    assert model.embedded == looked
    assert model.asked - before <= 1 + 2 * 20  # above the first click, and no slice below it


def test_outlines_between_two_sheets() -> None:
    y, x = np.ogrid[:40, :40]
    discs = [pieces_of(np.hypot(y - 20, x - 20) < r) for r in (5, 15)]
    halfway = blended(*discs, 0.5, (1.0, 1.0), doubted=(False, False))
    expected = pieces_of(np.hypot(y - 20, x - 20) < 10)
    assert abs(halfway[0].count - expected[0].count) < 30
    for share in (0.1, 0.5, 0.9):
        same = blended(discs[0], discs[0], share, (1.0, 0.5), doubted=(False, False))
        window = Window.of((40, 40))
        assert (draw(same, window) == draw(discs[0], window)).all()


@pytest.mark.parametrize(("share", "left"), [(0.2, 2), (0.8, 1)])
def test_what_marks_deny_is_taken_in_its_own_half_only(share: float, left: int) -> None:
    one = np.zeros((20, 40), bool)
    one[5:15, 5:15] = True
    both = one.copy()
    both[5:15, 25:35] = True
    found = blended(pieces_of(both), pieces_of(one), share, (1.0, 1.0), doubted=(True, False))
    assert len(found) == left


def test_a_click_that_is_not_on_the_object_ends_it() -> None:
    class Obedient(PerfectSlices):
        def predict(self, embedding, prompt):
            masks = super().predict(embedding, prompt)
            return masks if prompt.labels.all() else Masks(-abs(masks.logits), masks.scores)

    (prompt,) = Prompts.of(points=[CLICK, (30, 20, 20)], labels=[1, 0], objects=[1, 1])
    found = samples_of(grower(volume(column()), Obedient()).grow(prompt))
    assert found[:30].any(axis=(1, 2)).all()
    assert not found[30:].any()


def test_a_box_in_one_slice_is_followed_and_one_through_several_limits() -> None:
    truth = column()
    flat = [(19.5, 11.5, 11.5), (20.5, 28.5, 28.5)]
    (grown,) = grow(volume(truth), Prompts.of(boxes=[flat]), PerfectSlices())
    assert_is(grown, truth == 1)
    deep = [(9.5, 11.5, 11.5), (25.5, 28.5, 28.5)]
    (grown,) = grow(volume(truth), Prompts.of(boxes=[deep]), PerfectSlices())
    assert (grown.mask.window.start[0], grown.mask.window.stop[0]) == (9, 27)  # and one slice of margin


@pytest.mark.parametrize(
    ("reach", "first", "last"), [("both", 0, 40), ("forward", 20, 40), ("backward", 0, 20), (33, 20, 33), (4, 4, 20)]
)
def test_how_far_an_object_is_followed(reach: str | int, first: int, last: int) -> None:
    (grown,) = grow(volume(column()), Prompts.of(points=[CLICK]), PerfectSlices(), reach=reach)
    assert (grown.mask.window.start[0], grown.mask.window.stop[0] - 1) == (first, last)


def test_a_drawn_region_is_known_in_all_its_slices() -> None:
    truth = column()
    window = Window((18, 10, 10), (5, 20, 20))
    region = Raster(window, truth[window.slices] > 0)
    prompt = Prompt(1, np.empty((0, 3)), np.empty(0, bool), region=region)
    marks = marks_of(prompt, 0, truth.shape)
    assert [mark.index for mark in marks] == [18, 19, 20, 21, 22]
    assert marks[0].region is not None
    assert (marks[0].region.within(Window.of((40, 40)), (1, 1)) == (truth[18] > 0)).all()
    assert_is(grower(volume(truth), PerfectSlices()).grow(prompt), truth == 1)


def test_work_is_ended_between_two_slices_and_goes_on_where_it_was() -> None:
    model = PerfectSlices()
    made = grower(volume(column()), model)

    def stop() -> None:
        if model.asked >= 20:
            raise Cancelled

    made.embedder.checkpoint = stop
    arrived = []
    made.arrived = lambda arrival: arrived.append(arrival.index)
    with pytest.raises(Cancelled):
        made.grow(clicks(CLICK))
    assert model.asked == 20
    assert 5 < len(arrived) < 20
    made.embedder.checkpoint = lambda: None
    assert_is(made.grow(clicks(CLICK)), column() == 1)
    assert model.asked == 1 + 41


class Leaking(PerfectSlices):
    """Beyond slice 30 everything is the object, and before it what is shown is believed."""

    def predict(self, embedding, prompt):
        masks = super().predict(embedding, prompt)
        leaks = (embedding.content == 9).any() or (prompt.mask is not None and (prompt.mask > 0).all())
        return masks if not leaks else Masks(np.full_like(masks.logits, 6), masks.scores)


def test_a_leak_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Appearance, "fits", lambda *_: True)
    monkeypatch.setattr(Appearance, "agreed", lambda self, index, shown, found: found)
    truth = column()
    truth[31:, 0, 0] = 9
    (grown,) = grow(volume(truth), Prompts.of(points=[CLICK]), Leaking())
    assert grown.open_edge
    assert grown.mask.window.stop[0] <= 32


def test_what_a_slice_shows_too_much_is_cut_off_where_it_looks_otherwise() -> None:
    truth = column()
    truth[31:, 0, 0] = 9
    (grown,) = grow(volume(truth), Prompts.of(points=[CLICK]), Leaking())
    assert_is(grown, truth == 1)


def test_what_a_slice_shows_too_little_is_put_back_where_it_looks_alike() -> None:
    class Halving(PerfectSlices):
        """Sees the left half of what it is shown."""

        def predict(self, embedding, prompt):
            masks = super().predict(embedding, prompt)
            if prompt.mask is not None:
                masks.logits[:, :, 20:] = -6
            return masks

    assert_is(grow(volume(column()), Prompts.of(points=[CLICK]), Halving())[0], column() == 1)


def test_a_slice_of_which_the_model_is_less_sure_ends_the_object() -> None:
    class Unsure(PerfectSlices):
        """Less sure of some slices."""

        def predict(self, embedding, prompt):
            masks = super().predict(embedding, prompt)
            return Masks(masks.logits, masks.scores * (0.7 if (embedding.content == 9).any() else 0.9))

    truth = column()
    truth[31:, 0, 0] = 9
    (grown,) = grow(volume(truth), Prompts.of(points=[CLICK]), Unsure())
    assert grown.mask.window.stop[0] == 31


def test_three_planes_vote() -> None:
    truth = np.zeros((30, 34, 38), np.uint8)
    z, y, x = np.ogrid[:30, :34, :38]
    truth[((z - 15) / 10) ** 2 + ((y - 16) / 12) ** 2 + ((x - 18) / 14) ** 2 < 1] = 1
    source = volume(truth, (1.0, 1.0, 1.0))
    (grown,) = grow(source, Prompts.of(points=[(15, 16, 18)]), PerfectSlices(), planes=3)
    assert_is(grown, truth == 1)

    class Careless(PerfectSlices):
        """Adds a stripe to slices that are 34 x 38."""

        def predict(self, embedding, prompt):
            masks = super().predict(embedding, prompt)
            if embedding.content.shape == (34, 38) and (masks.logits > 0).any():
                masks.logits[:, 16, :] = 6
            return masks

    (grown,) = grow(source, Prompts.of(points=[(15, 16, 18)]), Careless(), planes=3)
    assert_is(grown, truth == 1)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"planes": 3}, "equal spacing"),
        ({"planes": 2}, "2 planes"),
        ({"axis": 3}, "Axis 3"),
        ({"reach": 99}, "Slice 99"),
        ({"reach": "up"}, "Reach 'up'"),
    ],
)
def test_what_is_not_possible_is_refused(said: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Slices(**said).of(Grid.of((10, 20, 30), np.diag([1.0, 1.0, 5.0, 1.0])[[2, 1, 0, 3]]))  # type: ignore[arg-type]


def test_the_axis_is_the_one_with_the_largest_spacing() -> None:
    for axis in range(3):
        spacing = [1.0, 1.0, 1.0]
        spacing[axis] = 2.5
        assert Slices().of(volume(np.zeros((4, 5, 6), np.uint8), tuple(spacing)).grid).axis == axis
    assert Slices().of(volume(np.zeros((4, 5, 6), np.uint8), (1, 1, 1)).grid).axis == 0


def test_a_box_limits_with_a_margin_on_all_sides() -> None:
    (prompt,) = Prompts.of(boxes=[[(3.5, 9.5, 9.5), (30.5, 25.5, 60.5)]])
    limits = limits_of(prompt, 1, (41, 40, 80))
    assert (limits.first, limits.last) == (9, 26)
    assert limits.window == Window.between((2, 6), (33, 65))


def test_masks_are_blockwise() -> None:
    square = pieces_of(np.ones((3, 4), bool), (70, 10))
    mask = stacked((200, 30, 2000), 2, {5: square, 1999: square})
    assert isinstance(mask, ObjectMask)
    assert len(mask.bits) == 2
    assert mask.read(Window((70, 10, 1999), (3, 4, 1))).all()
    assert mask.count == 24


def test_an_object_ends_where_slices_look_different() -> None:
    truth = column()
    truth[27:] = 0
    (grown,) = grow(volume(truth), Prompts.of(points=[CLICK]), Believing())
    assert_is(grown, truth == 1)


def test_of_several_answers_to_a_far_click_the_one_of_the_object_s_size_counts() -> None:
    class Ambiguous(PerfectSlices):
        """Sees everything first, then a dot, then the object."""

        def predict(self, embedding, prompt):
            masks = super().predict(embedding, prompt)
            if prompt.mask is not None:
                return masks
            dot = np.full((40, 40), np.float32(-6))
            dot[20, 20] = 6
            return Masks(np.stack([np.full_like(dot, 6), dot, masks.logits[0]]), np.array([0.9, 0.8, 0.7]))

    truth = column()
    truth[24:34] = 0
    made = grower(volume(truth), Ambiguous())
    grown = made.grow(clicks(CLICK, (37, 20, 20)), candidate=2)
    assert_is(grown, truth == 1)


def test_an_unsure_answer_to_a_far_click_is_asked_again_by_a_box_of_the_object_s_size() -> None:
    class Unsure(PerfectSlices):
        """Means everything by a click alone."""

        def predict(self, embedding, prompt):
            masks = super().predict(embedding, prompt)
            if prompt.mask is None and prompt.box is None and not (embedding.content == 2).any():
                return Masks(np.full_like(masks.logits, 6), np.array([0.4]))
            return masks

    truth = column()
    truth[24:34] = 0
    truth[20, 0, 0] = 2
    (grown,) = grow(volume(truth), Prompts.of(points=[CLICK, (37, 20, 20)], objects=[1, 1]), Unsure())
    assert_is(grown, truth == 1)


class SureOfAll(PerfectSlices):
    """Surest of all that is not dark, as models of photographs are; the object comes second."""

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        masks = super().predict(embedding, prompt)
        every = np.where(embedding.content > 0, np.float32(6), np.float32(-6))[None]
        return Masks(np.concatenate([every, masks.logits]), np.array([0.99, 0.8]))


def test_a_click_means_an_organ_and_not_the_patient() -> None:
    truth = np.zeros((9, 40, 40), np.uint8)
    truth[:, 2:38, 2:38] = 1
    truth[2:7, 10:20, 10:20] = 2
    grown = grow(volume(truth), Prompts.of(points=[[4, 15, 15]]), SureOfAll())[0]
    assert_is(grown, truth == 2)
    assert grown.score == pytest.approx(0.8)
    boxed = grow(volume(truth), Prompts.of(boxes=[[(3.5, 1.5, 1.5), (4.5, 37.5, 37.5)]]), SureOfAll())[0]
    assert samples_of(boxed)[4].sum() == 36 * 36


def test_what_is_large_is_followed_where_a_click_means_nothing_else() -> None:
    truth = np.zeros((9, 40, 40), np.uint8)
    truth[2:7, 2:38, 2:38] = 1
    assert_is(grow(volume(truth), Prompts.of(points=[[4, 15, 15]]), SureOfAll())[0], truth == 1)
