"""What is in the cache on disk, for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from promptile.embeddings.disk import DiskCache


@dataclass
class Shelf:
    """The windows of one image, seen by one model in one rendering at one level."""

    image: str
    model: str
    level: int | None
    windows: int = 0
    nbytes: int = 0
    used: float = 0.0
    """Seconds since the epoch, of the window that was used last."""

    def to_json(self) -> dict[str, Any]:
        return {
            "image": self.image,
            "model": self.model,
            "level": self.level,
            "windows": self.windows,
            "bytes": self.nbytes,
            "used": self.used,
        }


def shelves(cache: DiskCache) -> list[Shelf]:
    """What is kept, the most recently used first; what cannot be told is ``?``."""
    found: dict[str, Shelf] = {}
    for entry in cache.entries():
        name = entry.path.parent.name
        if name not in found:
            about = cache.about(name)
            found[name] = Shelf(str(about.get("image", "?")), str(about.get("model", "?")), about.get("level"))
        shelf = found[name]
        shelf.windows += 1
        shelf.nbytes += entry.nbytes
        shelf.used = max(shelf.used, entry.used)
    return sorted(found.values(), key=lambda shelf: -shelf.used)
