"""How many samples masks in one view share, counted 64 at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from promptile.grid import Window

_WORD = 64
_AXES = 3
"""Views with fewer axes get leading ones of length 1."""


def packed(window: Window, samples: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """A mask as 64-bit words along its last axis; words begin where the view's index is a multiple of 64."""
    before = window.start[-1] % _WORD
    words = -(-(before + window.shape[-1]) // _WORD)
    wide = np.zeros((*window.shape[:-1], words * _WORD), bool)
    wide[..., before : before + window.shape[-1]] = samples
    return np.packbits(wide, axis=-1).view(np.uint64)


def shared_counts(
    windows: Sequence[Window], words: Sequence[NDArray[np.uint64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of masks that share samples.

    Parameters
    ----------
    windows : sequence of Window
        Where each mask is in the view; at most three axes.
    words : sequence of ndarray of uint64
        The masks themselves, from `packed`.

    Returns
    -------
    first, second, counts : ndarray of int64, shape (k,)
        Positions of the two masks, and how many samples they share; each pair once, in no particular order.
    """
    none = np.empty(0, np.int64)
    if len(windows) < 2:
        return none, none, none
    lead = _AXES - windows[0].ndim
    starts = np.array([(0,) * lead + w.start for w in windows], np.int64)
    stops = np.array([(1,) * lead + w.stop for w in windows], np.int64)
    starts[:, -1] //= _WORD
    stops[:, -1] = -(-stops[:, -1] // _WORD)
    offsets = np.cumsum([0, *(w.size for w in words)])
    axis = min(lead, _AXES - 1)
    order = np.argsort(starts[:, axis], kind="stable")
    flat = np.concatenate([w.ravel() for w in words])
    found = _pairs(starts, stops, offsets, flat, order, axis)
    return found[:, 0], found[:, 1], found[:, 2]


@numba.njit(cache=True, nogil=True)
def _pairs(starts: Any, stops: Any, offsets: Any, words: Any, order: Any, axis: int) -> Any:
    found = np.empty((1024, 3), np.int64)
    count = 0
    for a in range(len(order)):
        i = order[a]
        for b in range(a + 1, len(order)):
            j = order[b]
            if starts[j, axis] >= stops[i, axis]:
                break
            shared = _shared(starts[i], stops[i], words[offsets[i] :], starts[j], stops[j], words[offsets[j] :])
            if shared == 0:
                continue
            if count == len(found):
                more = np.empty((2 * count, 3), np.int64)
                more[:count] = found
                found = more
            found[count, 0], found[count, 1], found[count, 2] = i, j, shared
            count += 1
    return found[:count]


@numba.njit(cache=True, nogil=True)
def _shared(a: Any, a_stop: Any, a_words: Any, b: Any, b_stop: Any, b_words: Any) -> int:
    """How many bits two boxes of words have in common where they meet."""
    low = np.maximum(a, b)
    high = np.minimum(a_stop, b_stop)
    total = 0
    for z in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            left = ((z - a[0]) * (a_stop[1] - a[1]) + y - a[1]) * (a_stop[2] - a[2]) - a[2]
            right = ((z - b[0]) * (b_stop[1] - b[1]) + y - b[1]) * (b_stop[2] - b[2]) - b[2]
            for x in range(low[2], high[2]):
                total += _ones(a_words[left + x] & b_words[right + x])
    return total


@numba.njit(cache=True, nogil=True)
def _ones(word: Any) -> Any:
    """How many bits of a word are set: pairs, then fours, then bytes, and their sum by one multiplication."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))
