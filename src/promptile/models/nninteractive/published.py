"""Where the weights of nnInteractive come from. No torch here."""

from __future__ import annotations

from promptile.models.published import Part, Published

NAME = "nninteractive"
FOLDER = "nnInteractive_v1.0"
"""What its authors call the folder, in the repository and where their own tools put it."""
CHECKPOINT = "fold_0/checkpoint_final.pth"
FILES = (
    ("plans.json",),
    ("dataset.json",),
    ("inference_info.json", "inference_session_class.json"),
    (CHECKPOINT,),
)
"""Names that each file may have inside that folder, the best first; the largest comes last."""

_REPOSITORY = "MIC-DKFZ/nnInteractive"

PUBLISHED = Published(
    model=NAME,
    files=(NAME, FOLDER),
    url=f"https://huggingface.co/{_REPOSITORY}",
    name=NAME,
    repository=_REPOSITORY,
    parts=tuple(Part((*(f"{FOLDER}/{name}" for name in names), *names)) for names in FILES),
    licence="CC-BY-NC-SA-4.0",
    terms="https://creativecommons.org/licenses/by-nc-sa/4.0/",
    abilities=("box", "mask", "points"),
)
"""For non-commercial use; the package that computes it is under Apache-2.0."""


def published() -> list[Published]:
    """What is known of the weights of the family."""
    return [PUBLISHED]
