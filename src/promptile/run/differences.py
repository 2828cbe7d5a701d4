"""What differs between what a run was made from and what is asked now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """What differs between two JSON values, by the path of keys."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield f"{name} was {_brief(old)}, now {_brief(new)}"


def _brief(value: Any, most: int = 60) -> str:
    text = json.dumps(value)
    return text if len(text) <= most else text[: most - 3] + "..."


def prompt_difference(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> str:
    """How many prompts changed, came and went, and an example of each."""
    before, after = ({p["id"]: p for p in prompts} for prompts in (old, new))
    changed = [i for i in after if i in before and before[i] != after[i]]
    added, gone = [i for i in after if i not in before], [i for i in before if i not in after]
    named = {"changed": changed, "new": added, "gone": gone}
    parts = [
        f"{len(ids)} {what} (object {ids[0]}{', ...' if len(ids) > 1 else ''})" for what, ids in named.items() if ids
    ]
    return "prompts: " + (", ".join(parts) or "another order")
