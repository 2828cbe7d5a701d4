"""What was asked and not accepted yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptile.run import PromptedRun, Step


def unanswered(run: PromptedRun) -> Mapping[str, Any] | None:
    """The draft of a run, unless it was accepted: a session may be killed before it forgets what it has accepted."""
    draft: Mapping[str, Any] | None = run.draft
    last = run.journal.next_undone
    return None if draft is None or (last is not None and _answers(last, draft["prompt"])) else draft


def _answers(step: Step, prompt: Mapping[str, Any]) -> bool:
    """Whether a step made an object of a prompt."""
    made = [c.after.prompt for c in step.changes if c.after is not None and step.what in ("accept", "revise")]
    return any(_said(prompt) == _said(other) for other in made if other is not None)


def _said(prompt: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in prompt.items() if key not in ("id", "category")}
