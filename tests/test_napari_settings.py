"""What is set in napari's Preferences, and what becomes of it where it cannot be used."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import platformdirs
import pytest

pytest.importorskip("napari")

import napari.settings
from npe2 import PluginManifest

from conftest import ROOT
from promptile import caches
from promptile._napari import settings
from promptile._napari.settings import CACHE_GB, DEVICES, MODEL, Settings

pytestmark = pytest.mark.skipif(
    not hasattr(napari.settings, "get_plugin_settings"), reason="this napari has no settings for plugins"
)

USUAL = Settings(MODEL, "auto", Path(platformdirs.user_data_dir("promptile", appauthor=False)) / "sessions")


@pytest.fixture
def said(monkeypatch):
    """Warnings that were shown."""
    texts = []
    monkeypatch.setattr(settings, "show_warning", texts.append)
    return texts


@pytest.fixture
def ours(plugin_settings, npe2pm):
    """The plugin, known to napari and alone there."""
    npe2pm.register(PluginManifest.from_file(ROOT / "napari.yaml"))


@pytest.fixture
def kept(ours):
    """What napari keeps for us."""
    return napari.settings.get_plugin_settings("promptile")


def test_the_manifest_says_the_same_as_the_code(kept):
    assert (kept.work.model, kept.work.device) == (MODEL, DEVICES[0])
    assert kept.cache.size_gb == CACHE_GB
    properties = type(kept.work).model_json_schema()["properties"]
    assert properties["device"]["enum"] == list(DEVICES)


def test_nothing_set_is_the_default(kept, said):
    assert Settings.read() == USUAL
    assert not said


def test_what_is_set_is_used(kept, said, tmp_path):
    kept.work.device = "cpu"
    kept.work.sessions_folder = str(tmp_path / "work")
    kept.cache.folder = "~"
    kept.cache.size_gb = 2.5
    assert Settings.read() == Settings(MODEL, "cpu", tmp_path / "work", Path.home(), 2_500_000_000)
    assert not said
    assert "cpu" in (tmp_path / "promptile.yaml").read_text(), "napari did not keep it"


def test_no_settings_for_plugins_are_defaults(said, monkeypatch):
    monkeypatch.delattr(napari.settings, "get_plugin_settings")  # napari 0.6 to 0.8
    assert Settings.read() == USUAL
    assert not said


def test_a_disabled_plugin_has_defaults(plugin_settings, said):
    assert Settings.read() == USUAL
    assert not said


@pytest.mark.parametrize(
    ("group", "name", "value", "needed"),
    [
        ("work", "model", "bassin", "one of basin"),
        ("work", "device", "gpu", "one of auto, cpu, cuda, mps"),
        ("work", "sessions_folder", "somewhere", "the whole path of a folder"),
        ("work", "sessions_folder", "~nobody-of-this-name/x", "the whole path of a folder"),
        ("work", "sessions_folder", "/" + "x" * 5000, "the whole path of a folder"),
        ("cache", "folder", __file__, "the whole path of a folder"),
        ("cache", "folder", "\0", "the whole path of a folder"),
        ("cache", "folder", 7, "the whole path of a folder"),
        ("cache", "size_gb", float("inf"), "a number of gigabytes"),
        ("cache", "size_gb", float("nan"), "a number of gigabytes"),
        ("cache", "size_gb", -1, "a number of gigabytes"),
        ("cache", "size_gb", "much", "a number of gigabytes"),
    ],
)
def test_what_cannot_be_used_is_the_default_and_said_in_one_line(said, monkeypatch, group, name, value, needed):
    kept = SimpleNamespace(**{group: SimpleNamespace(**{name: value})})
    monkeypatch.setattr(napari.settings, "get_plugin_settings", lambda _: kept)
    assert Settings.read() == USUAL
    (text,) = said
    assert f"{group}.{name}" in text
    assert needed in text
    assert "\n" not in text


@pytest.mark.parametrize("content", ["{damaged", "- a\n- list", "work: 7", "work: {device: gpu}\ncache: {size_gb: -3}"])
def test_a_damaged_file_is_survived(ours, said, tmp_path, content):
    (tmp_path / "promptile.yaml").write_text(content)
    assert Settings.read() == USUAL
    assert len(said) <= 1
    assert all("\n" not in text for text in said)


def test_the_cache_is_where_it_is_set(kept, tmp_path, monkeypatch):
    monkeypatch.setenv(caches.LIMIT, "77")
    kept.cache.folder = str(tmp_path / "cache")
    try:
        Settings.read().use()
        assert caches.cache_folder() == tmp_path / "cache"
        assert caches.cache_limit() == 77, "a size that nobody set must not hide the environment"
        kept.cache.size_gb = 0
        Settings.read().use()
        assert caches.cache_limit() == 0
    finally:
        caches.configure()
