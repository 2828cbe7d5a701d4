"""Models: what they are (`protocols`), how they are found (`registry`), and one room per family."""

from promptile.models.protocols import Embedding, Masks, ModelCard, Promptable, View, WindowPrompt
from promptile.models.registry import choices, load, names, prefer

__all__ = [
    "Embedding",
    "Masks",
    "ModelCard",
    "Promptable",
    "View",
    "WindowPrompt",
    "choices",
    "load",
    "names",
    "prefer",
]
