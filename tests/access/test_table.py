"""Every address by every role, method and object: what `table.txt` says is what happens, and nothing is missing from it."""

import logging
import os
from collections import Counter
from collections.abc import Iterator

import pytest
from django.conf import settings

from tests.access.addresses import all_keys
from tests.access.cast import World, make_world
from tests.access.table import METHODS, Cell, read_table, sample
from tests.access.walking import STATIC, Walker

pytestmark = pytest.mark.django_db
SHOWN, MANY = 30, 500
SEES_HILLCREST = {"stranger", "granted", "superuser"}


@pytest.fixture
def quiet() -> Iterator[None]:
    """Thousands of refusals are no news."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def world(quiet: None) -> World:
    (settings.STATIC_ROOT / "access.txt").write_text("static")
    return make_world()


def test_every_address_stands_in_the_table_and_no_other() -> None:
    keys = all_keys()
    assert max(Counter(keys).values()) == 1
    assert {cell.key for cell in read_table()} - {STATIC} == set(keys)


def test_every_method_on_every_object_stands_in_the_table_once(world: World) -> None:
    cells = read_table()
    assert max(Counter((cell.key, cell.object, cell.method, cell.role) for cell in cells).values()) == 1
    wanted = {(key, name, method) for key in {cell.key for cell in cells} for name in world.objects(key) for method in METHODS}
    assert {(cell.key, cell.object, cell.method) for cell in cells} == wanted


@pytest.mark.slow
def test_everybody_gets_what_the_table_says(world: World) -> None:
    """Every GET and POST, and a sample of the other methods; `ACCESS_TABLE=whole` walks them all."""
    walker = Walker(world)
    cells = read_table() if os.environ.get("ACCESS_TABLE") == "whole" else sample(read_table())
    answers = [walker.ask(cell.key, cell.object, cell.method, cell.role) for cell in cells]
    unexpected = [(cell, answer) for cell, answer in zip(cells, answers, strict=True) if answer != cell.expected]
    print(f"{len(cells)} combinations, {len(unexpected)} unexpected")
    assert not unexpected, "\n".join([f"{len(unexpected)} unexpected:", *map(_complaint, unexpected[:SHOWN])])


def _complaint(found: tuple[Cell, str]) -> str:
    cell, answer = found
    return f"{cell.method} {cell.key} ({cell.object}) by {cell.role}: {answer} instead of {cell.expected}"


def test_the_table_itself_holds_no_error_of_the_server() -> None:
    """Without Redis and worker `readyz` says 503, and that is its work."""
    assert {cell.key for cell in read_table() if cell.expected.startswith("5")} == {"readyz"}


def test_what_is_another_hospitals_is_answered_like_what_is_missing() -> None:
    """By every role that is held to its hospital: 404 where it may look, 403 where the role may not."""
    expected = {(cell.key, cell.object, cell.method, cell.role): cell.expected for cell in read_table()}
    foreign = [place for place in expected if place[1] == "hillcrest" and place[3] not in SEES_HILLCREST]
    assert len(foreign) > MANY
    differing = [place for place in foreign if expected[place] != expected[(place[0], "missing", *place[2:])]]
    assert differing == []
