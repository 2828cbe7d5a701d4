"""What all writers say and choose alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from promptile.writers.protocol import Result


def as_text(origin: Mapping[str, Any]) -> dict[str, str]:
    """Where a result comes from, as text for a file's metadata."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in origin.items()}


def label_type(result: Result) -> np.dtype[Any]:
    """The smallest unsigned type that holds all ids."""
    objects = result.objects
    return np.min_scalar_type(int(objects["id"].max()) if len(objects) else 0)
