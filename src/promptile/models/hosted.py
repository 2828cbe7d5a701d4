"""Networks of `transformers` that their authors publish at Hugging Face: what is known of each before it is loaded.

No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from promptile.errors import ModelError
from promptile.models.protocols import Ability
from promptile.models.published import SNAPSHOT, Facts, Published

HUB = "https://huggingface.co"
CODE = "transformers, Apache-2.0"
"""What computes networks of `transformers`, and under which licence that is."""


@dataclass(frozen=True, kw_only=True)
class Hosted:
    """One model whose weights are a snapshot.

    Parameters
    ----------
    name : str
        What the user types.
    family : str
    network : str
        Its class in `transformers`.
    types : tuple of str
        What its snapshot says that it is.
    repository : str
        Where its authors publish it at Hugging Face.
    licence : str
        Of the weights.
    terms : str
        Where the licence can be read.
    costs : tuple
        Parameters, megabytes, seconds and gigabytes, as in `Facts`.
    citation : str
        In one line.
    timed : bool
        Whether the seconds were measured.
    """

    ability: ClassVar[Ability]
    """What it is for."""
    at_once: ClassVar[str] = "a window"
    """What the seconds are for."""

    name: str
    family: str
    network: str
    types: tuple[str, ...]
    repository: str
    licence: str = "Apache-2.0"
    terms: str = ""
    costs: tuple[int, int, float, float]
    citation: str
    timed: bool = True

    @property
    def facts(self) -> Facts:
        """What it costs and who made it."""
        parameters, megabytes, seconds, gigabytes = self.costs
        return Facts(
            family=self.family,
            parameters=parameters,
            megabytes=megabytes,
            seconds=seconds,
            gigabytes=gigabytes,
            citation=self.citation,
            code=CODE,
            at_once=self.at_once,
            timed=self.timed,
        )

    @property
    def published(self) -> Published:
        """Where its weights are."""
        return Published(
            model=self.name,
            files=(self.name,),
            url=f"{HUB}/{self.repository}",
            name=self.name,
            repository=self.repository,
            parts=SNAPSHOT,
            types=self.types,
            licence=self.licence,
            terms=self.terms,
            abilities=(self.ability,),
            facts=self.facts,
        )


@contextmanager
def needed(model: str) -> Iterator[None]:
    """Around imports of what needs `transformers`.

    Raises
    ------
    ModelError
        If it is not installed, or spoilt by a torchvision that does not fit.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        cure = f"needs {error.name}: pip install 'promptile[hf]'"
        if not error.name:
            cure = (
                "cannot be loaded, as transformers does not work with the torchvision that is installed: pip uninstall"
                " torchvision, which Promptile does not need, or install the one that belongs to your torch"
            )
        raise ModelError(f"Model {model!r} {cure}") from error
