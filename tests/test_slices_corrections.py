"""What clicks change in what stood before them, and what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from promptile.engine.slices.correcting import corrected, spread
from promptile.engine.slices.marks import Marks, marks_of
from promptile.engine.slices.pieces import Sheet, draw, pieces_of
from promptile.grid import Window
from promptile.models.protocols import Masks
from promptile.prompts import Prompt, Prompts
from slices_cases import PerfectSlices, grower, samples_of, volume

FIELD = Window.of((40, 40))
FLAT = (1.0, 1.0)


def block(rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    made = np.zeros(FIELD.shape, bool)
    made[slice(*rows), slice(*columns)] = True
    return made


def click(place: tuple[float, float], *, on: bool, index: int = 0) -> Marks:
    return Marks(index, np.array([place], float), np.array([on]))


def after(stood: np.ndarray, found: np.ndarray, place: tuple[float, float], *, on: bool) -> np.ndarray:
    return draw(corrected(pieces_of(stood), pieces_of(found), click(place, on=on), FLAT), FIELD)


BODY, LEAK, TAIL = block((5, 25), (5, 25)), block((10, 14), (25, 33)), block((25, 29), (10, 16))


def test_a_click_beside_the_object_takes_away_what_is_connected_with_it_and_nothing_else() -> None:
    found = block((5, 25), (5, 24)) & ~block((18, 20), (5, 8)) | TAIL
    taken = after(BODY | LEAK, found, (12, 29), on=False)
    assert (taken == (BODY | LEAK) & ~(LEAK | block((5, 25), (24, 25)))).all()


def test_a_click_on_the_object_adds_what_is_connected_with_it_and_nothing_else() -> None:
    found = block((5, 20), (5, 25)) | TAIL | LEAK | block((20, 25), (10, 25))
    assert (after(BODY, found, (27, 13), on=True) == BODY | TAIL).all()


def test_a_click_where_nothing_is_wrong_takes_nothing_away() -> None:
    found = block((3, 27), (7, 25))
    assert (after(BODY, found, (15, 15), on=True) == BODY | found).all()
    assert (after(BODY, found, (35, 35), on=False) == BODY).all()


@pytest.mark.parametrize("found", [BODY | LEAK, block((5, 9), (5, 9))])
def test_a_click_is_done_where_the_answer_does_not_or_takes_too_much(found: np.ndarray) -> None:
    taken = after(BODY | LEAK, found, (12, 30), on=False)
    lost = (BODY | LEAK) & ~taken
    assert lost[12, 30]
    assert lost.sum() < LEAK.sum()
    assert (lost <= LEAK).all()


def test_what_an_answer_does_not_add_is_no_wider_than_what_stood() -> None:
    added = after(block((2, 7), (2, 7)), block((2, 7), (2, 7)), (30, 30), on=True)
    assert added[30, 30]
    assert added[20:].sum() == 25  # a disc: samples that lie less than 3 away


def test_a_click_in_the_middle_of_a_piece_takes_all_of_it() -> None:
    other = block((30, 36), (30, 36))
    stood = BODY | other
    assert (after(stood, stood, (32, 33), on=False) == BODY).all()
    assert after(stood, stood, (30, 33), on=False)[33, 33]


def stack() -> object:
    return grower(volume(np.zeros((9, 40, 40), np.uint8), (2.0, 1.0, 1.0)), PerfectSlices()).stacks[0]


def sheets(*drawn: np.ndarray) -> dict[int, Sheet]:
    return {i: pieces_of(samples) for i, samples in enumerate(drawn) if samples.any()}


def test_a_change_of_an_outline_moves_slice_by_slice_and_ends_with_what_stood() -> None:
    stood = sheets(BODY, BODY | LEAK, BODY | LEAK | TAIL, BODY)
    thinner = block((5, 25), (5, 14))
    seen = sheets(thinner, thinner, BODY | TAIL, thinner, BODY)
    result = spread(stood, seen, click((12, 29), on=False, index=2), stack())  # type: ignore[arg-type]
    assert (draw(result[2], FIELD) == BODY | TAIL).all()
    near = draw(result[1], FIELD)
    assert not (near & LEAK).any()
    assert near[:, 5:23].sum() == BODY[:, 5:23].sum()  # no more than 2 mm beside the leak
    assert draw(result[0], FIELD)[:, 5:20].sum() == BODY[:, 5:20].sum()
    assert set(result) == set(stood)


def test_what_is_added_to_an_outline_does_not_go_on_where_nothing_stood_but_a_piece_of_its_own_does() -> None:
    stood = sheets(BODY, BODY)
    seen = sheets(BODY | LEAK, BODY | LEAK, BODY | LEAK, BODY | LEAK)
    result = spread(stood, seen, click((12, 29), on=True, index=1), stack())  # type: ignore[arg-type]
    assert set(result) == {0, 1}
    assert (draw(result[1], FIELD) == BODY | LEAK).all()
    apart = block((30, 36), (30, 36))
    seen = sheets(BODY, BODY | apart, BODY | apart, apart)
    result = spread(stood, seen, click((33, 33), on=True, index=1), stack())  # type: ignore[arg-type]
    assert [draw(result[i], FIELD).sum() for i in range(4)] == [400, 436, 36, 36]


def test_clicks_count_one_by_one_in_their_order_after_boxes() -> None:
    places = [(2, 5, 5), (7, 5, 5), (7, 9, 9), (3, 5, 5), (7, 5, 9)]
    prompt = Prompt(1, np.array(places, float), np.array([False, True, True, True, False]))
    said = marks_of(prompt, 0, (9, 40, 40))
    assert [(mark.index, len(mark.points)) for mark in said] == [(7, 2), (2, 1), (3, 1), (7, 1)]
    boxed = Prompt(1, prompt.points, prompt.labels, np.array([(6.5, 3.5, 3.5), (7.5, 12.5, 12.5)]))
    said = marks_of(boxed, 0, (9, 40, 40))
    assert [(mark.index, mark.whole, len(mark.points)) for mark in said[:3]] == [
        (7, True, 0),
        (2, False, 1),
        (7, False, 1),
    ]
    assert len(said) == 6


class Fickle(PerfectSlices):
    """Believes what it is shown; asked with a click beside the object, it also loses the other side of it."""

    def predict(self, embedding, prompt):
        masks = super().predict(embedding, prompt)
        shown = prompt.mask > 0 if prompt.mask is not None else masks.logits[0] > 0
        if not prompt.labels.all():
            y = np.arange(40)[:, None]
            denied = prompt.points[~prompt.labels]
            shown = shown & (y > 13) & ~((abs(y - denied[:, 0].max()) < 3) & (y > 20))
        return Masks(np.where(shown, np.float32(6), np.float32(-6))[None], masks.scores)


def test_clicks_make_an_object_better_whatever_else_the_model_changes() -> None:
    drawn = np.zeros((21, 40, 40), np.uint8)
    drawn[:, 8:33, 12:28] = 1
    made = grower(volume(drawn, (1.0, 1.0, 1.0)), Fickle())
    truth = drawn[12] == 1
    truth[28:] = False
    wrong = []
    for count in range(1, 4):
        places = [(10, 15, 20), (12, 31, 20), (12, 28, 20)][:count]
        (prompt,) = Prompts.of(points=places, labels=[1, 0, 0][:count], objects=[1] * count)
        found = samples_of(made.grow(prompt))
        assert found[:, 8:14].sum() == (drawn[:, 8:14] == 1).sum()  # what nobody clicked at stays
        wrong.append(np.count_nonzero(found[12] != truth))
    assert wrong[0] > wrong[1] > wrong[2]
