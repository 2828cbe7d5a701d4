"""Sample images with their prompts, from napari's menu File › Open Sample."""

from __future__ import annotations

from promptile._napari.layers import LayerTuple, boxes_layer, points_layer
from promptile._napari.placement import Placement
from promptile._napari.reader import read_image, shown_layers
from promptile.prompts.reading import read_prompts
from promptile.samples import sample
from promptile.sources import open_source


def scene() -> list[LayerTuple]:
    """A small satellite scene, boxes around its fields and points on its water."""
    path = sample("scene.tif")
    placement = Placement.among(shown_layers(), open_source(path).grid)
    boxes = read_prompts(sample("scene_boxes.geojson"), placement.grid)
    points = read_prompts(sample("scene_points.csv"), placement.grid)
    return [
        *read_image(path),
        boxes_layer(boxes, "scene boxes", placement),
        points_layer(points, "scene points", placement),
    ]


def volume() -> list[LayerTuple]:
    """A small CT-like volume and points in its organs."""
    path = sample("volume.nii.gz")
    placement = Placement.among(shown_layers(), open_source(path).grid)
    points = read_prompts(sample("volume_points.mrk.json"), placement.grid)
    return [*read_image(path), points_layer(points, "volume points", placement)]
