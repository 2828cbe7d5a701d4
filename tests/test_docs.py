"""What the docs say is there: links, pictures, keys, buttons, commands."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from promptile.cli.arguments import build_parser

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TUTORIALS = sorted((ROOT / "docs").glob("tutorial-*.md"))


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_is_linked_is_there(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_every_picture_is_shown_somewhere():
    shown = {link for page in PAGES for link in re.findall(r"images/([\w.-]+)\)", page.read_text(encoding="utf-8"))}
    assert {path.name for path in (ROOT / "docs" / "images").iterdir()} == shown


def test_pictures_are_small():
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "images").iterdir()}
    assert {n for n, size in sizes.items() if size > 1_500_000} == set()
    assert sum(sizes.values()) < 8_000_000


def commands() -> list[tuple[str, str]]:
    """Command lines of the pages, with what they must be parsed from."""
    found = []
    for page in [ROOT / "README.md", *TUTORIALS]:
        for block in re.findall(r"^ *```\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            lines = (line.strip() for line in block.splitlines())
            found += [(name(page), line) for line in lines if line.startswith("promptile ")]
    return found


@pytest.mark.parametrize(("page", "line"), commands(), ids=lambda text: text)
def test_commands_are_understood(page, line):
    build_parser().parse_args(shlex.split(line, comments=True)[1:])


def test_there_are_commands_to_test():
    assert len(commands()) > 15


@pytest.mark.parametrize("page", [ROOT / "README.md", *TUTORIALS], ids=name)
def test_python_names_what_there_is(page):
    import promptile

    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        used = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
        assert [n.attr for n in used if n.value.id == "pt" and n.attr not in promptile.__all__] == []


def test_keys_of_the_docs_are_those_of_the_widget():
    source = ast.parse((ROOT / "src/promptile/_napari/widget/dock.py").read_text(encoding="utf-8"))
    (keys,) = (n for n in ast.walk(source) if isinstance(n, ast.FunctionDef) and n.name == "_keys")
    (bound,) = (n for n in ast.walk(keys) if isinstance(n, ast.Dict))
    text = (ROOT / "docs/napari.md").read_text(encoding="utf-8")
    table = re.search(r"^## Keys\n(.*?)^## ", text, re.DOTALL | re.MULTILINE).group(1)
    told = {key for row in re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE) for key in re.findall("`([^`]+)`", row)}
    assert told == {key.value.replace("Control-", "Ctrl+").replace("Shift-", "Shift+") for key in bound.keys}


def test_buttons_of_the_tutorials_are_in_the_widget():
    widget = ROOT / "src/promptile/_napari/widget"
    words = "".join(path.read_text(encoding="utf-8") for path in widget.glob("*.py")) + (
        ROOT / "napari.yaml"
    ).read_text(encoding="utf-8")
    pages = [ROOT / "docs/napari.md", *TUTORIALS]
    said = {text for page in pages for text in re.findall(r"\*([●✕▭⬠▶■][^*]+)\*", page.read_text(encoding="utf-8"))}
    assert len(said) >= 3
    assert {text for text in said if text not in words} == set()
    for text in (
        "Run over many tiles",
        "Take all",
        "Review",
        "Correct",
        "Brush",
        "Objects …",
        "Prompts …",
        "Start anew",
    ):
        assert f'"{text}"' in words
        assert any(
            f"*{text}" in page.read_text(encoding="utf-8") or f"› {text}" in page.read_text(encoding="utf-8")
            for page in pages
        )
