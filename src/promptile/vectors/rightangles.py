"""Outlines with right angles, for buildings.

Each polygon has a main direction, that of its long edges modulo a right angle. Edges are taken as running along or
across it; those that follow each other on the same side become one straight wall at their mean place, and steps that
are shorter than a wall may be are evened out. At last all walls move outwards or inwards until the area is that of the
samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from promptile.vectors.rings import Rings

_MOST_WALLS = 512
"""Rings with more walls are no buildings, and would take long."""


def right_angled(
    rings: Rings, areas: NDArray[np.float64], metric: NDArray[np.float64], shortest: float
) -> tuple[Rings, NDArray[np.bool_]]:
    """Rings of right angles in the world.

    Parameters
    ----------
    rings : Rings
        Sorted by polygon, exteriors first.
    areas : ndarray, shape (rings,)
        What each ring is to enclose, in samples.
    metric : ndarray, shape (2, 2)
        Takes steps in rows and columns to steps in the world.
    shortest : float
        Shorter walls are evened out; in the world's units.

    Returns
    -------
    rings : Rings
    made : ndarray of bool, shape (rings,)
        Which of them have right angles; the others are as they were.
    """
    world = rings.points @ metric.T
    found, starts = np.empty_like(world), np.zeros_like(rings.starts)
    made = np.zeros(len(rings.hole), np.bool_)
    areas = areas * abs(np.linalg.det(metric))
    _make(world, rings.starts, rings.hole, areas, shortest, (found, starts, made))
    back = found[: starts[-1]] @ np.linalg.inv(metric).T
    return rings._replace(points=back, starts=starts), made


@njit(cache=True, nogil=True)
def _make(points: Any, starts: Any, hole: Any, areas: Any, shortest: float, out: Any) -> None:
    found, ends, made = out
    used, angle = 0, 0.0
    for ring in range(len(starts) - 1):
        line = points[starts[ring] : starts[ring + 1]]
        if not hole[ring]:
            angle = _direction(line)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        turned = np.empty_like(line)
        for i in range(len(line)):
            x, y = line[i, 0] - line[0, 0], line[i, 1] - line[0, 1]
            turned[i, 0], turned[i, 1] = turn[0, 0] * x + turn[0, 1] * y, turn[1, 0] * x + turn[1, 1] * y
        places = _walls(turned, shortest)
        made[ring] = len(places) > 0
        if made[ring]:
            _move(places, areas[ring])
            for k in range(len(places) + 1):  # walls alternate: along, across
                i, j = k % len(places), (k + 1) % len(places)
                along, across = (places[i], places[j]) if i % 2 == 0 else (places[j], places[i])
                found[used, 0] = line[0, 0] + turn[0, 0] * across + turn[1, 0] * along
                found[used, 1] = line[0, 1] + turn[0, 1] * across + turn[1, 1] * along
                used += 1
        else:
            found[used : used + len(line)] = line
            used += len(line)
        ends[ring + 1] = used


@njit(cache=True, nogil=True)
def _direction(line: Any) -> float:
    """The main direction of a closed line, modulo a right angle; long walls count more.

    Once the direction of the edges is known, those in a row on one side are one wall: from its beginning to its end
    its direction is known better.
    """
    steps = line[1:] - line[:-1]
    angle = _mean_direction(steps)
    for _ in range(2):
        x, y = np.cos(angle), np.sin(angle)
        along = np.abs(steps[:, 0] * x + steps[:, 1] * y) >= np.abs(steps[:, 1] * x - steps[:, 0] * y)
        walls, count = np.zeros_like(steps), 0
        for k in range(len(steps)):
            if k > 0 and along[k] != along[k - 1]:
                count += 1
            walls[count] += steps[k]
        angle = _mean_direction(walls[: count + 1])
    return angle


@njit(cache=True, nogil=True)
def _mean_direction(steps: Any) -> float:
    """The mean direction of steps, modulo a right angle, weighed by the squares of their lengths."""
    x, y = 0.0, 0.0
    for k in range(len(steps)):
        weight = steps[k, 0] ** 2 + steps[k, 1] ** 2
        four = 4 * np.arctan2(steps[k, 1], steps[k, 0])
        x, y = x + weight * np.cos(four), y + weight * np.sin(four)
    return float(np.arctan2(y, x) / 4)


@njit(cache=True, nogil=True)
def _walls(line: Any, shortest: float) -> Any:
    """Places of the walls of a closed line, along and across in turn: y of the first, x of the second ...

    None if the line has no four walls, or too many.
    """
    count = len(line) - 1
    steps = np.abs(line[1:] - line[:-1])
    along = steps[:, 0] >= steps[:, 1]
    begin = 0
    while begin < count and not (along[begin] and not along[begin - 1]):
        begin += 1
    none = np.empty(0)
    if begin == count:
        return none
    places, weights = np.zeros(count), np.zeros(count)
    walls = 0
    for k in range(count):
        i = (begin + k) % count
        if k > 0 and along[i] != along[i - 1]:
            walls += 1
        length = np.sqrt(steps[i, 0] ** 2 + steps[i, 1] ** 2)
        axis = 1 if along[i] else 0
        places[walls] += length * (line[i, axis] + line[i + 1, axis]) / 2
        weights[walls] += length
    walls += 1
    if walls < 4 or walls > _MOST_WALLS:
        return none
    return _even(places[:walls] / weights[:walls], weights[:walls], shortest)


@njit(cache=True, nogil=True)
def _even(places: Any, weights: Any, shortest: float) -> Any:
    """Take out the shortest wall as long as it is too short: the walls before and after it become one."""
    count = len(places)
    while count > 4:
        least, best = -1, shortest
        for i in range(count):
            length = abs(places[(i + 1) % count] - places[i - 1 if i else count - 1])
            if length < best:
                least, best = i, length
        if least < 0:
            break
        before, after = (least - 1) % count, (least + 1) % count
        weight = weights[before] + weights[after]
        places[before] = (weights[before] * places[before] + weights[after] * places[after]) / weight
        weights[before] = weight
        first, second = min(least, after), max(least, after)
        for k in range(count):  # close the gaps; wrapping round leaves the walls in turn
            if k > second:
                places[k - 2], weights[k - 2] = places[k], weights[k]
            elif first < k < second:
                places[k - 1], weights[k - 1] = places[k], weights[k]
        count -= 2
        if first == 0 and second == count + 1:  # the first wall went: what is first now runs across
            places[:count], weights[:count] = np.roll(places[:count], 1), np.roll(weights[:count], 1)
    return places[:count]


@njit(cache=True, nogil=True)
def _move(places: Any, area: float) -> None:
    """Move all walls by one distance outwards so that they enclose the `area`, or inwards."""
    count = len(places)
    for _ in range(2):  # what corners add to length times distance is left to the second time
        now, around = 0.0, 0.0
        way = np.empty(count)
        for k in range(count):
            step = places[(k + 1) % count] - places[k - 1]
            way[k] = np.sign(step) if k % 2 == 0 else -np.sign(step)
            around += abs(step)
            if k % 2 == 0:
                now -= places[k] * step
        turn = np.sign(now)  # anticlockwise walls that run forward along have the inside on their left
        distance = (area - abs(now)) / around
        for k in range(count):
            places[k] -= turn * way[k] * distance
