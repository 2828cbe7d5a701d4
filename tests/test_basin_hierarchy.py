"""The tree of regions: what is added up on the way must be what the regions' masks say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from promptile.models.basin.hierarchy import Tree, hierarchy, steepness
from promptile.models.basin.joining import BORDER, COLOUR, OPEN, SIZE, STEEP, STRONG
from promptile.models.basin.standing import Taste, standing

ANY = Taste(
    least_size=1, least_score=0, least_seam=0, constant=0, weak=-1, contrast=1, round=1, life=1, size=0, size_squared=0
)


def noise(shape: tuple[int, ...], seed: int, blur: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(seed).normal(0, 100, (2, *shape))
    return ndimage.gaussian_filter(random, (0, *(blur if n > 1 else 0 for n in shape))).astype(np.float32)


def masks(tree: Tree) -> list[np.ndarray]:
    found = [tree.basins == i for i in range(int(tree.basins.max()) + 1)]
    for one, two in tree.halves[len(found) :]:
        found.append(found[one] | found[two])
    return found


@settings(deadline=None, max_examples=20)
@given(
    shape=st.sampled_from([(1, 14, 17), (5, 8, 9), (1, 1, 30), (1, 1, 1), (4, 1, 6)]),
    seed=st.integers(0, 2**32 - 1),
    crumb=st.sampled_from([0, 6]),
    spacing=st.sampled_from([(1.0, 1.0, 1.0), (3.0, 0.5, 0.5), (0.25, 0.25, 0.75)]),
)
def test_amounts_are_those_of_the_masks(
    shape: tuple[int, ...], seed: int, crumb: int, spacing: tuple[float, ...]
) -> None:
    colours = noise(shape, seed)
    known = np.random.default_rng(seed).random(shape) < 0.9
    tree = hierarchy(colours, known, spacing, crumb)
    assert ((tree.basins >= 0) == known).all()
    if not known.any():
        return
    lengths = np.array(spacing) / min(spacing)
    faces, volume = lengths.prod() / lengths, lengths.prod()
    steep = steepness(colours, known, lengths)
    for i, mask in enumerate(masks(tree)):
        amounts = tree.amounts[i]
        np.testing.assert_allclose(amounts[SIZE], mask.sum() * volume)
        np.testing.assert_allclose(amounts[STEEP], steep[mask].sum() * volume, rtol=1e-4)
        np.testing.assert_allclose(amounts[COLOUR:], colours[:, mask].sum(axis=1) * volume, rtol=1e-3, atol=1e-2)
        border, strong, cut = _border(mask, known, steep, faces)
        np.testing.assert_allclose(amounts[[BORDER, STRONG, OPEN]], [border, strong, cut], rtol=1e-4, atol=1e-2)
        (box,) = ndimage.find_objects(mask.astype(int))
        assert tree.boxes[i].T.tolist() == [[s.start, s.stop] for s in box]


def _border(mask: np.ndarray, known: np.ndarray, steep: np.ndarray, faces: np.ndarray) -> tuple[float, float, float]:
    """Area of the border with known samples, the steepness summed over it, and area that the view cuts."""
    border = strong = cut = 0.0
    for axis in range(3):
        m, k, s = (np.moveaxis(a, axis, 0) for a in (mask, known, steep))
        between = (m[1:] != m[:-1]) & k[1:] & k[:-1]
        border += faces[axis] * between.sum()
        strong += faces[axis] * np.maximum(s[1:], s[:-1])[between].sum()
        if len(m) > 1:
            cut += faces[axis] * (m[0].sum() + m[-1].sum())
    return border, strong, cut


@pytest.mark.parametrize("shape", [(1, 40, 50), (12, 14, 16)])
def test_the_tree_ends_in_one_region_per_piece_of_what_is_known(shape: tuple[int, ...]) -> None:
    known = np.ones(shape, bool)
    known[..., 7] = False
    tree = hierarchy(noise(shape, 0), known, (1.0, 1.0, 1.0), 4)
    roots = np.flatnonzero(tree.parents < 0)
    assert sorted(tree.amounts[roots, SIZE]) == sorted([known[..., :7].sum(), known[..., 8:].sum()])
    count = int(tree.basins.max()) + 1
    assert len(tree.parents) == 2 * count - len(roots)
    assert (tree.halves[:count] == -1).all()
    for i, (one, two) in enumerate(tree.halves[count:], count):
        assert tree.parents[one] == tree.parents[two] == i
        assert tree.costs[i] >= max(tree.costs[one], tree.costs[two])
    assert all(ndimage.label(mask)[1] == 1 for mask in masks(tree))


@pytest.mark.parametrize("shape", [(1, 40, 50), (12, 14, 16)])
def test_regions_that_stand_out_are_those_of_the_tree_with_their_holes(shape: tuple[int, ...]) -> None:
    tree = hierarchy(noise(shape, 3, 0.7), np.ones(shape, bool), (1.0, 1.0, 1.0), 0)
    whole = {mask.tobytes() for mask in masks(tree)}
    found = list(standing(tree, ANY))
    assert len(found) > 10
    for region in found:
        mask = np.zeros(shape, bool)
        mask[region.box] = region.mask
        assert mask.tobytes() in whole


def test_small_holes_belong_to_what_is_around_them() -> None:
    colours = np.zeros((1, 1, 40, 40), np.float32)
    colours[0, 0, 10:30, 10:30] = 100
    colours[0, 0, 14:16, 14:16] = 0
    colours[0, 0, 20:26, 20:26] = 0
    tree = hierarchy(colours, np.ones((1, 40, 40), bool), (1.0, 1.0, 1.0), 0)
    sizes = [int(r.mask.sum()) for r in standing(tree, Taste(**{**vars(ANY), "least_size": 10.0}))]
    assert 400 - 36 in sizes
    assert 400 - 36 - 4 not in sizes
