"""Every error that Promptile raises on purpose.

::

    PromptileError            one line: what was got, what is needed, what to type
    ├── UsageError            the call itself makes no sense (exit status 2)
    ├── SourceError           an image that cannot be opened, or must not be trusted
    │   ├── IrregularError    slices that form no grid, and from which one can be interpolated
    │   └── SeveralError      several images in one place; one has to be chosen
    ├── PromptError           prompts that cannot be read or do not fit the image
    ├── ModelError            a model that is unknown, not installed, or cannot do this
    ├── RunError              a run folder that is not one, or belongs to something else
    ├── WorkerError           a worker that died, or a cluster that cannot be reached
    └── OutputError           a result that cannot be written there or in that format
"""

from __future__ import annotations

from collections.abc import Sequence


class PromptileError(Exception):
    """Base of all errors meant for the user; its text is one line that names the cure."""


class UsageError(PromptileError):
    """Arguments that contradict each other or are missing."""


class SourceError(PromptileError):
    """An image that cannot be opened, or whose geometry must not be trusted."""


class IrregularError(SourceError):
    """Slices that lie where no grid has them, and from which one can be interpolated.

    Parameters
    ----------
    finding : str
        What is wrong with them.
    cure : str
    """

    def __init__(self, finding: str, cure: str) -> None:
        super().__init__(f"{finding}. {cure}")
        self.finding = finding


class SeveralError(SourceError):
    """Several images in one place.

    Parameters
    ----------
    text : str
    images : sequence of str
        A line for each; its number in this list, from 1, chooses it.
    """

    def __init__(self, text: str, images: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.images = list(images)


class PromptError(PromptileError):
    """Prompts that cannot be read, or that do not fit the image."""


class ModelError(PromptileError):
    """A model that is unknown, not installed, or cannot do what was asked."""


class RunError(PromptileError):
    """A run folder that is none, is in use, or belongs to other inputs."""


class WorkerError(PromptileError):
    """A worker that died, or a cluster that cannot be reached."""


class OutputError(PromptileError):
    """A result that cannot be written to that place or in that format."""
