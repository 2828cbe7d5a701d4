"""The example package adds a model, as its page says: found by name, passes the contract, segments."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import promptile as pt
from conftest import ROOT
from promptile import models
from promptile.models.protocols import Model
from promptile.testing import ModelContract

PACKAGE = ROOT / "docs" / "examples" / "promptile-brightness"


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    """What pip makes of the package: its module, and a folder that names its entry points."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    site = tmp_path_factory.mktemp("site")
    facts = site / f"promptile_brightness-{project['version']}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (facts / "entry_points.txt").write_text("".join(lines))
    patch = pytest.MonkeyPatch()
    for path in (site, PACKAGE / "src"):
        patch.syspath_prepend(str(path))
    importlib.invalidate_caches()
    yield
    patch.undo()
    sys.modules.pop("promptile_brightness", None)


class TestExample(ModelContract):
    def model(self) -> Model:
        return models.load("brightness", 2)


def test_it_is_a_model_like_ours():
    assert "brightness" in models.names()
    image = np.full((300, 400), 20, np.uint8)
    image[50:200, 60:350] = 200
    run = pt.segment(
        image, pt.Prompts.of(points=[(100, 200)]), model="brightness", tiling=pt.Tiling(128, 64), window=(0, 255)
    )
    found = run.labels[...] == 1
    assert (found == (image == 200)).mean() > 0.99
    assert run.objects["tiles"].tolist()[0] > 4


def test_its_own_suite_passes():
    out = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(PACKAGE / "tests")],
        env={"PYTHONPATH": str(PACKAGE / "src"), "PATH": "", "NAPARI_CONFIG": ""},
        capture_output=True,
        text=True,
        cwd=Path(PACKAGE),
        check=False,
    )
    assert out.returncode == 0, out.stdout + out.stderr
    assert "40 passed" in out.stdout
