"""Models for images asked about volumes: slice by slice, each told by its neighbour."""

from promptile.engine.slices.grower import SliceGrower
from promptile.engine.slices.options import Slices
from promptile.engine.slices.propagation import Propagator
from promptile.engine.slices.remembering import with_memory
from promptile.engine.slices.solid import stacked
from promptile.engine.slices.walk import Arrival

__all__ = ["Arrival", "Propagator", "SliceGrower", "Slices", "stacked", "with_memory"]
