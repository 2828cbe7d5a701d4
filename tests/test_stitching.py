"""A perfect model, tiled, gives the truth; and each step does what a slow, plain implementation does."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from promptile.grid import Tile, Window, tiles
from promptile.stitching import Matches, Seen, TileAnswer, join, match, neighbours, paint, summarise
from promptile.stitching.pieces import count_shared, find_pieces, find_runs
from scenes import SCENES, answers_of, blocks_of, components, noise, pieces, renumber, stitch, whole


@st.composite
def tilings(draw):
    """Shape of a scene, size and overlap of its tiles (also a single sample), and a seed."""
    ndim = draw(st.sampled_from([2, 2, 3]))
    shape = tuple(draw(st.integers(3, 60 if ndim == 2 else 16)) for _ in range(ndim))
    overlap = [draw(st.integers(1, 8 if ndim == 2 else 4)) for _ in shape]
    # At most five tiles along an axis, or what is tested is the test.
    size = [o + draw(st.integers(max(1, n // 5), n)) for n, o in zip(shape, overlap, strict=True)]
    return shape, size, overlap, draw(st.integers(0, 2**32 - 1))


small = st.tuples(st.sampled_from([(1, 9, 14), (5, 6, 7)]), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
"""Two label volumes ``(z, y, x)``: their shape, and two seeds."""


# ------------------------------------------------------------------------------------------------ perfect models
@settings(max_examples=200, deadline=None)
@given(tilings(), st.sampled_from(SCENES), st.sampled_from([whole, pieces]))
def test_tiled_equals_untiled(tiling, scene, model):
    """No pixel changes, and ids follow the truth's first samples, whatever the tiles and blocks and their order."""
    shape, size, overlap, seed = tiling
    rng = np.random.default_rng(seed)
    truth = components(scene(shape, rng))
    blocks = blocks_of(shape, [int(rng.integers((n + 2) // 3, n + 1)) for n in shape])
    got, joined, _ = stitch(answers_of(truth, size, overlap, model, rng), shape, rng, blocks)
    np.testing.assert_array_equal(got[0], truth)
    assert len(joined) == truth.max()


@settings(max_examples=40, deadline=None)
@given(tilings(), st.sampled_from(SCENES))
def test_parts_far_apart_are_one_object_where_a_tile_says_so(tiling, scene):
    """A model that knows of parts that belong together is believed as far as tiles see them."""
    shape, size, overlap, seed = tiling
    rng = np.random.default_rng(seed)
    truth = scene(shape, rng)
    answers = answers_of(truth, size, overlap, whole, rng)
    parts = components(truth)
    groups = np.arange(parts.max() + 1)
    for tile, value in itertools.product(answers, np.unique(truth[truth > 0])):
        view = tile.outer.slices
        together = np.isin(groups, groups[parts[view][truth[view] == value]])
        if together.any():
            groups[together] = groups[together].min()
    got, _, _ = stitch(answers, shape, rng)
    np.testing.assert_array_equal(got[0], renumber(np.where(parts > 0, groups[parts], 0)))


def test_layers_do_not_mix_and_keep_their_parents():
    rng = np.random.default_rng(3)
    shape = (40, 50)
    wholes = components(np.add.outer(np.arange(40) // 17, np.arange(50) // 23 * 3) + 1)
    parts = np.where(np.add.outer(np.arange(40), np.arange(50)) % 7 > 1, wholes, 0)
    parts = components(np.where(parts > 0, wholes * 10 + np.arange(50) // 6, 0))
    answers = {}
    for tile in tiles(shape, 24, 6):
        upper, lower = renumber(wholes[tile.outer.slices]), renumber(parts[tile.outer.slices])
        below = np.where(lower > 0, lower + upper.max(), 0)
        parents = np.zeros(below.max(), np.int32)
        parents[below[below > 0] - 1] = upper[below > 0]
        answers[tile] = TileAnswer(
            np.stack([upper, below]).astype(np.uint16), np.ones(len(parents), np.float32), parents
        )
    got, joined, _ = stitch(answers, shape, rng)
    for layer, truth in enumerate((wholes, parts)):
        np.testing.assert_array_equal(renumber(got[layer]), truth)
        assert set(joined.layers[np.unique(got[layer][got[layer] > 0]) - 1]) == {layer}
    held = got[1] > 0
    np.testing.assert_array_equal(joined.parents[got[1][held] - 1], got[0][held])
    assert not joined.parents[joined.layers == 0].any()


def test_nothing_gives_nothing():
    joined = join({}, {})
    assert len(joined) == 0
    painted = paint(Window.of((4, 5)), [], 1, (4, 5))
    assert painted.labels.shape == (1, 4, 5)
    assert not painted.labels.any()
    assert painted.boxes.shape == (0, 2, 2)


# ------------------------------------------------------------------------------------------------ models that err
def line(*answers: str) -> dict[Tile, TileAnswer]:
    """Tiles of 12 samples in a row, 8 of which they share with the next, and what each sees.

    Letters are objects, dots are background::

        012345678901
            456789012345    core of the first tile: 0 to 7
    """
    found = {}
    for tile, text in zip(tiles((1, 8 + 4 * len(answers)), (1, 12), (0, 8)), answers, strict=True):
        letters = sorted(set(text) - {"."})
        labels = np.array([[[0 if c == "." else letters.index(c) + 1 for c in text]]], np.uint16)
        found[tile] = TileAnswer(labels, np.ones(len(letters), np.float32), np.zeros(len(letters), np.int32))
    return found


def drawn(*answers: str) -> str:
    got, _, _ = stitch(line(*answers), (1, 8 + 4 * len(answers)), np.random.default_rng(0))
    return "".join(".abcdefgh"[i] for i in got[0][0])


def test_the_author_paints_beyond_its_core():
    """The first tile sees all of a; the second sees less, and more, of it, and is not asked."""
    assert drawn("..aaaaaaa...", "aaaaaa......") == "..aaaaaaa......."


def test_what_the_owner_missed_is_painted_from_the_neighbour():
    assert drawn("...aaaaaaaaa", "............") == "...aaaaaaaaa...."


def test_what_only_a_halo_saw_is_dropped():
    assert drawn("........aaa.", "............") == "................"


def test_what_is_cut_and_lies_mostly_where_the_owner_sees_nothing_is_dropped():
    assert drawn("......aaaaaa", "............") == "................"
    assert drawn("......aaaaa.", "............") == "......aaaaa....."  # not cut


def test_a_gap_between_two_authors_is_closed():
    """Sample 7 is b to the first tile, the author of a, and a to the second, the author of b."""
    assert drawn(".aaaaaabbbbb", "aaaabbbbbbb.") == ".aaaaaabbbbbbbb."


def test_whole_wins_over_cut():
    assert drawn("....aaaaaaaa", ".bbbb.......") == "....abbbbaaa...."


def joined_ids(cut: bool, apart: list[tuple[int, int]]) -> list[int]:
    """Ids of a and b in the first tile and c in the second, where c matches both, and b better."""
    first, second = found = line("..aaaabbbbb.", "cccccccc....")
    objects = {tile: summarise(found[tile], tile, (1, 16)) for tile in found}
    if cut:
        boxes = np.array([[[0, 2], [1, 12]]] * 2, np.int32)
        objects[first] = dataclasses.replace(objects[first], margins=np.zeros(2, np.int32), boxes=boxes)
    pairs = np.array([[1, 1], [2, 1]], np.int32)
    none = np.empty((0, 2), np.int32)
    matches = Matches(pairs, np.array([0.6, 0.9], np.float32), np.array(apart, np.int32).reshape(-1, 2), none)
    roles = join(objects, {(first.index, second.index): matches}).roles
    return [*roles[first.index].ids[1:], *roles[second.index].ids[1:]]


def test_an_edge_is_refused_where_a_tile_saw_two_objects():
    assert joined_ids(True, []) == [1, 1, 1]
    assert joined_ids(True, [(1, 2)]) == [1, 2, 2]


def test_an_object_that_a_tile_saw_whole_is_not_joined_with_another_of_that_tile():
    assert joined_ids(False, []) == [1, 2, 2]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_order_matters_when_tiles_contradict_each_other(seed):
    rng = np.random.default_rng(seed)
    shape = (30, 34)
    answers = {tile: whole(noise(tile.outer.shape, rng), rng) for tile in tiles(shape, 14, 5)}
    first, again = (stitch(answers, shape, rng, blocks_of(shape, blocks)) for blocks in ((30, 34), (11, 13)))
    np.testing.assert_array_equal(first[0], again[0])
    for name in ("scores", "parents", "tiles", "authored"):
        np.testing.assert_array_equal(getattr(first[1], name), getattr(again[1], name))


@pytest.fixture(scope="module")
def bench():
    """The benchmark's truth, its erring model and its figures."""
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "stitching.py"
    spec = importlib.util.spec_from_file_location("stitching_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_an_erring_model_loses_little_by_tiling(bench):
    window = Window.of((1024, 1024))
    scene = bench.truth(window, 40.0)
    model = bench.Erring(0)
    answers = bench.ask(model, scene, 256, 48)
    untiled = bench.compare(model(scene, Tile((0, 0), window, window), scene.shape).labels[0], scene, list(answers))
    ours = bench.compare(bench.stitched(answers, scene.shape), scene, list(answers))
    worst = bench.compare(bench.unmerged(answers, scene.shape), scene, list(answers))
    assert ours.f1_50 > untiled.f1_50 - 0.015  # of some 500 objects; docs/stitching.md has the figures of many
    assert ours.split + ours.twice < (worst.split + worst.twice) / 10
    assert max(ours.seam, ours.rim) < 1.5 < 10 < worst.seam


# ------------------------------------------------------------------------------------------------ single steps
def naive_pieces(labels: np.ndarray) -> set[tuple[int, frozenset]]:
    found = set()
    for value in np.unique(labels[labels > 0]):
        parts, n = ndimage.label(labels == value, np.ones((3, 3, 3)))
        found |= {(int(value), frozenset(np.flatnonzero(parts == i + 1).tolist())) for i in range(n)}
    return found


def as_sets(labels: np.ndarray) -> dict[int, tuple[int, frozenset]]:
    """Label and samples of each piece that the kernels find."""
    runs = find_runs(labels)
    found = find_pieces(runs)
    samples: dict[int, list[int]] = {}
    width = labels.shape[2]
    for row in range(len(runs.rows) - 1):
        for i in range(runs.rows[row], runs.rows[row + 1]):
            members = range(row * width + runs.starts[i], row * width + runs.stops[i])
            samples.setdefault(int(found.of_runs[i]), []).extend(members)
    assert [len(samples[i]) for i in range(len(samples))] == found.counts.tolist()
    return {i: (int(found.labels[i]), frozenset(members)) for i, members in samples.items()}


@settings(max_examples=50, deadline=None)
@given(small)
def test_pieces_are_what_scipy_finds(drawn_from):
    shape, seed, _ = drawn_from
    labels = noise(shape, np.random.default_rng(seed)).astype(np.uint16)
    assert set(as_sets(labels).values()) == naive_pieces(labels)
    touching = set()
    for shift in itertools.product((-1, 0, 1), repeat=3):
        inner = [slice(max(0, -d), n - max(0, d)) for d, n in zip(shift, shape, strict=True)]
        moved = [slice(max(0, d), n - max(0, -d)) for d, n in zip(shift, shape, strict=True)]
        for p, q in zip(labels[tuple(inner)].ravel().tolist(), labels[tuple(moved)].ravel().tolist(), strict=True):
            if 0 < p < q:
                touching.add((p, q))
    assert [tuple(pair) for pair in find_pieces(find_runs(labels)).touching.tolist()] == sorted(touching)


@settings(max_examples=50, deadline=None)
@given(small)
def test_matches_are_the_pieces_that_overlap_by_more_than_half(drawn_from):
    shape, *seeds = drawn_from
    a = noise(shape, np.random.default_rng(seeds[0])).astype(np.uint16)
    b = np.where(np.random.default_rng(seeds[1]).random(shape) < 0.9, a, 0).astype(np.uint16)
    left, right = as_sets(a), as_sets(b)
    expected: dict[tuple[int, int], float] = {}
    shared = []
    for (i, (la, p)), (j, (lb, q)) in itertools.product(left.items(), right.items()):
        if p & q:
            shared.append([i, j, len(p & q)])
            iou = len(p & q) / len(p | q)
            if iou > 0.5:
                expected[la, lb] = max(iou, expected.get((la, lb), 0))
    runs = find_runs(a), find_runs(b)
    counted = count_shared(*runs, *(find_pieces(each).of_runs for each in runs))
    assert counted.tolist() == shared
    matches = match(a[None], b[None])
    assert [tuple(pair) for pair in matches.pairs.tolist()] == sorted(expected)
    np.testing.assert_allclose(matches.ious, [expected[pair] for pair in sorted(expected)], rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(tilings(), st.sampled_from(SCENES))
def test_what_is_known_of_a_tile(tiling, scene):
    shape, size, overlap, seed = tiling
    rng = np.random.default_rng(seed)
    truth = scene(shape, rng)
    for tile in list(tiles(shape, size, overlap))[:4]:
        answer = whole(truth[tile.outer.slices], rng)
        known = summarise(answer, tile, shape)
        canvas = np.zeros(shape, int)
        canvas[tile.outer.slices] = answer.labels[0]
        for i in range(len(answer.scores)):
            where = np.argwhere(canvas == i + 1)
            assert known.counts[i] == len(where)
            assert known.owned[i] == np.count_nonzero(canvas[tile.core.slices] == i + 1)
            if len(where) == 0:
                continue
            np.testing.assert_array_equal(known.boxes[i], [where.min(0), where.max(0) + 1])
            assert known.firsts[i] == np.ravel_multi_index(where[0], shape)
            before = [w - a for w, a in zip(where.min(0), tile.outer.start, strict=True) if a > 0]
            after = [b - w - 1 for w, b, n in zip(where.max(0), tile.outer.stop, shape, strict=True) if b < n]
            assert known.margins[i] == min([*before, *after, np.iinfo(np.int32).max])


def test_labels_without_a_score_are_refused():
    tile = Tile((0, 0), Window.of((2, 2)), Window.of((2, 2)))
    answer = TileAnswer(np.full((1, 2, 2), 3, np.uint16), np.ones(2, np.float32), np.zeros(2, np.int32))
    with pytest.raises(ValueError, match="up to 3, but there are 2 scores"):
        summarise(answer, tile, (2, 2))


@pytest.mark.parametrize("counts", [(1, 1), (3, 4), (2, 3, 2)])
def test_neighbours_are_one_step_apart(counts):
    everywhere = list(itertools.product(*map(range, counts)))
    expected = [(a, b) for a, b in itertools.combinations(everywhere, 2) if max(abs(np.subtract(a, b))) == 1]
    assert sorted(neighbours(counts)) == sorted(expected)


@settings(max_examples=20, deadline=None)
@given(tilings(), st.sampled_from(SCENES))
def test_painted_objects_are_counted(tiling, scene):
    shape, size, overlap, seed = tiling
    rng = np.random.default_rng(seed)
    truth = components(scene(shape, rng))
    blocks = blocks_of(shape, [(n + 1) // 2 for n in shape])
    _, _, painted = stitch(answers_of(truth, size, overlap, pieces, rng), shape, rng, blocks)
    for block, found in zip(blocks, painted, strict=True):
        canvas = np.zeros(shape, int)
        canvas[block.slices] = found.labels[0]
        assert found.ids.tolist() == np.unique(canvas[canvas > 0]).tolist()
        for row, i in enumerate(found.ids):
            where = np.argwhere(canvas == i)
            assert found.counts[row] == len(where)
            np.testing.assert_array_equal(found.boxes[row], [where.min(0), where.max(0) + 1])
            assert found.firsts[row] == np.ravel_multi_index(where[0], shape)


def test_only_what_lies_in_the_block_is_looked_at():
    tile = Tile((0, 0), Window.of((4, 4)), Window.of((4, 4)))
    answer = TileAnswer(np.ones((1, 4, 4), np.uint16), np.ones(1, np.float32), np.zeros(1, np.int32))
    roles = join({tile: summarise(answer, tile, (4, 4))}, {}).roles[0, 0]
    block = Window((1, 2), (2, 2))
    cut = Seen(tile, block, answer.labels[(slice(None), *block.slices)], roles)
    for seen in (cut, Seen(tile, tile.outer, answer.labels, roles)):
        painted = paint(block, [seen], 1, (4, 4))
        assert (painted.labels == 1).all()
        assert painted.counts.tolist() == [4]
