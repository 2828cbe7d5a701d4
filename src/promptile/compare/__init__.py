"""A result against the truth: overlap per object, and how many objects were found."""

from promptile.compare.reading import compare
from promptile.compare.sampled import Sampled
from promptile.compare.scores import Comparison, Detection, Pair, score

__all__ = ["Comparison", "Detection", "Pair", "Sampled", "compare", "score"]
