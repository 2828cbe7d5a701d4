"""The sample images that come with Promptile."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from promptile.errors import SourceError

_FOLDER = "promptile_manifest"  # beside the package: see the build section of pyproject.toml


def sample(name: str) -> Path:
    """The path of a sample file: ``scene.tif``, ``volume.nii.gz``, or one of their truth and prompt files.

    Raises
    ------
    SourceError
        If there is no sample of this name.
    """
    folder = Path(str(files(_FOLDER).joinpath("sample_data")))
    if not (folder / name).is_file():
        names = sorted(path.name for path in folder.glob("*.*") if path.suffix not in (".py", ".md"))
        raise SourceError(f"There is no sample {name!r}; there are {', '.join(names)}")
    return folder / name
