"""What the documentation names is there: commands with their options, files, make's targets, settings."""

import re
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from tests.portal import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").rglob("*.md")])
COMMAND = re.compile(r"(?:manage\.py|\$ portal|# portal|`portal) ([a-z][a-z_]+)([^\n`|;()]*)")
OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]+")
FILE = re.compile(r"`((?:docs|deploy|tests|static|accounts|diagnostics|mlmodel|pneumo_site)/[\w./@-]+?)/?`")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)")
TARGET = re.compile(r"(?:^|&& |; )make ([a-z][a-z-]+)(?=[\s`.,;:)])")

pages = pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])


def options_of(command: str) -> set[str]:
    parser = load_command_class(get_commands()[command], command).create_parser("manage.py", command)
    return {option for action in parser._actions for option in action.option_strings}


@pages
def test_commands_and_their_options_exist(page: Path) -> None:
    for command, rest in COMMAND.findall(page.read_text(encoding="utf-8")):
        assert command in get_commands(), f"{page.name}: {command}"
        unknown = set(OPTION.findall(rest)) - options_of(command)
        assert not unknown, f"{page.name}: {command} {unknown}"


@pages
def test_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = [name for name in FILE.findall(text) if not list(ROOT.glob(name.rstrip("/")))]
    missing += [name for name in LINK.findall(text) if not (page.parent / name).exists()]
    assert not missing


@pages
def test_targets_of_make_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    code = re.findall(r"`([^`\n]+)`|^    (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    named = {target for spans in code for span in spans for target in TARGET.findall(f"{span} ")}
    assert [target for target in sorted(named) if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_the_patterns_find_something() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    found = [len(set(pattern.findall(text))) for pattern in (COMMAND, FILE, LINK)]
    assert min(found) >= 3, found
