"""Prompts: what the user said, and the files it is said in."""

from promptile.prompts.types import Prompt, Prompts, Region, WindowPrompt

__all__ = ["Prompt", "Prompts", "Region", "WindowPrompt"]
