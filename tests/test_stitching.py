"""A perfect model, tiled, gives the truth; and each kernel does what a slow, plain implementation does."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scenes import SCENES, answers_of, blocks_of, components, pieces, stitch, whole


@st.composite
def tilings(draw, ndim=None):
    """Shape of a scene, size and overlap of its tiles (halos from half a sample), and a seed."""
    ndim = ndim or draw(st.sampled_from([2, 2, 3]))
    longest, widest = (70, 40) if ndim == 2 else (18, 12)
    shape = tuple(draw(st.integers(3, longest)) for _ in range(ndim))
    size = [draw(st.integers(2, widest)) for _ in range(ndim)]
    overlap = [draw(st.integers(1, max(1, n - 1))) for n in size]
    return shape, size, overlap, draw(st.integers(0, 2**32 - 1))


@settings(max_examples=200, deadline=None)
@given(tilings(), st.sampled_from(SCENES), st.sampled_from([whole, pieces]))
def test_tiled_equals_untiled(tiling, scene, model):
    shape, size, overlap, seed = tiling
    rng = np.random.default_rng(seed)
    truth = components(scene(shape, rng))
    blocks = blocks_of(shape, [int(rng.integers(1, n + 1)) for n in shape])
    got, joined, _ = stitch(answers_of(truth, size, overlap, model, rng), shape, rng, blocks)
    np.testing.assert_array_equal(got[0], truth)
    assert len(joined) == truth.max()
