"""Makes the pictures of the docs from the samples: `python docs/make_pictures.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

from promptile.demo import demo

FOLDER = Path(__file__).parent / "images"
PICTURES = {"fields": "fields.jpg", "water": "scene.jpg", "everything": "everything.jpg", "organs": "volume.jpg"}


def main() -> None:
    """Run the demo and keep its pictures as JPEG, 1000 pixels wide at most."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        demo(folder)
        for name, target in PICTURES.items():
            picture = Image.open(Path(folder) / f"{name}.png")
            picture.thumbnail((1000, 1000), Image.Resampling.LANCZOS)
            picture.save(FOLDER / target, quality=88, optimize=True)


if __name__ == "__main__":
    main()
