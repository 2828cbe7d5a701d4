"""Pictures of results: labels over the image, for a first look."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from promptile.grid import Window, rescale
from promptile.prompts.prompts import Prompts
from promptile.prompts.types import Prompt
from promptile.rendering import Rendering
from promptile.run import Run
from promptile.sources.protocol import Source

_OPACITY = 0.38
_POSITIVE, _NEGATIVE, _BOX = (40, 255, 90), (255, 60, 60), (255, 255, 255)
_GOLDEN_ANGLE = 0.618033988749895


def draw(
    run: Run,
    source: Source,
    path: str | os.PathLike[str],
    *,
    prompts: Prompts | None = None,
    size: int = 1200,
    rendering: Rendering | None = None,
) -> Path:
    """Write a PNG of an image with a run's labels, and its prompts, drawn over it.

    A volume is shown as its axial, coronal and sagittal planes through the most objects, patient's left on the
    right and head up.

    Parameters
    ----------
    run : Run
    source : Source
        The image of the run.
    path : path
    prompts : Prompts, optional
    size : int
        Longest side of each plane in pixels.
    rendering : Rendering, optional
        How the image is shown; by default as the model saw it.
    """
    rendering = (rendering or Rendering.from_json(run.spec["rendering"])).in_colour()
    shown = tuple(prompts or ())
    if source.grid.ndim == 2:
        picture = _draw_image(run, source, rendering, shown, size)
    else:
        picture = _draw_volume(run, source, rendering, shown, size)
    target = Path(path)
    picture.save(target)
    return target


def _draw_image(run: Run, source: Source, rendering: Rendering, prompts: Sequence[Prompt], size: int) -> Image.Image:
    whole = source.grid.shape
    shrink = min(size / max(whole), 1.0)
    shape = tuple(max(round(n * shrink), 1) for n in whole)
    level = max(i for i, f in enumerate(source.levels) if i == 0 or max(f) * shrink <= 1)
    seen = source.grid.coarsen(source.levels[level]).window
    grey = _resize(_render(source, rendering, seen, level), shape)
    picture = Image.fromarray(_over(grey, _thin_out(run, shape)))
    pen = ImageDraw.Draw(picture)
    scale = [n / m for n, m in zip(whole, shape, strict=True)]
    for prompt in prompts:
        frame = None if prompt.box is None else rescale(prompt.box, scale)
        _draw_prompt(pen, rescale(prompt.points, scale), prompt.labels, frame)
    return picture


def _draw_volume(run: Run, source: Source, rendering: Rendering, prompts: Sequence[Prompt], size: int) -> Image.Image:
    grid = source.grid
    planes = []
    for axis in _world_axes(grid.matrix)[::-1]:  # planes across z, y, x of the world: axial, coronal, sagittal
        index = _fullest(run, axis)
        plane = Window(
            tuple(index if a == axis else 0 for a in range(3)),
            tuple(1 if a == axis else n for a, n in enumerate(grid.shape)),
        )
        grey = _render(source, rendering, plane, 0).squeeze(axis)
        labels = run.read_labels(plane).squeeze(axis)
        planes.append(_lay_out(grey, labels, axis, index, run, prompts, size))
    width, height = sum(p.width for p in planes) + 8 * (len(planes) - 1), max(p.height for p in planes)
    picture = Image.new("RGB", (width, height))
    left = 0
    for plane_picture in planes:
        picture.paste(plane_picture, (left, (height - plane_picture.height) // 2))
        left += plane_picture.width + 8
    return picture


def _lay_out(
    grey: NDArray[np.uint8],
    labels: NDArray[np.uint32],
    axis: int,
    index: int,
    run: Run,
    prompts: Sequence[Prompt],
    size: int,
) -> Image.Image:
    """One plane of a volume with square pixels, the right way up."""
    grid = run.grid
    rest = [a for a in range(3) if a != axis]
    spacing = [grid.spacing[a] for a in rest]
    extent = [n * s for n, s in zip(labels.shape, spacing, strict=True)]
    scale = [size / 2 / max(extent) * s for s in spacing]
    shape = [max(round(n * k), 1) for n, k in zip(labels.shape, scale, strict=True)]
    rows, columns = (_nearest(n, m) for n, m in zip(labels.shape, shape, strict=True))
    picture = Image.fromarray(_over(_resize(grey, shape), labels[np.ix_(rows, columns)]))
    pen = ImageDraw.Draw(picture)
    for prompt in prompts:
        near = np.abs(prompt.points[:, axis] - index) < 1
        frame = prompt.box
        cut = frame is not None and frame[0, axis] <= index <= frame[1, axis]
        _draw_prompt(
            pen,
            (prompt.points[near][:, rest] + 0.5) * scale - 0.5,
            prompt.labels[near],
            (frame[:, rest] + 0.5) * scale - 0.5 if frame is not None and cut else None,
        )
    world = _world_axes(grid.matrix)
    down, right = world.index(rest[0]), world.index(rest[1])
    if down < right:  # rows are the world axis that is drawn upwards or downwards, columns the other
        picture, down, right = picture.transpose(Image.Transpose.TRANSPOSE), right, down
    if _points_up(grid.matrix, world, down):
        picture = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    if grid.matrix[right, world[right]] < 0:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return picture


def _points_up(matrix: NDArray[np.float64], world: Sequence[int], down: int) -> bool:
    """Whether rows run against the drawing: y (posterior) is drawn downwards, z (superior) upwards."""
    grows = matrix[down, world[down]] > 0
    return bool(grows if down == 2 else not grows)


def _world_axes(matrix: NDArray[np.float64]) -> list[int]:
    """For world x, y, z the array axis that runs most along it; each is used once."""
    orders = itertools.permutations(range(3))
    return list(max(orders, key=lambda order: sum(abs(matrix[w, a]) for w, a in enumerate(order))))


def _fullest(run: Run, axis: int) -> int:
    """The plane across `axis` that shows the most objects, the middle one of equals."""
    counts = np.zeros(run.grid.shape[axis], int)
    boxes = np.array(run.objects["bbox"].to_list()).reshape(-1, 2, run.grid.ndim)
    changes = np.zeros(len(counts) + 1, int)
    np.add.at(changes, boxes[:, 0, axis], 1)
    np.add.at(changes, boxes[:, 1, axis], -1)
    counts += np.cumsum(changes)[:-1]
    best = np.flatnonzero(counts == counts.max())
    return int(best[len(best) // 2])


def _render(source: Source, rendering: Rendering, window: Window, level: int) -> NDArray[np.uint8]:
    """``(*window.shape, 3)`` as 8-bit RGB."""
    seen = rendering.apply(source.read(window, level, rendering.channels), source.valid(window, level))
    return (np.clip(np.moveaxis(seen, 0, -1), 0, 1) * 255).astype(np.uint8)


def _resize(picture: NDArray[np.uint8], shape: Sequence[int]) -> NDArray[np.uint8]:
    """An RGB picture ``(y, x, 3)`` at another size."""
    return np.asarray(Image.fromarray(picture).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def _nearest(length: int, wanted: int) -> NDArray[np.int64]:
    """Which of `length` samples lies under each of `wanted` pixels."""
    return ((np.arange(wanted) + 0.5) * length / wanted).astype(np.int64)


def _thin_out(run: Run, shape: Sequence[int]) -> NDArray[np.uint32]:
    """An image's labels at another size, read one stored piece at a time."""
    thin = np.zeros(tuple(shape), np.uint32)
    rows, columns = (_nearest(n, m) for n, m in zip(run.grid.shape, shape, strict=True))
    height, width = run.labels.chunks
    for top, left in itertools.product(range(0, run.grid.shape[0], height), range(0, run.grid.shape[1], width)):
        piece = Window((top, left), (height, width)).clip(run.grid.shape)
        y = np.flatnonzero((rows >= piece.start[0]) & (rows < piece.stop[0]))
        x = np.flatnonzero((columns >= piece.start[1]) & (columns < piece.stop[1]))
        thin[np.ix_(y, x)] = run.read_labels(piece)[np.ix_(rows[y] - top, columns[x] - left)]
    return thin


def _over(picture: NDArray[np.uint8], labels: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Labels as tints with their outlines, over an RGB picture ``(y, x, 3)``."""
    tint = _colours(labels)
    edge = (ndimage.maximum_filter(labels, 3) != labels) | (ndimage.minimum_filter(labels, 3) != labels)
    opacity = np.where(labels > 0, np.where(edge, 1.0, _OPACITY), 0.0)[..., None]
    mixed: NDArray[np.uint8] = (picture * (1 - opacity) + tint * opacity).astype(np.uint8)
    return mixed


def _colours(labels: NDArray[np.uint32]) -> NDArray[np.float64]:
    """A bright colour per id; neighbouring ids get distant hues."""
    hue = (labels.astype(float) * _GOLDEN_ANGLE % 1)[..., None]
    rgb: NDArray[np.float64] = 255 * np.clip(np.abs((hue * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0.12, 1)
    return rgb


def _draw_prompt(
    pen: ImageDraw.ImageDraw,
    points: NDArray[np.float64],
    labels: NDArray[np.bool_],
    box: NDArray[np.float64] | None,
) -> None:
    if box is not None:
        (y0, x0), (y1, x1) = box
        pen.rectangle([x0, y0, x1, y1], outline=_BOX)
    for (y, x), label in zip(points, labels, strict=True):
        pen.ellipse([x - 4, y - 4, x + 4, y + 4], fill=_POSITIVE if label else _NEGATIVE, outline=(0, 0, 0))
