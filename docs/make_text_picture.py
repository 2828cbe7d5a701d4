"""Makes the picture of objects by name, with a detector that knows words by their colours.

``python docs/make_text_picture.py``; the weights of MobileSAM must be where they are looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

import promptile as pt
from promptile.engine.detect import findings_of
from promptile.grid import Window
from promptile.models.protocols import Detections, ModelCard, Thresholds, View
from promptile.rendering import Rendering
from promptile.samples import sample
from promptile.sources import open_source

PICTURE = Path(__file__).parent / "images" / "text.webp"
PIECE = Window((900, 230), (380, 540))
ZOOM = 2
_LEAST = {"red roof": 40, "green field": 2000}
"""Samples of a box; what is smaller is nothing."""
TINTS = {"red roof": (255, 60, 200), "green field": (40, 220, 255)}


class ByColour:
    """Finds red roofs and green fields: pieces of one colour, as sure as their bounding box is full of it."""

    card = ModelCard(
        name="by-colour",
        family="example",
        abilities=frozenset({"text"}),
        ndim=2,
        channels=3,
        input="raw",
        window=(400, 400),
        thresholds=Thresholds(box=0.4, text=0),
        digest="by-colour 1",
    )

    def detect(self, views: Sequence[View], phrases: Sequence[str], thresholds: Thresholds) -> list[Detections]:
        """What some windows show of some phrases."""
        return [self._seen(view.samples, phrases, thresholds.box) for view in views]

    def _seen(self, samples: NDArray[np.float32], phrases: Sequence[str], least: float) -> Detections:
        red, green, blue = (ndimage.uniform_filter(channel, 3) for channel in samples)
        known = {"red roof": red > 1.45 * green, "green field": (blue > 1.1 * red) & (green > 1.2 * red)}
        boxes, scores, labels = [], [], []
        for n, phrase in enumerate(phrases):
            pieces, _ = ndimage.label(ndimage.binary_opening(known[phrase], iterations=2))
            for number, (y, x) in enumerate(ndimage.find_objects(pieces), start=1):
                score = float((pieces[y, x] == number).mean())
                if score >= least and pieces[y, x].size >= _LEAST[phrase]:
                    boxes.append([[y.start - 0.5, x.start - 0.5], [y.stop - 0.5, x.stop - 0.5]])
                    scores.append(score)
                    labels.append(n)
        return Detections(np.reshape(boxes, (-1, 2, 2)), np.array(scores), np.array(labels, np.int64))


def main() -> None:
    """A piece of the sample scene with the boxes that were merged, and the objects that were drawn in them."""
    scene = open_source(sample("scene.tif"))
    run = pt.segment(scene, text=list(TINTS), detector=ByColour(), model="mobile-sam")
    rendering = Rendering.of(scene, limit=3)
    seen = rendering.apply(scene.read(PIECE, 0, rendering.channels), scene.valid(PIECE))
    colours = np.moveaxis(np.clip(seen, 0, 1), 0, -1)
    labels = run.read_labels(PIECE)
    for object_id, category in zip(run.objects["id"], run.objects["category"], strict=True):
        mine = labels == object_id
        colours[mine] = 0.55 * colours[mine] + 0.45 * np.array(TINTS[category]) / 255
    large = (255 * colours).astype(np.uint8).repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    picture = Image.fromarray(large)
    pen = ImageDraw.Draw(picture)
    found = findings_of(run).objects()
    for box, phrase in zip(found.boxes, found.phrases, strict=True):
        ends = (box + 0.5 - PIECE.start)[:, ::-1] * ZOOM
        pen.rectangle([tuple(end) for end in ends], outline=TINTS[phrase], width=2)
    print({phrase: found.phrases.count(phrase) for phrase in TINTS}, len(run.objects))
    picture.save(PICTURE, quality=82)


if __name__ == "__main__":
    main()
