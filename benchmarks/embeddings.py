"""Does the disk pay? Looking at a window again, beside reading what the model kept of it.

    python benchmarks/embeddings.py

`basin` keeps the rendered window, and in images a pyramid and an overview of it, which are asked for here as the first
prompt would. All times are medians of rounds in which both ways take turns, with the image opened anew: warm, with the
files in the system's memory, and cold, from the disk (Linux only).
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import SimpleITK as sitk
from numpy.typing import NDArray
from rasterio.transform import from_origin
from scipy import ndimage

from promptile.embeddings import DiskCache
from promptile.engine.job import Job
from promptile.grid import Window
from promptile.models.protocols import View
from promptile.sources import open_source

ROUNDS = 15


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        flat, deep = (1024, 1024), (128, 128, 128)
        for name, path, size, level in (
            ("image, 3 x uint8, deflate", scene(place / "scene.tif"), flat, 0),
            ("the same, level 2 of a file without overviews", place / "scene.tif", flat, 2),
            ("volume, int16, .nii", volume(place / "volume.nii"), deep, 0),
        ):
            compare(name, path, Window((0,) * len(size), size), level, place / "cache")
        encoder(place / "cache")


def scene(path: Path, side: int = 4096) -> Path:
    """A scene as aerial images are stored: tiled and compressed."""
    random = np.random.default_rng(0)
    image = ndimage.zoom(random.normal(128, 60, (3, side // 16, side // 16)), (1, 16, 16), order=1)
    image = np.clip(image + random.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": "EPSG:32633", "compress": "deflate"}
    tiled = {"tiled": True, "blockxsize": 512, "blockysize": 512, "transform": from_origin(4e5, 5e6, 1, 1)}
    with rasterio.open(path, "w", height=side, width=side, **profile, **tiled) as file:
        file.write(image)
    return path


def volume(path: Path, side: int = 256) -> Path:
    random = np.random.default_rng(0)
    samples = ndimage.zoom(random.normal(0, 300, (side // 16,) * 3), 16, order=1)
    sitk.WriteImage(sitk.GetImageFromArray(samples.astype(np.int16)), path)
    return path


def compare(name: str, path: Path, window: Window, level: int, place: Path) -> None:
    """Print how long a window takes to look at and embed, and to read from the disk."""
    disk = DiskCache(place, 10**9)
    job = Job.prepare(path, "basin")

    def look() -> Any:
        opened = replace(job, source=open_source(path))
        (embedding,) = job.model.embed([opened.view(window, level)])
        if window.ndim == 2:
            _ = embedding.content.overview
        return embedding.content

    arrays = packed(look())
    nbytes = disk.write("basin", "window", arrays, {})
    (kept,) = place.glob("basin/window.*")
    ways = look, lambda: disk.read("basin", "window")
    (written,) = turns(lambda: disk.write("basin", "window", arrays, {}))
    print(f"{name}: {nbytes / 1e6:.1f} MB, written in {written * 1e3:.0f} ms")
    for state, files in (("warm", []), ("cold", [path, kept])):
        made, read = turns(*ways, forget=files)
        print(f"    {state}: made {made * 1e3:.0f} ms, read {read * 1e3:.0f} ms, ratio {made / read:.1f}")


def packed(content: Any) -> Mapping[str, NDArray[Any]]:
    """What `basin` would have to store."""
    view: View = getattr(content, "view", content)
    arrays: dict[str, NDArray[Any]] = {"samples": view.samples, "valid": np.packbits(view.valid)}
    if view is not content:
        for i, (samples, share) in enumerate(content.pyramid[1:]):
            arrays |= {f"samples{i}": samples, f"share{i}": share}
        overview = content.overview
        arrays |= {"colours": overview.colours, "known": overview.known, "edges": overview.edges}
    return arrays


def encoder(place: Path) -> None:
    """Print how long an embedding of SAM's size takes: 256 x 64 x 64 in half precision."""
    disk = DiskCache(place, 10**9)
    arrays = {"embedding": np.random.default_rng(0).normal(size=(256, 64, 64)).astype(np.float16)}
    nbytes = disk.write("sam", "window", arrays, {})
    read, written, known = turns(
        lambda: disk.read("sam", "window"),
        lambda: disk.write("sam", "window", arrays, {}),
        lambda: disk.has("sam", "window"),
    )
    print(
        f"256 x 64 x 64 in float16: read {read * 1e3:.1f} ms, written {written * 1e3:.1f} ms, "
        f"known {known * 1e6:.0f} us, {nbytes / 1e6:.1f} MB"
    )


def turns(*ways: Callable[[], Any], forget: Sequence[Path] = ()) -> list[float]:
    """Median seconds of each way; they take turns. The system forgets files before each."""
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(ROUNDS):
        for way, taken in zip(ways, seconds, strict=True):
            for path in forget:
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            begin = time.perf_counter()
            way()
            taken.append(time.perf_counter() - begin)
    return [float(np.median(taken)) for taken in seconds]


if __name__ == "__main__":
    main()
