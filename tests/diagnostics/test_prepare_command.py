"""`prepare` makes an installation ready to start, also one whose last preparation was cut off."""

from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import Settings


@pytest.mark.django_db
def test_what_a_power_cut_left_empty_is_made_anew(tmp_path: Path, settings: Settings) -> None:
    settings.STATIC_ROOT = tmp_path / "static"
    style, manifest = settings.STATIC_ROOT / "css" / "portal.css", settings.STATIC_ROOT / "staticfiles.json"
    style.parent.mkdir(parents=True)
    style.touch()
    manifest.touch()
    call_command("prepare")
    assert style.read_bytes()


@pytest.mark.django_db
def test_a_second_run_leaves_what_is_there(tmp_path: Path, settings: Settings) -> None:
    settings.STATIC_ROOT = tmp_path / "static"
    call_command("prepare")
    style = settings.STATIC_ROOT / "css" / "portal.css"
    before = style.stat().st_mtime_ns
    call_command("prepare")
    assert style.stat().st_mtime_ns == before
