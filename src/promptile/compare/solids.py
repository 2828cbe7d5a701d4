"""What is compared of bodies in a medical volume beside their samples: surfaces and volumes, in millimetres."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from promptile.compare.sampled import Sampled
from promptile.compare.scores import Comparison, Pair, Solid, Solids
from promptile.compare.surfaces import Surface, apart
from promptile.grid import Grid

_MM3_PER_ML = 1000.0


@dataclass(frozen=True, eq=False)
class _Side:
    """The objects of one side, by id."""

    layer: Sampled
    grid: Grid

    def surface(self, number: int) -> Surface:
        at = self._at(number)
        return Surface.of(self.layer.samples[at], self.layer.windows[at], self.grid)

    def volume_ml(self, number: int) -> float:
        return float(self.layer.sizes[self._at(number)]) * self.grid.sample_size / _MM3_PER_ML

    def _at(self, number: int) -> int:
        return list(self.layer.ids).index(number)


def with_solids(comparison: Comparison, result: Sampled, truth: Sampled, grid: Grid, tolerance_mm: float) -> Comparison:
    """The comparison with surface Dice, HD95 and differences of volume for each pair of a medical volume.

    Surfaces are compared in the bounding boxes of the objects; distances are in the patient, so that anisotropic and
    oblique volumes need no care.
    """
    sides = _Side(result, grid), _Side(truth, grid)
    pairs = tuple(replace(pair, solid=_solid(pair, *sides, tolerance_mm)) for pair in comparison.pairs)
    wanted = [pair.solid for pair in pairs if pair.truth is not None and pair.solid is not None]
    return replace(
        comparison,
        pairs=pairs,
        solids=Solids(
            tolerance_mm=tolerance_mm,
            surface_dice=_mean(s.surface_dice for s in wanted),
            hd95_mm=_mean(s.hd95_mm for s in wanted if not math.isnan(s.hd95_mm)),
            volume_difference_ml=_mean(abs(s.volume_difference_ml) for s in wanted),
            volume_difference_percent=_mean(abs(s.volume_difference_percent) for s in wanted),
        ),
    )


def _solid(pair: Pair, result: _Side, truth: _Side, tolerance_mm: float) -> Solid:
    found = 0.0 if pair.result is None else result.volume_ml(pair.result)
    wanted = 0.0 if pair.truth is None else truth.volume_ml(pair.truth)
    difference = found - wanted
    percent = 100 * difference / wanted if wanted else math.nan
    if pair.result is None or pair.truth is None:
        return Solid(0.0, math.nan, difference, percent)
    between = apart(result.surface(pair.result), truth.surface(pair.truth), tolerance_mm)
    return Solid(between.surface_dice, between.hd95_mm, difference, percent)


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return float(np.mean(known)) if known else math.nan
