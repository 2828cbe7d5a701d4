"""A perfect model, tiled, gives the truth; and each kernel does what a slow, plain implementation does."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scenes import SCENES, answers_of, blocks_of, components, pieces, stitch, whole


@st.composite
def tilings(draw):
    """Shape of a scene, size and overlap of its tiles (also a single sample), and a seed."""
    ndim = draw(st.sampled_from([2, 2, 3]))
    shape = tuple(draw(st.integers(3, 60 if ndim == 2 else 16)) for _ in range(ndim))
    overlap = [draw(st.integers(1, 8 if ndim == 2 else 4)) for _ in shape]
    # At most five tiles along an axis, or what is tested is the test.
    size = [o + draw(st.integers(max(1, n // 5), n)) for n, o in zip(shape, overlap, strict=True)]
    return shape, size, overlap, draw(st.integers(0, 2**32 - 1))


@settings(max_examples=200, deadline=None)
@given(tilings(), st.sampled_from(SCENES), st.sampled_from([whole, pieces]))
def test_tiled_equals_untiled(tiling, scene, model):
    shape, size, overlap, seed = tiling
    rng = np.random.default_rng(seed)
    truth = components(scene(shape, rng))
    blocks = blocks_of(shape, [int(rng.integers((n + 2) // 3, n + 1)) for n in shape])
    got, joined, _ = stitch(answers_of(truth, size, overlap, model, rng), shape, rng, blocks)
    np.testing.assert_array_equal(got[0], truth)
    assert len(joined) == truth.max()
