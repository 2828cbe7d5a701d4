"""Makes the picture of shaped outlines from the sample scene: `python docs/make_outlines.py`."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import shapely
from PIL import Image, ImageDraw
from rasterio.features import rasterize
from scipy import ndimage

from promptile.grid import Grid, Window
from promptile.samples import sample
from promptile.sources import open_source
from promptile.vectors.shaping import Shaping
from promptile.vectors.streams import Labels, stream
from promptile.writers.cog import transform_of

FOLDER = Path(__file__).parent / "images"
PIECE = Window((1116, 540), (72, 108))
ZOOM = 10
SHAPINGS = {
    "exact": Shaping(),
    "--simplify 1": Shaping(simplify=1),
    "--simplify 1 --smooth": Shaping(simplify=1, smooth=3),
    "--simplify 1 --regularize": Shaping(simplify=1, regularize=True),
}


def main() -> None:
    """Four panels of the same samples."""
    grid = open_source(sample("scene.tif")).grid
    truth = geopandas.read_file(sample("scene_truth.gpkg"))
    pairs = zip(truth.geometry, truth["id"], strict=True)
    labels = rasterize(pairs, grid.shape, transform=transform_of(grid), dtype=np.uint32)[PIECE.slices]
    panels = [panel(labels, grid[PIECE], text, shaping) for text, shaping in SHAPINGS.items()]
    rows = [np.concatenate(panels[k : k + 2], axis=1) for k in (0, 2)]
    FOLDER.mkdir(exist_ok=True)
    Image.fromarray(np.concatenate(rows)).quantize(64).save(FOLDER / "outlines.png", optimize=True)


def panel(labels: np.ndarray, grid: Grid, text: str, shaping: Shaping) -> np.ndarray:
    """Samples in pale colours under the outlines of the objects."""
    tints = np.random.default_rng(3).integers(170, 235, (int(labels.max()) + 1, 3), np.uint8)
    tints[0] = 250
    samples = tints[labels].repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    picture = Image.fromarray(samples)
    canvas = ImageDraw.Draw(picture)
    found = {n + 1: s for n, s in enumerate(ndimage.find_objects(labels.astype(np.int64))) if s is not None}
    boxes = np.array([[[a.start for a in s], [a.stop for a in s]] for s in found.values()])
    sizes = np.array([np.count_nonzero(labels == n) for n in found], float)
    whole = Labels(lambda window: labels[window.slices], grid, np.array([*found]), boxes, sizes)
    for _, shapes in stream(whole, shaping):
        for line in shapely.get_rings(shapely.get_parts(shapes)):
            ends = (grid.to_index(shapely.get_coordinates(line)) + 0.5) * ZOOM
            canvas.line([tuple(p) for p in ends[:, ::-1]], fill=(20, 60, 150), width=2)
    canvas.rectangle((0, 0, 12 + 6 * len(text), 16), fill=(255, 255, 255))
    canvas.text((6, 3), text, fill=(0, 0, 0))
    return np.pad(np.asarray(picture), ((3, 3), (3, 3), (0, 0)), constant_values=255)


if __name__ == "__main__":
    main()
