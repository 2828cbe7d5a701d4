"""Embeddings that were made are kept: in memory, and those that take long to make also on disk."""

from pathlib import Path

from promptile.caches import cache_folder, cache_limit
from promptile.embeddings.disk import DiskCache
from promptile.memory import MemoryCache, Sized

__all__ = ["DiskCache", "MemoryCache", "Sized", "disk_cache", "embeddings_folder"]


def embeddings_folder() -> Path:
    """Where embeddings are kept on disk."""
    return cache_folder() / "embeddings"


def disk_cache() -> DiskCache:
    """The embeddings on disk, as `promptile.caches` says where and how many."""
    return DiskCache(embeddings_folder(), cache_limit())
