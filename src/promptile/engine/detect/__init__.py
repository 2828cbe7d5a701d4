"""Objects by name: a detector looks at tiles of several levels, and what it says becomes prompts.

::

    search       an image, a detector, and how the one looks at the other
    tiles        tile -> detections on disk
    kept         the disk -> findings: all that was said, at any threshold
    merging      boxes of all tiles and levels -> one box per object
    prompting    objects, and what the user said -> prompts
    running      the order of it all
"""

from promptile.engine.detect.findings import Findings, Found, Objects
from promptile.engine.detect.kept import findings_of
from promptile.engine.detect.options import Text
from promptile.engine.detect.prompting import areas_of
from promptile.engine.detect.running import check_promptable, find, prompts_from, spec_of
from promptile.engine.detect.search import Search

__all__ = [
    "Findings",
    "Found",
    "Objects",
    "Search",
    "Text",
    "areas_of",
    "check_promptable",
    "find",
    "findings_of",
    "prompts_from",
    "spec_of",
]
