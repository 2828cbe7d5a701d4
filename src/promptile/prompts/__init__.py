"""Prompts: what the user said, and the files it is said in."""

from promptile.prompts.prompts import Prompts
from promptile.prompts.types import Prompt, Region, WindowPrompt

__all__ = ["Prompt", "Prompts", "Region", "WindowPrompt"]
