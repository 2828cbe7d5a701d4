"""Codes of DICOM for what a category means: SNOMED CT where its name is that of a known structure or lesion."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

_ANATOMY, _LESIONS = "cid7192", "cid7159"
"""The lists of anatomical structures and of lesions that DICOM recommends for segments."""

_STRUCTURE = Code("123037004", "SCT", "Anatomical Structure")
_ALTERED = Code("49755003", "SCT", "Morphologically Altered Structure")
_TISSUE = Code("85756007", "SCT", "Tissue")
_SIDES = {"left": Code("7771000", "SCT", "Left"), "right": Code("24028007", "SCT", "Right")}

_SILENT = {"of", "the", "and", "structure"}
_SAME = {"tumour": "neoplasm", "tumor": "neoplasm", "oesophagus": "esophagus", "vertebrae": "vertebra"}


@dataclass(frozen=True)
class Meaning:
    """What a segment is: a general category, a type, and the side of the body where the name says so."""

    category: Code
    type: Code
    side: Code | None = None


def meaning_of(name: str) -> Meaning:
    """The meaning of a category's name, in any order of its words: ``liver``, ``kidney_left``, ``Lung lower lobe``.

    A name that is in no list means tissue; the segment's label still says what it is.
    """
    words = _words(name)
    for known, category in ((_listed(_ANATOMY), _STRUCTURE), (_listed(_LESIONS), _ALTERED)):
        if words in known:
            return Meaning(category, known[words])
        for side, code in _SIDES.items():
            if side in words and words - {side} in known:
                return Meaning(category, known[words - {side}], code)
    return Meaning(_TISSUE, _TISSUE)


def _words(name: str) -> frozenset[str]:
    found = re.findall(r"[a-z0-9]+", name.lower())
    return frozenset(_SAME.get(word, word) for word in found if word not in _SILENT)


@lru_cache(maxsize=2)
def _listed(group: str) -> dict[frozenset[str], Code]:
    """The codes of a list by the words of their meaning."""
    listed = getattr(codes, group)
    found = (getattr(listed, keyword) for keyword in dir(listed))
    return {_words(code.meaning): code for code in found if isinstance(code, Code)}
