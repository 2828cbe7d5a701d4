"""nnInteractive behind the protocol of promptable models."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from promptile.errors import ModelError
from promptile.models.devices import device_of
from promptile.models.nninteractive.asking import Turn, turns_of
from promptile.models.nninteractive.published import CHECKPOINT, FILES, FOLDER, NAME, PUBLISHED
from promptile.models.protocols import Ability, Embedding, Masks, ModelCard, View, WindowPrompt
from promptile.models.weights import digest

_SIDE = 192
"""Samples of its window, along each axis."""
_CERTAIN = np.float32(8)
"""The network's answer is yes or no."""
_SCORE = 0.5
"""It has no opinion of its answers."""
_VERSION = 1
"""Of what is asked here, and how."""
_UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, AssertionError, EOFError, pickle.UnpicklingError)


class NnInteractive:
    """The session of its authors, asked about one view after the other.

    A view is set when it is first asked about and stays until another one is; objects of one view are asked for one
    after the other. Windows are normalized by the session, each by itself.

    Parameters
    ----------
    session : nnInteractiveInferenceSession
        With its network.
    card : ModelCard
    """

    def __init__(self, session: Any, card: ModelCard) -> None:
        self.card = card
        self._session = session
        self._view: View | None = None
        self._target: NDArray[np.uint8] = np.zeros((0, 0, 0), np.uint8)
        self._busy = Lock()

    @classmethod
    def load(cls, folder: Path, device: str) -> NnInteractive:
        """The model in a folder of weights.

        Raises
        ------
        ModelError
            If the files cannot be read, or the device is not here or of no use to it.
        """
        place = device_of("cpu" if device == "auto" and not torch.cuda.is_available() else device)
        if place.type == "mps":
            raise ModelError(f"Model {NAME!r} does not compute on {device!r}: use --device cuda or cpu")
        root = folder / FOLDER if (folder / FOLDER / CHECKPOINT).is_file() else folder
        with _steady():
            kind = import_module("nnInteractive.inference.inference_session").nnInteractiveInferenceSession
            try:
                session = kind(
                    device=place,
                    use_torch_compile=False,
                    verbose=False,
                    torch_n_threads=torch.get_num_threads(),
                    do_autozoom=True,
                    interactions_storage="tensor",
                    enable_undo=False,
                )
                session.initialize_from_trained_model_folder(str(root))
            except _UNREADABLE as error:
                why = " ".join(str(error).split())[:160] or type(error).__name__
                raise ModelError(f"The weights of {NAME!r} in {root} cannot be used ({why}): get them again") from error
        said = str(getattr(session, "license", None) or "")
        card = ModelCard(
            name=NAME,
            family="nnInteractive",
            abilities=_abilities(session),
            ndim=3,
            input="raw",
            channels=1,
            window=(_SIDE,) * 3,
            licence=PUBLISHED.licence if not said or "MISSING" in said else said,
            device=place.type,
            digest=_digest(root),
        )
        return cls(session, card)

    def embed(self, views: Sequence[View]) -> list[Embedding]:
        """Keep the views: the network sees image and prompts together."""
        kept = [View(np.where(view.valid, view.samples, 0), view.valid, view.spacing) for view in views]
        return [Embedding(view, self.card.digest, view.samples.nbytes) for view in kept]

    def predict(self, embedding: Embedding, prompt: WindowPrompt) -> Masks:
        """One mask, as sure as anything; nothing is asked where there is nothing to see or to start from."""
        view: View = embedding.content
        found = np.zeros(view.shape, bool)
        with self._busy:
            three = bool(self._session.supported_interactions.get("bbox3d", False))
            turns = turns_of(prompt, view, three=three)
            if turns and view.samples.min() < view.samples.max():
                with _steady():
                    self._show(view)
                    for turn in turns:
                        self._tell(turn)
                found = self._target > 0
        return Masks(np.where(found, _CERTAIN, -_CERTAIN)[None], np.array([_SCORE]))

    def _show(self, view: View) -> None:
        """A view and nothing else."""
        if self._view is not view:
            self._view = None  # until it is set: what fails half-way is not believed
            self._session.set_image(view.samples)
            self._target = np.zeros(view.shape, np.uint8)
            self._session.set_target_buffer(self._target)
            self._view = view
        self._session.reset_interactions()

    def _tell(self, turn: Turn) -> None:
        if turn.kind == "mask":
            self._session.add_initial_seg_interaction(turn.what, run_prediction=turn.asks)
        elif turn.kind == "box":
            self._session.add_bbox_interaction(turn.what, include_interaction=True, run_prediction=turn.asks)
        else:
            self._session.add_point_interaction(turn.what, include_interaction=turn.there, run_prediction=turn.asks)


def _abilities(session: Any) -> frozenset[Ability]:
    """What the weights take; scribbles and lassos have no counterpart among prompts."""
    takes = session.supported_interactions
    there: dict[Ability, bool] = {
        "points": takes.get("points", False),
        "box": takes.get("bbox2d", False) or takes.get("bbox3d", False),
        "mask": session.supports_initial_label,
    }
    return frozenset(ability for ability, able in there.items() if able)


@contextmanager
def _steady() -> Iterator[None]:
    """Silent and without chance.

    The session prints what it does, in the midst of what commands print, and takes the places of its patches from
    NumPy's global generator: the same question would get different answers.
    """
    before = np.random.get_state()
    np.random.seed(0)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        np.random.set_state(before)


def _digest(root: Path) -> str:
    """Of all that decides an answer."""
    names = [name for names in FILES for name in names if (root / name).is_file()]
    try:
        package = version("nnInteractive")
    except PackageNotFoundError:  # from a checkout that nobody installed
        package = "unknown"
    known = [digest(root / name) for name in sorted(names)]
    return hashlib.sha256(" ".join([package, str(_VERSION), *known]).encode()).hexdigest()
