"""Stitching against a known truth: what is split, fused, twice or lost, and what it costs.

    python benchmarks/stitching.py            # the table of docs/stitching.md
    python benchmarks/stitching.py --length 2048 --seeds 1

The truth is a function of the position, so that any window of any scene can be made on its own. Models answer with
the truth of a tile's outer window: exactly, or with the errors that models make.
"""

from __future__ import annotations

import argparse
import itertools
import math
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numba import njit
from numpy.typing import NDArray

from promptile.grid import Tile, Window, tiles
from promptile.stitching import Seen, TileAnswer, join, match, neighbours, paint, summarise
from promptile.stitching.pieces import find_pieces, find_runs

SIZES = {"20–60": 40.0, "60–200": 130.0, "200–700": 450.0}
"""Diameters of the objects in pixels, and the distance of their centres that gives them."""

BAND = 1 << 31
"""Ids from here on are bands that cross the scene."""


# ----------------------------------------------------------------------------------------------------- truth
def truth(window: Window, pitch: float) -> NDArray[np.uint32]:
    """Blobs that touch, and bands across the scene that cut them; ids mean nothing but identity."""
    out = np.zeros(window.shape, np.uint32)
    _truth(window.start[0], window.start[1], pitch, out)
    return out


@njit(cache=True, nogil=True)
def _hash(y: int, x: int, k: int) -> float:
    """Pseudo-random, 0 to 1."""
    h = np.uint64(y * 73856093) ^ np.uint64(x * 19349663) ^ np.uint64(k * 83492791)
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return float((h ^ (h >> np.uint64(33))) >> np.uint64(11)) / float(1 << 53)


@njit(cache=True, nogil=True)
def _truth(top: int, left: int, pitch: float, out: NDArray[np.uint32]) -> None:
    spacing, wave = 613.0, 0.08 * pitch
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            y, x = float(top + j), float(left + i)
            height = y + 0.31 * x + 40 * math.sin(x / 331) + 1e5
            side = int(height // spacing)
            if height % spacing < 5 + 25 * _hash(side, 0, 3):
                out[j, i] = BAND + side
                continue
            v = 0.8 * y - 0.6 * x + 4e4 + wave * math.sin(x / (0.4 * pitch) + y / (0.9 * pitch))
            u = 0.6 * y + 0.8 * x + wave * math.sin(y / (0.43 * pitch) - x / (0.8 * pitch))
            row, column = int(v // pitch), int(u // pitch)
            best, owner = 1e18, 0
            for r in range(row - 1, row + 2):
                for c in range(column - 1, column + 2):
                    dy = v - (r + 0.5 + 0.6 * (_hash(r, c, 0) - 0.5)) * pitch
                    dx = u - (c + 0.5 + 0.6 * (_hash(r, c, 1) - 0.5)) * pitch
                    distance = dy * dy + dx * dx
                    if distance < best:
                        best = distance
                        radius = (0.4 + 0.5 * _hash(r, c, 2)) * pitch
                        owner = ((r + 2) * 8192 + c + 2) * 8 + side % 8 + 1 if distance < radius * radius else 0
            out[j, i] = owner


# ---------------------------------------------------------------------------------------------------- models
@dataclass(frozen=True)
class Erring:
    """A model that makes the errors which models make; each tile errs on its own."""

    seed: int
    jitter: float = 2.0
    """Largest shift of a border, in pixels."""
    cut_jitter: float = 6.0
    """The same at a cut border; it fades over `reach`."""
    reach: int = 32
    missed: float = 0.01
    cut_missed: float = 0.5
    fused: float = 0.01
    """Of the pairs that touch."""

    def __call__(self, view: NDArray[np.uint32], tile: Tile, shape: tuple[int, ...]) -> TileAnswer:
        rng = np.random.default_rng([self.seed, *tile.outer.start])
        cut = np.array([[a > 0, b < n] for a, b, n in zip(tile.outer.start, tile.outer.stop, shape, strict=True)])
        ids, labels = dense(view)
        runs = find_runs(labels[None])
        new = np.arange(len(ids) + 1)
        for a, b in find_pieces(runs).touching:
            if rng.random() < self.fused:
                new[new == new[b]] = new[a]
        rims = [(labels[0], cut[0, 0]), (labels[-1], cut[0, 1]), (labels[:, 0], cut[1, 0]), (labels[:, -1], cut[1, 1])]
        reaching = np.unique(np.concatenate([new[rim] for rim, is_cut in rims if is_cut] or [np.zeros(0, int)]))
        chance = np.full(len(new), self.missed)
        chance[reaching] = self.cut_missed
        new[(rng.random(len(new)) < chance)[new]] = 0
        coarse = rng.uniform(-1, 1, (2, *(n // 8 + 3 for n in view.shape)))
        moved = np.zeros_like(labels)
        _shift(new[labels], coarse, cut, self.jitter, self.cut_jitter, self.reach, moved)
        return answer(moved, rng)


def perfect(view: NDArray[np.uint32], tile: Tile, shape: tuple[int, ...]) -> TileAnswer:
    return answer(view, np.random.default_rng(tile.outer.start))


def dense(labels: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """Ids, and the labels as 1 + position among the ids."""
    codes, ids = pd.factorize(labels.ravel(), sort=True)  # a hash, where np.unique sorts
    codes = codes.reshape(labels.shape)
    return (ids[1:], codes) if ids[0] == 0 else (ids, codes + 1)


def answer(labels: NDArray[np.integer], rng: np.random.Generator) -> TileAnswer:
    ids, labels = dense(labels)
    n = len(ids)
    order = np.append(0, rng.permutation(n) + 1).astype(np.uint16 if n < 65535 else np.uint32)
    return TileAnswer(order[labels][None], rng.random(n, np.float32), np.zeros(n, np.int32))


@njit(cache=True, nogil=True)
def _shift(labels, coarse, cut, jitter, cut_jitter, reach, out):
    """Read each pixel up to `jitter` pixels away, by a field that is smooth over 8 pixels."""
    ny, nx = labels.shape
    for y in range(ny):
        for x in range(nx):
            near = reach
            near = min(near, y) if cut[0, 0] else near
            near = min(near, ny - 1 - y) if cut[0, 1] else near
            near = min(near, x) if cut[1, 0] else near
            near = min(near, nx - 1 - x) if cut[1, 1] else near
            size = jitter + (cut_jitter - jitter) * (1 - near / reach)
            j, i, b, a = y // 8, x // 8, (y % 8) / 8, (x % 8) / 8
            at = np.zeros(2)
            for k in range(2):
                upper = coarse[k, j, i] * (1 - a) + coarse[k, j, i + 1] * a
                lower = coarse[k, j + 1, i] * (1 - a) + coarse[k, j + 1, i + 1] * a
                at[k] = size * (upper * (1 - b) + lower * b)
            v, u = math.floor(y + at[0] + 0.5), math.floor(x + at[1] + 0.5)
            out[y, x] = labels[min(max(v, 0), ny - 1), min(max(u, 0), nx - 1)]


# --------------------------------------------------------------------------------------------------- stitchers
def ask(model, scene: NDArray[np.uint32], core: int, halo: int) -> dict[Tile, TileAnswer]:
    size = core + 2 * halo
    return {tile: model(scene[tile.outer.slices], tile, scene.shape) for tile in tiles(scene.shape, size, 2 * halo)}


def stitched(answers: Mapping[Tile, TileAnswer], shape: tuple[int, ...]) -> NDArray[np.uint32]:
    """What the package does."""
    objects = {tile: summarise(found, tile, shape) for tile, found in answers.items()}
    at = {tile.index: tile for tile in answers}
    matches = {}
    for pair in neighbours(tuple(np.max(list(at), axis=0) + 1)):
        a, b = (at[index] for index in pair)
        box = a.outer & b.outer
        cuts = [answers[tile].labels[(slice(None), *box.within(tile.outer).slices)] for tile in (a, b)]
        matches[pair] = match(*cuts)
    joined = join(objects, matches)
    out = np.zeros(shape, np.uint32)
    for tile in answers:
        near = (
            Seen(other, other.outer, answers[other].labels, joined.roles[other.index])
            for other in answers
            if not (other.outer & tile.core).empty
        )
        out[tile.core.slices] = paint(tile.core, near, 1, shape).labels[0]
    return out


def unmerged(answers: Mapping[Tile, TileAnswer], shape: tuple[int, ...]) -> NDArray[np.uint32]:
    """Each tile's core with ids of its own."""
    out, used = np.zeros(shape, np.uint32), 0
    for tile, found in answers.items():
        own = found.labels[0][tile.core.within(tile.outer).slices]
        out[tile.core.slices] = np.where(own > 0, own + np.uint32(used), 0)
        used += len(found.scores)
    return out


def touching(answers: Mapping[Tile, TileAnswer], shape: tuple[int, ...]) -> NDArray[np.uint32]:
    """Cores, and all labels that touch across a core border are one object."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    out = unmerged(answers, shape)
    pairs = [np.empty((0, 2), np.int64)]
    for tile in answers:
        for axis, first in enumerate(tile.core.start):
            if first > 0:
                here, there = list(tile.core.slices), list(tile.core.slices)
                here[axis], there[axis] = slice(first, first + 1), slice(first - 1, first)
                both = np.stack([out[tuple(here)].ravel(), out[tuple(there)].ravel()], axis=1)
                pairs.append(both[(both > 0).all(axis=1)])
    joined = np.concatenate(pairs)
    n = int(out.max()) + 1
    graph = coo_array((np.ones(len(joined), bool), (joined[:, 0], joined[:, 1])), shape=(n, n))
    groups = connected_components(graph, directed=False)[1].astype(np.uint32) + 1
    return np.where(out > 0, groups[out], 0).astype(np.uint32)


def merged_by_samgeo(python: str) -> Callable[..., NDArray[np.uint32]]:
    """The merging of samgeo itself, in an interpreter that has it; see `samgeo_merge.py`."""

    def merged(answers: Mapping[Tile, TileAnswer], shape: tuple[int, ...]) -> NDArray[np.uint32]:
        order = sorted(answers, key=lambda tile: tile.index)
        overlap = order[0].outer.stop[1] - order[1].outer.start[1]
        arrays = {f"labels{i}": answers[tile].labels[0] for i, tile in enumerate(order)}
        outers = [(tile.outer.start, tile.outer.stop) for tile in order]
        with tempfile.TemporaryDirectory() as folder:
            given, got = Path(folder) / "answers.npz", Path(folder) / "merged.npy"
            np.savez(given, shape=shape, indices=[t.index for t in order], outers=outers, overlap=overlap, **arrays)
            script = Path(__file__).with_name("samgeo_merge.py")
            subprocess.run([python, str(script), str(given), str(got)], check=True, stdout=subprocess.DEVNULL)
            return np.asarray(np.load(got), np.uint32)

    return merged


# ----------------------------------------------------------------------------------------------------- figures
@dataclass(frozen=True)
class Figures:
    """What went wrong; `compare` says what the words mean."""

    split: int
    fused: int
    twice: int
    lost: int
    f1_50: float
    f1_75: float
    changed: int
    """Pixels that are not in the object that stands for the truth's, of those that are objects."""
    crossing: float
    """Mean IoU of the truth's objects that cross a core border."""
    seam: float
    """Label changes along core borders; 1: as often as elsewhere."""
    rim: float
    """The same along the borders of outer windows."""


def compare(got: NDArray[np.uint32], scene: NDArray[np.uint32], around: list[Tile]) -> Figures:
    """Count what went wrong.

    A result object *stands for* the truth's object that it shares most pixels with, where that is half of it.
    split: truth's objects of which two or more result objects that stand for it hold 10 % each; twice: further result
    objects that stand for an object; fused: result objects that hold most of two or more of the truth's objects;
    lost: truth's objects that none stands for. F1 is of the blobs: bands, which every tile cuts and half of them
    so miss, are left out of it.
    """
    (true_ids, t), (got_ids, g) = dense(scene), dense(got)
    bands = np.append(False, true_ids >= BAND)
    n, m = len(true_ids), len(got_ids)
    of_pairs, keys = pd.factorize((t * (m + 1) + g).ravel())
    shared = np.bincount(of_pairs)
    i, j = np.divmod(keys, m + 1)
    size_t, size_g = np.bincount(t.ravel(), minlength=n + 1), np.bincount(g.ravel(), minlength=m + 1)
    both = (i > 0) & (j > 0)
    i, j, shared = i[both], j[both], shared[both]
    iou = shared / (size_t[i] + size_g[j] - shared)
    stands = 2 * shared > size_g[j]
    parts = np.bincount(i[stands & (10 * shared >= size_t[i])], minlength=n + 1)
    stand_ins = np.bincount(i[stands], minlength=n + 1)
    holds = np.bincount(j[2 * shared > size_t[i]], minlength=m + 1)
    best = np.zeros(n + 1)
    np.maximum.at(best, i, iou)
    partner = np.zeros(n + 1, np.int64)
    partner[i[iou > 0.5]] = j[iou > 0.5]
    changed = np.count_nonzero(partner[t] != g)
    scored = ~bands[i]
    m_scored = m - len(np.unique(j[stands & bands[i]]))
    n_scored = n - int(bands.sum())
    cores = _borders([tile.core for tile in around], scene.shape)
    return Figures(
        split=int((parts > 1).sum()),
        fused=int((holds > 1).sum()),
        twice=int(np.maximum(stand_ins - np.maximum(parts, 1), 0).sum()),
        lost=int((stand_ins[1:] == 0).sum()),
        f1_50=2 * int((iou[scored] > 0.5).sum()) / (n_scored + m_scored),
        f1_75=2 * int((iou[scored] > 0.75).sum()) / (n_scored + m_scored),
        changed=changed,
        crossing=float(best[_crossing(t, cores)].mean()),
        seam=_seam(got, cores),
        rim=_seam(got, _borders([tile.outer for tile in around], scene.shape)),
    )


def _borders(windows: list[Window], shape: tuple[int, ...]) -> list[NDArray[np.bool_]]:
    """Per axis: where a window begins or ends inside the image."""
    borders = [np.zeros(k, bool) for k in shape]
    for window, axis in itertools.product(windows, range(len(shape))):
        for at in (window.start[axis], window.stop[axis]):
            if 0 < at < shape[axis]:
                borders[axis][at] = True
    return borders


def _crossing(t: NDArray[np.int64], borders: list[NDArray[np.bool_]]) -> NDArray[np.int64]:
    rows, columns = (np.flatnonzero(border) for border in borders)
    across = [t[r][t[r] == t[r - 1]] for r in rows] + [t[:, c][t[:, c] == t[:, c - 1]] for c in columns]
    found = np.unique(np.concatenate(across))
    return found[found > 0]


def _seam(got: NDArray[np.uint32], borders: list[NDArray[np.bool_]]) -> float:
    along, elsewhere = [], []
    for axis, border in enumerate(borders):
        changes = np.moveaxis(np.diff(got.astype(np.int64), axis=axis) != 0, axis, 0).mean(axis=1)
        along.append(changes[border[1:]])
        elsewhere.append(changes[~border[1:]])
    return float(np.concatenate(along).mean() / np.concatenate(elsewhere).mean())


HEADER = """\
| objects | core/halo | answers | merge | split | fused | twice | lost | F1 0.5 | F1 0.75 | IoU | seams | rims | Mpx/s |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=4096)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sizes", nargs="*", default=list(SIZES))
    parser.add_argument("--cores", nargs="*", type=int, default=[512, 896])
    parser.add_argument("--halo", type=int, default=64)
    parser.add_argument("--samgeo", metavar="PYTHON", help="an interpreter with segment-geospatial, to run beside")
    options = parser.parse_args()
    peers = {} if options.samgeo is None else {"samgeo": merged_by_samgeo(options.samgeo)}
    print(HEADER)
    stitched(ask(perfect, truth(Window.of((300, 300)), 40.0), 100, 20), (300, 300))  # compiles
    for name in options.sizes:
        scene = truth(Window.of((options.length,) * 2), SIZES[name])
        for core in options.cores:
            for line in lines(scene, core, options.halo, options.seeds, peers):
                print(f"| {name} | {core}/{options.halo} | {line}", flush=True)


def lines(
    scene: NDArray[np.uint32], core: int, halo: int, seeds: int, peers: Mapping[str, Callable[..., NDArray[np.uint32]]]
) -> Iterator[str]:
    """Rows of the table: the exact model, then means over the seeds of the erring one."""
    shape = scene.shape
    around = list(tiles(shape, core + 2 * halo, 2 * halo))
    got, speed = timed(stitched, ask(perfect, scene, core, halo), shape)
    exact = compare(got, scene, around)
    assert (exact.split, exact.fused, exact.twice, exact.lost, exact.changed) == (0, 0, 0, 0, 0)
    yield row("exact", "ours", [exact], [speed])
    for name, merger in peers.items():
        yield row("exact", name, [compare(merger(ask(perfect, scene, core, halo), shape), scene, around)], [])
    found: dict[str, list[Figures]] = {}
    speeds: dict[str, list[float]] = {}
    for seed in range(seeds):
        one = Tile((0, 0), Window.of(shape), Window.of(shape))
        untiled = Erring(seed)(scene, one, shape).labels[0]
        found.setdefault("untiled", []).append(compare(untiled, scene, around))
        answers = ask(Erring(seed), scene, core, halo)
        for name, stitcher in {"none": unmerged, "all that touches": touching, "ours": stitched}.items():
            got, speed = timed(stitcher, answers, shape)
            found.setdefault(name, []).append(compare(got, scene, around))
            speeds.setdefault(name, []).append(speed)
        for name, merger in peers.items():
            found.setdefault(name, []).append(compare(merger(answers, shape), scene, around))
    for name, figures in found.items():
        yield row("erring", name, figures, speeds.get(name, []))


def timed(
    stitcher: Callable[..., NDArray[np.uint32]], answers: Mapping[Tile, TileAnswer], shape: tuple[int, ...]
) -> tuple[NDArray[np.uint32], float]:
    """Labels, and Mpx of the image per second of one core."""
    started = time.process_time()
    got = stitcher(answers, shape)
    return got, math.prod(shape) / 1e6 / (time.process_time() - started)


def row(answers: str, name: str, figures: list[Figures], speeds: list[float]) -> str:
    mean = {key: float(np.mean([getattr(each, key) for each in figures])) for key in Figures.__dataclass_fields__}
    counts = " | ".join(f"{mean[key]:.0f}" for key in ("split", "fused", "twice", "lost"))
    rates = " | ".join(f"{mean[key]:.4f}" for key in ("f1_50", "f1_75"))
    speed = f"{np.mean(speeds):.0f}" if speeds else ""
    borders = f"{mean['crossing']:.3f} | {mean['seam']:.2f} | {mean['rim']:.2f}"
    return f"{answers} | {name} | {counts} | {rates} | {borders} | {speed} |"


if __name__ == "__main__":
    main()
