"""Files of a backup that are not as they were written, and restores that were cut off, as an operator meets them."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backup.site import Site

DIE_AT = """
import os, signal, sys, django
django.setup()
from django.core.management import call_command
from diagnostics import storage
from diagnostics.services.backup import restoring, rows
die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
save, stored = storage.save_film, []
def save_some(key, file):
    stored.append(key)
    save(key, file) if len(stored) < 4 else die()
module, name, deed = {
    "among the objects": (storage, "save_film", save_some),
    "before the rows": (rows, "load_rows", die),
    "after the rows": (restoring, "call_command", die),
}[sys.argv[1]]
setattr(module, name, deed)
call_command("restore", *sys.argv[2:])
"""


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def swap(path: Path) -> None:
    """With the next of its kind: another film, another part of the same backup."""
    other = next(found for found in sorted(path.parent.iterdir()) if found != path and found.name != "manifest")
    content = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(content)


HARMS: dict[Callable[[Path], None], str] = {
    flip: "is damaged",
    cut: "is damaged",
    swap: "is damaged",
    Path.unlink: "is missing in",
}


def find(target: Path, part: str) -> Path:
    return max((target / "objects" / "cases").iterdir()) if part == "a film" else next(target.glob(f"sets/*/{part}"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "harm"),
    [(part, harm) for part in ("rows", "a film") for harm in HARMS]
    + [(part, harm) for part in ("objects", "purged") for harm in (cut, Path.unlink)],
)
def test_a_harmed_backup_is_one_line_that_names_the_file_and_leaves_no_rows(
    elsewhere: Site, part: str, harm: Callable[[Path], None]
) -> None:
    harm(find(Path(elsewhere.settings["BACKUP_TARGET"]), part))
    for command in (["restore", "--check"], ["restore"]):
        told = elsewhere.refused(*command)
        assert HARMS[harm] in told
        assert ("objects/" if part == "a film" else "sets/") in told
    assert elsewhere.manage("migrate", "--check").returncode == 1  # there is no table yet


@pytest.mark.slow
@pytest.mark.parametrize(("harm", "line"), [(cut, "none that opens"), (Path.unlink, "holds no backup")])
def test_without_its_manifest_there_is_no_backup(elsewhere: Site, harm: Callable[[Path], None], line: str) -> None:
    harm(find(Path(elsewhere.settings["BACKUP_TARGET"]), "manifest"))
    assert line in elsewhere.refused("restore")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["among the objects", "before the rows", "after the rows"])
def test_a_restore_that_was_killed_says_how_to_go_on_and_goes_on(original: Site, elsewhere: Site, where: str) -> None:
    assert elsewhere.script(DIE_AT, where).returncode == -signal.SIGKILL
    told = elsewhere.refused("restore")
    assert "a restore that was cut off" in told
    assert "--replace" in told
    assert elsewhere.told("restore", "--replace")["problems"] == []
    assert elsewhere.counts() == original.counts()
