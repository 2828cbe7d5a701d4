"""What a model is to Promptile: a card that says what it can do, and one small protocol per ability."""

from promptile.models.protocols.card import LEARNT, Ability, ModelCard, Thresholds, Trust
from promptile.models.protocols.prompting import Batched, Embedding, Masks, Promptable, Selective, Storable
from promptile.models.protocols.proposing import Proposal, Proposer
from promptile.models.protocols.reading import Detections, Detector, Ranker, Reading
from promptile.models.protocols.remembering import Memorable, Memory, Remembering
from promptile.models.protocols.views import Model, View
from promptile.prompts.types import WindowPrompt

__all__ = [
    "LEARNT",
    "Ability",
    "Batched",
    "Detections",
    "Detector",
    "Embedding",
    "Masks",
    "Memorable",
    "Memory",
    "Model",
    "ModelCard",
    "Promptable",
    "Proposal",
    "Proposer",
    "Ranker",
    "Reading",
    "Remembering",
    "Selective",
    "Storable",
    "Thresholds",
    "Trust",
    "View",
    "WindowPrompt",
]
