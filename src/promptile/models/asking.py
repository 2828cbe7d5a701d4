"""What networks of SAM's kind are shown and asked: prompts of one form together, their candidates the best first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from promptile.errors import ModelError
from promptile.models.computing import as_tensor
from promptile.models.protocols import Masks, View, WindowPrompt

_NOWHERE = np.float32(-8)
"""Logit where nothing was asked for."""


class Framed(Protocol):
    """Where a window lies in a network's input."""

    @property
    def shape(self) -> tuple[int, int]:
        """Of the window."""
        ...

    def back(self, logits: Tensor) -> Tensor:
        """``(p, m, *shape)``: a network's logits ``(p, m, rows, columns)`` on the window's own samples."""
        ...


def colours_of(view: View, model: str, device: torch.device) -> Tensor:
    """``(3, *shape)``: what is seen of a view, from 0 to 1; grey is shown in all three channels.

    Raises
    ------
    ModelError
        If it has neither one channel nor three; the error names the `model`.
    """
    if len(view.samples) not in (1, 3):
        raise ModelError(f"Model {model!r} takes 1 or 3 channels, not {len(view.samples)}: use --channels")
    return as_tensor(np.asarray(view.samples, np.float32), device).clamp(0, 1).expand(3, -1, -1)


@dataclass(frozen=True)
class Form:
    """What a prompt consists of; prompts of one form are answered together."""

    points: int
    box: bool
    mask: bool

    @classmethod
    def of(cls, prompt: WindowPrompt, *, masks: bool = True) -> Form:
        """A prompt's form; without `masks` for a network that takes none."""
        return cls(len(prompt.points), prompt.box is not None, masks and prompt.mask is not None)

    @property
    def ambiguous(self) -> bool:
        """A point may mean a part, the whole or something between."""
        return self.points == 1 and not self.box and not self.mask

    @property
    def empty(self) -> bool:
        return not (self.points or self.box or self.mask)


def by_form(
    prompts: Sequence[WindowPrompt],
    form_of: Callable[[WindowPrompt], Form],
    answer: Callable[[Form, Sequence[WindowPrompt]], Sequence[Masks]],
) -> list[Masks]:
    """The answers to all prompts, in their order; `answer` gets those of one form together."""
    alike: dict[Form, list[int]] = defaultdict(list)
    for i, prompt in enumerate(prompts):
        alike[form_of(prompt)].append(i)
    answers: dict[int, Masks] = {}
    for form, members in alike.items():
        answers |= zip(members, answer(form, [prompts[i] for i in members]), strict=True)
    return [answers[i] for i in range(len(prompts))]


def unasked(shape: Sequence[int], least: float | None) -> Masks:
    """The answer to an empty prompt: no object, with the score 0; no mask at all if that is not above `least`."""
    count = int(least is None or least < 0)
    return Masks(np.full((count, *shape), _NOWHERE), np.zeros(count))


def candidates(frame: Framed, logits: Tensor, scores: Tensor, least: float | None) -> list[Masks]:
    """What a network answers, on the window's own samples, the best first.

    Parameters
    ----------
    frame : Framed
    logits : Tensor of shape (p, m, rows, columns)
    scores : Tensor of shape (p, m)
    least : float, optional
        Masks whose score is not above it are left out.
    """
    guesses, order = scores.sort(dim=1, descending=True, stable=True)
    guesses = guesses.clamp(0, 1)
    counts = (guesses > (-1 if least is None else least)).sum(dim=1).tolist()
    return [
        _on_samples(frame, masks[best[:n]], quality[:n])
        for masks, best, quality, n in zip(logits, order, guesses, counts, strict=True)
    ]


def _on_samples(frame: Framed, logits: Tensor, scores: Tensor) -> Masks:
    if not len(logits):
        return Masks(np.empty((0, *frame.shape), np.float32), np.empty(0))
    return Masks(frame.back(logits[None])[0].cpu().numpy(), scores.cpu().double().numpy())
