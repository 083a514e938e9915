"""The commands that change versions: what they print, whom they believe, and one line where they refuse."""

import json
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.utils import timezone

from accounts.models import User
from mlmodel.management import person
from mlmodel.models import ShadowTally, VersionEvent
from mlmodel.registry import versions_in_service
from mlmodel.services import listing, shadowing
from mlmodel.shadow import ShadowReading
from tests.factories import PASSWORD
from tests.mlmodel.services.conftest import Evaluate

pytestmark = pytest.mark.django_db
Command = Callable[..., str]


@pytest.fixture
def as_operator(tmp_path: Path, operator: User) -> Command:
    """Run a command as the operator, with the password in a file."""
    return _runner(tmp_path, operator.email)


@pytest.fixture
def as_second(tmp_path: Path, second: User) -> Command:
    return _runner(tmp_path, second.email)


def _runner(tmp_path: Path, email: str) -> Command:
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")

    def run(*words: str) -> str:
        return printed(*words, "--by", email, "--password-file", str(password))

    return run


def printed(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue().strip()


@pytest.fixture
def evaluated(evaluate: Evaluate) -> None:
    evaluate("1.0.0", error=0.05)
    evaluate("2.0.0", error=0.0)


def test_two_operators_activate_and_one_rolls_back(evaluated: None, as_operator: Command, as_second: Command) -> None:
    assert as_operator("activate_model", "2.0.0").startswith("2.0.0 waits for a second operator until ")
    assert as_second("activate_model", "2.0.0") == "2.0.0 is active in place of 1.0.0. Workers switch within ten seconds."
    assert as_operator("rollback_model", "--reason", "alarms").startswith("1.0.0 is active again in place of 2.0.0.")
    assert versions_in_service().active == "1.0.0"


def test_what_was_done_comes_as_json(evaluated: None, as_operator: Command, as_second: Command) -> None:
    asked = json.loads(as_operator("activate_model", "2.0.0", "--json"))
    assert (asked["state"], asked["replaces"], asked["comparison"]["non_inferior"]) == ("pending", "1.0.0", True)
    assert json.loads(as_second("activate_model", "2.0.0", "--json"))["state"] == "active"
    done = {"version": "1.0.0", "replaced": "2.0.0", "passed_over": [], "suspended": []}
    assert json.loads(as_second("rollback_model", "--json")) == done


def test_shadow_on_and_off(as_operator: Command) -> None:
    assert as_operator("shadow_model", "2.0.0") == "2.0.0 is in shadow."
    assert as_operator("shadow_model", "3.0.0") == "3.0.0 is in shadow in place of 2.0.0."
    assert as_operator("shadow_model", "--off") == "3.0.0 is no longer in shadow."
    assert [event.requested_by.email for event in VersionEvent.objects.all() if event.requested_by] == [
        "operator@riverside.example"
    ] * 4


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["activate_model", "9.9.9"], "There is no version '9.9.9'."),
        (["activate_model", "../1.0.0"], "There is no version '../1.0.0'."),
        (["activate_model", "2.0.0", "--margin", "1"], "--margin is a difference in AUC from 0 to 0.05. Received: 1.0"),
        (["shadow_model"], "Name a VERSION, or give --off."),
        (["shadow_model", "2.0.0", "--off"], "Name a VERSION, or give --off."),
        (["shadow_model", "--off"], "No version is in shadow."),
        (["rollback_model"], "1.0.0 serves as shipped, and nothing was active before it."),
    ],
)
def test_what_is_refused_ends_on_one_line(as_operator: Command, words: list[str], complaint: str) -> None:
    with pytest.raises(CommandError) as refused:
        as_operator(*words)
    assert str(refused.value) == complaint
    assert refused.value.returncode == 1


@pytest.mark.parametrize("command", [["activate_model", "2.0.0"], ["shadow_model", "2.0.0"], ["rollback_model"]])
def test_without_a_name_a_terminal_or_the_password_nothing_is_done(operator: User, command: list[str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    with pytest.raises(CommandError, match="--by EMAIL"):
        printed(*command)
    with mock.patch.object(sys, "stdin", StringIO()), pytest.raises(CommandError, match="--password-file"):
        printed(*command, "--by", operator.email)
    with pytest.raises(CommandError, match="holds no password"):
        printed(*command, "--by", operator.email, "--password-file", str(tmp_path / "none"))
    with pytest.raises(CommandError, match="is wrong, or the account"):
        printed(*command, "--by", operator.email, "--password-file", str(wrong))
    assert not VersionEvent.objects.exists()


def test_on_a_terminal_the_password_is_asked_for(operator: User) -> None:
    with (
        mock.patch.object(sys, "stdin", mock.Mock(isatty=lambda: True)),
        mock.patch.object(person, "getpass", return_value=PASSWORD) as asked,
    ):
        assert printed("shadow_model", "2.0.0", "--by", operator.email) == "2.0.0 is in shadow."
    asked.assert_called_once_with("Password of operator@riverside.example: ")


def listed() -> dict[str, dict[str, object]]:
    return {facts["version"]: facts for facts in json.loads(printed("list_models", "--json"))}


def test_a_fresh_machine_lists_the_shipped_version_as_serving() -> None:
    versions = listed()
    assert list(versions) == ["3.0.0", "2.0.0", "1.0.0"]
    assert (versions["1.0.0"]["state"], versions["1.0.0"]["in_service"]) == ("not registered", True)
    assert versions["1.0.0"]["metrics"] == {"auc": {"value": 0.9, "low": None, "high": None}}


def test_the_list_says_who_what_and_how_good(evaluated: None, as_operator: Command, as_second: Command) -> None:
    as_operator("activate_model", "2.0.0")
    waiting = listed()["2.0.0"]["waits_for_approval"]
    assert isinstance(waiting, dict)
    assert waiting["requested_by"] == "operator@riverside.example"
    as_second("activate_model", "2.0.0")
    facts = listed()["2.0.0"]
    assert (facts["state"], facts["by"], facts["approved_by"]) == (
        "active",
        "operator@riverside.example",
        "second@riverside.example",
    )
    assert facts["metrics"] == {"auc": {"value": 1.0, "low": 0.9, "high": 1.0}}
    assert facts["waits_for_approval"] is None
    table = printed("list_models")
    for words in ("AUC 1.000 (0.900 to 1.000)", "600 films, 300 patients", "retired", "operator@riverside.example"):
        assert words in table


def test_a_version_whose_files_changed_is_listed_with_its_trouble(as_operator: Command, trained: Path) -> None:
    as_operator("shadow_model", "2.0.0")
    (trained / "2.0.0" / "metadata.json").write_text("{")
    assert "cannot be read" in str(listed()["2.0.0"]["problem"])


def test_the_agreement_of_the_shadow_is_listed(as_operator: Command) -> None:
    as_operator("shadow_model", "2.0.0")
    run = shadowing.open_run(version="2.0.0", against="1.0.0")
    readings = [
        ShadowReading(0.9, "PNEUMONIA", 0.8, "PNEUMONIA"),
        ShadowReading(0.2, "NORMAL", 0.1, "NORMAL"),
        ShadowReading(0.3, "NORMAL", 0.7, "PNEUMONIA"),
        ShadowReading(0.6, "PNEUMONIA", 0.6, "PNEUMONIA"),
    ]
    shadowing.record_readings(run=run, readings=readings, refused=1)
    shadow = listed()["2.0.0"]["shadow"]
    assert isinstance(shadow, dict)
    assert (shadow["n"], shadow["refused"], shadow["label_agreement"]) == (4, 1, 0.75)
    assert shadow["mean_difference"] == pytest.approx(-0.05)
    assert shadow["mean_absolute_difference"] == pytest.approx(0.15)
    assert "2.0.0: In shadow beside 1.0.0: 4 films, same label 75.0%, mean difference -0.050" in printed("list_models")


def test_of_two_workers_one_moves_the_bookmark(as_operator: Command) -> None:
    as_operator("shadow_model", "2.0.0")
    one, other = (shadowing.open_run(version="2.0.0", against="1.0.0") for _ in range(2))
    assert shadowing.claim_films(run=one, cursor="a")
    assert not shadowing.claim_films(run=other, cursor="a")
    assert ShadowTally.objects.get().started_at <= timezone.now()


def test_without_a_database_the_list_says_so_in_one_line() -> None:
    with (
        mock.patch.object(listing, "versions_in_service", side_effect=DatabaseError("refused")),
        pytest.raises(CommandError, match="registry cannot be read"),
    ):
        printed("list_models")
