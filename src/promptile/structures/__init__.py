"""Objects that DICOM knows: regions of structure sets and segments of segmentations, on an image's grid."""

from promptile.structures.reading import is_structures, read_structures
from promptile.structures.types import Structure

__all__ = ["Structure", "is_structures", "read_structures"]
