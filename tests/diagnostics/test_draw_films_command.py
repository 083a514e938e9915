"""`draw_films`."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from mlmodel.api import inspect


def test_the_films_drawn_are_readable_jpegs_and_the_same_for_one_seed(tmp_path: Path) -> None:
    call_command("draw_films", out=tmp_path / "one", count=2, seed=5)
    call_command("draw_films", out=tmp_path / "two", count=2, seed=5)
    first = sorted((tmp_path / "one").iterdir())
    assert [path.name for path in first] == ["drawn-00005.jpg", "drawn-00006.jpg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in sorted((tmp_path / "two").iterdir())]
    assert inspect(first[0].read_bytes()).width == 640


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("draw_films", out=tmp_path / "file" / "films", count=1)


def test_no_films_are_not_drawn(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="at least 1"):
        call_command("draw_films", out=tmp_path, count=0)
