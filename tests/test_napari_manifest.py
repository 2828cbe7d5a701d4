"""The plugin's manifest: what napari learns of us before it imports anything."""

from __future__ import annotations

import subprocess
import sys

import pytest

from conftest import ROOT

pytest.importorskip("npe2")

from npe2 import PluginManifest


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(ROOT / "napari.yaml")


def test_installed_manifest_is_the_repository_one(manifest):
    installed = PluginManifest.from_distribution("promptile")
    assert installed.contributions == manifest.contributions, (
        "napari.yaml changed since the last install: run `pip install -e .`"
    )


def test_names(manifest):
    assert (manifest.name, manifest.display_name) == ("promptile", "Promptile")
    assert set(manifest.categories) == {"Segmentation", "Annotation", "IO"}
    assert all(command.id.startswith("promptile.") for command in manifest.contributions.commands)


def test_every_command_is_used_and_can_be_imported(manifest):
    pytest.importorskip("napari")
    manifest.validate_imports()
    contributions = manifest.contributions
    points = (contributions.readers, contributions.writers, contributions.sample_data, contributions.widgets)
    used = {c.command for point in points for c in point or ()}
    items = [item for menu in (contributions.menus or {}).values() for item in menu]
    used |= {item.command for item in items if hasattr(item, "command")}
    assert used == {c.id for c in contributions.commands}


def test_patterns_are_those_that_the_reader_takes(manifest):
    pytest.importorskip("napari")
    from promptile._napari.reader import SUFFIXES

    (reader,) = manifest.contributions.readers
    assert reader.accepts_directories
    assert [pattern.removeprefix("*") for pattern in reader.filename_patterns] == list(SUFFIXES)


def test_what_needs_a_path_cannot_be_chosen_in_the_command_palette(manifest):
    pytest.importorskip("napari")
    from napari.plugins._npe2 import _npe2_manifest_to_actions

    contributions = manifest.contributions
    need_a_path = {c.command for c in [*contributions.readers, *contributions.writers]}
    actions, _ = _npe2_manifest_to_actions(manifest)
    assert {
        action.id for action in actions if action.enablement is not None and not action.enablement.eval({})
    } == need_a_path


def test_layers_are_saved_in_all_formats_that_the_library_writes(manifest):
    pytest.importorskip("napari")
    from promptile.prompts import writing
    from promptile.writers import SUFFIXES

    offered = {}
    for writer in manifest.contributions.writers:
        offered.setdefault((writer.command, *writer.layer_types), []).extend(writer.filename_extensions)
    labels = offered.pop(("promptile.write_labels", "labels"))
    prompts = offered.pop(("promptile.write_prompts", "points?", "shapes?"))
    assert not offered
    assert sorted(labels) == sorted(SUFFIXES)
    assert sorted(prompts) == sorted(writing._WRITERS)


def test_npe2_validates_it():
    command = [sys.executable, "-m", "npe2", "validate", str(ROOT / "napari.yaml")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
