"""Many cheap guesses at an object, each a mask on a scene's cells."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from promptile.models.basin.solid.cut import Effort, soft_cut
from promptile.models.basin.solid.masks import around, dilated, eroded
from promptile.models.basin.solid.scene import Scene
from promptile.models.basin.solid.supports import Support
from promptile.models.basin.solid.workgrid import Field, Mask

PRIORS = (1.5, 4.0)
"""Log odds in the centre of the ellipsoid, for the soft cuts."""
TRUSTS = (0.05, 0.2)
"""How much the soft cuts heed a cell's belief against its links."""
CUT_EFFORT = Effort(rounds=5, sweeps=12)
QUANTILES = (0.0, 0.05, 0.15, 0.3, 0.45, 0.6, 0.75, 0.85, 0.92, 0.97, 1.0)
"""Of the tones in the bounds: the ends of the intensity intervals."""
SEEDS = (0.2, 0.4, 0.6)
"""Radii of the watersheds' inner markers."""
_EDGE_LEVELS = 250


def hypotheses(scene: Scene, support: Support, click: NDArray[np.intp] | None = None) -> list[Mask]:
    """All guesses inside the allowed cells; empty ones and doubles are left out.

    Parameters
    ----------
    scene : Scene
    support : Support
    click : ndarray of int, shape (3,), optional
        A cell of the object, where there is no box: intervals hold its tone, components hold it.
    """
    rho = support.radius(scene.grid.centres)
    guesses = itertools.chain(
        [rho <= max(1.0, float(rho.min()))],
        _cuts(scene, rho),
        _watersheds(scene, rho),
        _intervals(scene, rho, support.framed(scene.grid.centres), click),
    )
    found: dict[bytes, Mask] = {}
    for guess in guesses:
        mask = guess & scene.allowed
        if mask.any():
            found.setdefault(np.packbits(mask).tobytes(), mask)
    return list(found.values())


def _cuts(scene: Scene, rho: Field) -> Iterator[Mask]:
    for strength, trust in itertools.product(PRIORS, TRUSTS):
        prior = (strength * (1 - rho)).astype(np.float32)
        yield soft_cut(scene, (rho < 1).astype(np.float32), prior, trust, CUT_EFFORT) > 0.5


def _watersheds(scene: Scene, rho: Field) -> Iterator[Mask]:
    edges = (ndimage.gaussian_filter(scene.contrast.max(axis=0), 0.7) * _EDGE_LEVELS).astype(np.uint8)
    for seed in SEEDS:
        markers = np.where(scene.allowed, 0, 2).astype(np.int8)
        markers[(rho <= max(seed, float(rho.min()))) & scene.allowed] = 1
        yield ndimage.watershed_ift(edges, markers) == 1


def _intervals(scene: Scene, rho: Field, framed: Mask, click: NDArray[np.intp] | None) -> Iterator[Mask]:
    """Components of the cells whose tone lies in an interval; also of their erosions, to open thin bridges."""
    if not scene.allowed.any():
        return
    near = around(scene.allowed)  # outside of it nothing is found
    allowed, frame = scene.allowed[near], framed[near]
    weight = np.where(allowed, np.exp(-(rho[near] ** 2)), 0).astype(np.float32)
    at = None if click is None else tuple(int(c) - s.start for c, s in zip(click, near, strict=True))
    for tone, opened in ((scene.tone[near], False), (scene.smooth[near], True)):
        levels = np.quantile(tone[allowed], QUANTILES)
        levels[0], levels[-1] = -np.inf, np.inf
        for low, high in itertools.combinations(levels, 2):
            everything = np.isinf(low) and np.isinf(high)
            if everything or (at is not None and not low <= tone[at] < high):
                continue
            between = (tone >= low) & (tone < high) & allowed
            pieces = list(_components(between, weight, frame, at))
            if opened:
                pieces += [dilated(piece) & between for piece in _components(eroded(between), weight, frame, at)]
            for piece in pieces:
                guess = np.zeros(scene.allowed.shape, bool)
                guess[near] = piece
                yield guess


def _components(mask: Mask, weight: Field, framed: Mask, click: tuple[int, ...] | None) -> Iterator[Mask]:
    """The component at the click; without one the most central component and the one that best fills the frame."""
    pieces, count = ndimage.label(mask)
    if count == 0:
        return
    if click is not None:
        chosen = {int(pieces[click])} - {0}
    else:
        held = np.bincount(pieces.ravel(), weight.ravel())
        held[0] = 0
        spans = ndimage.find_objects(np.where(framed, pieces, 0), count)
        sizes = [np.prod([s.stop - s.start for s in span]) if span else 0 for span in spans]
        chosen = {int(np.argmax(held)), int(np.argmax(sizes)) + 1}
    for piece in sorted(chosen):
        yield pieces == piece
