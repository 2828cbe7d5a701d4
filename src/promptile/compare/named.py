"""Label files that say what their labels are called."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from promptile.compare.sampled import Sampled
from promptile.grid import Window
from promptile.masks import ObjectMask
from promptile.sources import Source
from promptile.sources.itk import header
from promptile.writers.placing import sidecars


def names_beside(path: Path) -> dict[int, str]:
    """What the JSON beside a label file calls its labels: ours, or any ``{"labels": {"1": {"name": ...}}}``."""
    for beside in filter(Path.is_file, sidecars(path)):
        try:
            labels = json.loads(beside.read_text(encoding="utf-8"))["labels"]
            return {int(number): str(said["name"]) for number, said in labels.items()}
        except (ValueError, LookupError, TypeError, AttributeError):
            return {}  # somebody else's
    return {}


def read_segments(path: Path, source: Source) -> Sampled:
    """The segments of a ``.seg.nrrd``, which may overlap on several layers."""
    reader = header(path)
    fields = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
    samples = source.read(source.grid.window)
    masks, names = [], {}
    count = next(i for i in range(len(fields) + 1) if f"Segment{i}_ID" not in fields)
    values = [int(fields.get(f"Segment{i}_LabelValue", 1)) for i in range(count)]
    for i, value in enumerate(values):
        number = value if len(set(values)) == len(values) else i + 1  # every layer may count anew
        inside = samples[int(fields.get(f"Segment{i}_Layer", 0))] == value
        masks.append((number, ObjectMask.of(inside.shape, Window.of(inside.shape), np.asarray(inside, bool))))
        names[number] = fields.get(f"Segment{i}_Name", "")
    found = Sampled.of_masks(masks)
    return Sampled(found.ids, found.windows, found.samples, {n: name for n, name in names.items() if name})
