"""What is known of models before their weights are here: where those are published, and under which licence.

Packages that add models name a function of theirs in the group ``promptile.weights``; it gives a list of `Published`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points

from promptile.errors import ModelError

GROUP = "promptile.weights"

PERMISSIVE = frozenset({"Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "Unlicense"})
"""SPDX names of licences that need nobody's consent."""


@dataclass(frozen=True)
class Part:
    """One file of a snapshot.

    Parameters
    ----------
    names : tuple of str
        Names that it may have, the best first.
    needed : bool
        Whether the model cannot be loaded without it.
    """

    names: tuple[str, ...]
    needed: bool = True


SNAPSHOT = (
    Part(("config.json",)),
    Part(("preprocessor_config.json",), needed=False),
    Part(("tokenizer.json", "vocab.json", "vocab.txt")),
    Part(("merges.txt",), needed=False),
    Part(("tokenizer_config.json",), needed=False),
    Part(("special_tokens_map.json",), needed=False),
    Part(("model.safetensors", "pytorch_model.bin")),
)
"""What Hugging Face keeps of a network that reads texts."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a model costs and who made it; how it was measured is told in docs/models.md and docs/detectors.md."""

    family: str
    parameters: int
    """Of the network, as far as it is used."""
    megabytes: int
    """Size of the weights file."""
    seconds: float
    """To look at a window of 1024 x 1024, or of the model's own size, with two cores and torch."""
    gigabytes: float
    """Memory of a process that does so and answers 64 points, if it takes points, on a CPU."""
    citation: str
    """In one line."""
    code: str = "Promptile, BSD-3-Clause"
    """What computes it, and under which licence that is."""
    at_once: str = "a window"
    """What the seconds are for."""
    timed: bool = True
    """Whether the seconds were measured; else they are estimated from those of its kin."""

    def describe(self) -> dict[str, str]:
        """In words."""
        guess = "" if self.timed else "; estimated"
        return {
            "parameters": f"{self.parameters / 1e6:.0f} million",
            "size": f"{self.megabytes:,} MB",
            "speed": f"{self.seconds:.2g} s to look at {self.at_once}, with two cores of a CPU{guess}",
            "memory": f"{self.gigabytes:.2g} GB on a CPU",
            "citation": self.citation,
            "code": self.code,
        }


@dataclass(frozen=True, kw_only=True)
class Published:
    """The weights of one model.

    Parameters
    ----------
    model : str
        The name that the user types.
    files : tuple of str
        Names that the file may have where it is looked for; the first is what its authors call it.
    url : str
        Where they publish it.
    licence : str
        SPDX name where there is one.
    terms : str
        Where the licence can be read.
    sha256 : str
        The file's digest, or how it begins; empty where its authors do not say.
    name : str
        What the file is called in a folder of weights, where its name in the `url` says too little.
    repository : str
        Where it is at Hugging Face: what their tools have downloaded from there is used as it is.
    snapshot : tuple of str
        Names that the file may have there.
    recipe : str
        The command that makes the file, where its authors do not publish it as it is used here.
    parts : tuple of Part
        Where the weights are no single file but a snapshot: a folder, called as the first of `files`, of these files.
        The `url` is the folder's then. The largest file comes last.
    types : tuple of str
        What the snapshot says that it is, one of these.
    abilities : tuple of str
        What the model can do, to be told before its weights are here.
    facts : Facts, optional
        What else is known of it: with them nothing of it is loaded to show it.
    """

    model: str
    files: tuple[str, ...]
    url: str
    licence: str
    terms: str = ""
    sha256: str = ""
    name: str = ""
    repository: str = ""
    snapshot: tuple[str, ...] = ()
    recipe: str = ""
    parts: tuple[Part, ...] = ()
    types: tuple[str, ...] = ()
    abilities: tuple[str, ...] = ()
    facts: Facts | None = None

    @property
    def file(self) -> str:
        """What the file is called here: as where it is published, if that says enough."""
        return self.name or self.url.rpartition("/")[2]

    @property
    def free(self) -> bool:
        """Whether its licence needs nobody's consent."""
        return self.licence in PERMISSIVE


def all_published() -> dict[str, Published]:
    """All weights that installed packages know of, by model."""
    known: dict[str, Published] = {}
    for point in entry_points(group=GROUP):
        known |= {each.model: each for each in point.load()()}
    return known


def published(model: str) -> Published:
    """The weights of a model.

    Raises
    ------
    ModelError
        If it has none, or nobody knows where they are.
    """
    known = all_published()
    if model not in known:
        names = ", ".join(sorted(known)) or "none"
        raise ModelError(f"Model {model!r} has no weights that could be fetched; those that have: {names}")
    return known[model]
