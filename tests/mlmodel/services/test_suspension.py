"""The stop rule takes a version out of service: none takes its place, and it comes back by two people's decision alone."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from mlmodel import api
from mlmodel.artifact import write_artifact
from mlmodel.models import ModelVersion, VersionEvent
from mlmodel.registry import locate_version, versions_in_service
from mlmodel.services import lifecycle
from mlmodel.services.errors import LifecycleError
from mlmodel.services.lifecycle import Act, activate, end_shadow, find_version, put_in_shadow, roll_back, suspend
from mlmodel.services.listing import describe_versions
from mlmodel.services.promotion import activate_version
from tests.mlmodel.services.conftest import CALIBRATED, Evaluate
from tests.mlmodel.services.test_lifecycle import activate_in_turn, states
from tests.mlmodel.test_artifact import FILES

pytestmark = pytest.mark.django_db
RULE = Act(None, reason="Stop rule: drift.")


def suspended() -> str | None:
    found = versions_in_service()
    assert (found.active is None) == (found.since is not None)
    return found.suspended


def test_a_suspended_version_goes_to_shadow_and_none_takes_its_place(operator: User) -> None:
    activate_in_turn(operator, "2.0.0")
    assert suspend(version="2.0.0", act=RULE)
    found = versions_in_service()
    assert (found.active, found.shadow, found.suspended, found.latest) == (None, "2.0.0", "2.0.0", "2.0.0")
    event = VersionEvent.objects.last()
    assert event is not None
    assert (event.version_id, event.kind, event.from_state, event.to_state) == ("2.0.0", "suspended", "active", "shadow")
    assert (event.requested_by, event.reason) == (None, "Stop rule: drift.")


def test_a_second_call_changes_nothing(operator: User) -> None:
    activate_in_turn(operator, "2.0.0")
    suspend(version="2.0.0", act=RULE)
    events = VersionEvent.objects.count()
    assert not suspend(version="2.0.0", act=RULE)
    assert VersionEvent.objects.count() == events


def test_a_second_call_that_looked_before_the_first_one_acted_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = versions_in_service()
    suspend(version="1.0.0", act=RULE)
    monkeypatch.setattr(lifecycle, "versions_in_service", lambda: before)
    assert not suspend(version="1.0.0", act=RULE)
    assert suspended() == "1.0.0"


def test_a_version_that_is_not_in_service_is_not_suspended(operator: User) -> None:
    activate_in_turn(operator, "2.0.0", "3.0.0")
    assert not suspend(version="2.0.0", act=RULE)
    assert versions_in_service().active == "3.0.0"


def test_the_version_that_serves_as_shipped_can_be_suspended(db: None) -> None:
    assert suspend(version="1.0.0", act=RULE)
    assert suspended() == "1.0.0"
    assert list(VersionEvent.objects.values_list("kind", flat=True)) == ["activated", "suspended"]


def test_a_newer_shipped_version_does_not_slip_into_service_meanwhile(shipped: Path) -> None:
    suspend(version="1.0.0", act=RULE)
    write_artifact(shipped / "1.1.0", {**CALIBRATED, "version": "1.1.0"}, FILES)
    assert suspended() == "1.0.0"


def test_the_version_that_was_in_shadow_makes_room(operator: User) -> None:
    activate_in_turn(operator, "2.0.0")
    find_version("3.0.0")
    put_in_shadow(version="3.0.0", act=Act(operator))
    suspend(version="2.0.0", act=RULE)
    assert states() == {"1.0.0": "retired", "2.0.0": "shadow", "3.0.0": "candidate"}


def test_nothing_reads_by_default_meanwhile_and_a_version_that_is_named_does(operator: User) -> None:
    activate_in_turn(operator, "2.0.0")
    suspend(version="2.0.0", act=RULE)
    with pytest.raises(api.NoVersionInServiceError, match=r"stop rule took 2\.0\.0 out of it"):
        locate_version(None)
    with pytest.raises(api.NoVersionInServiceError):
        api.active_version()
    assert locate_version("2.0.0").path.is_dir()


def test_predict_says_in_one_line_that_no_version_is_in_service(operator: User, tmp_path: Path) -> None:
    activate_in_turn(operator, "2.0.0")
    suspend(version="2.0.0", act=RULE)
    with pytest.raises(CommandError, match="No version is in service"):
        call_command("predict", str(tmp_path / "film.png"))


def test_rollback_puts_the_version_before_it_in_service_and_the_suspended_one_reads_on_unseen(operator: User) -> None:
    activate_in_turn(operator, "2.0.0")
    suspend(version="2.0.0", act=RULE)
    done = roll_back(act=Act(operator, reason="stop rule"))
    assert (done.version, done.replaced) == ("1.0.0", "2.0.0")
    assert states() == {"1.0.0": "active", "2.0.0": "shadow"}
    assert suspended() is None


def test_rollback_with_nothing_before_says_so_and_does_not_put_the_suspended_one_back(operator: User) -> None:
    suspend(version="1.0.0", act=RULE)
    with pytest.raises(LifecycleError, match=r"No version is left that was active before 1\.0\.0"):
        roll_back(act=Act(operator))
    assert suspended() == "1.0.0"


def test_a_later_rollback_passes_over_a_version_that_was_suspended(operator: User) -> None:
    activate_in_turn(operator, "2.0.0")
    suspend(version="2.0.0", act=RULE)
    activate_in_turn(operator, "3.0.0")
    done = roll_back(act=Act(operator))
    assert (done.version, done.suspended, done.passed_over) == ("1.0.0", ("2.0.0",), ())


def test_a_rollback_that_finds_only_suspended_versions_names_them(operator: User) -> None:
    suspend(version="1.0.0", act=RULE)
    activate_in_turn(operator, "2.0.0")
    with pytest.raises(LifecycleError, match=r"\(1\.0\.0: taken out of service by the stop rule\)"):
        roll_back(act=Act(operator))


def test_another_version_is_compared_with_the_suspended_one_and_ends_the_suspension(
    evaluate: Evaluate, operator: User, second: User
) -> None:
    evaluate("1.0.0")
    evaluate("2.0.0", error=0.0)
    suspend(version="1.0.0", act=RULE)
    asked = activate_version(version="2.0.0", person=operator)
    assert (asked.is_done, asked.replaces, suspended()) == (False, "1.0.0", "1.0.0")
    assert asked.promotion is not None
    assert asked.promotion.comparison["against"] == "1.0.0"
    assert activate_version(version="2.0.0", person=second).is_done
    assert states() == {"1.0.0": "shadow", "2.0.0": "active"}
    assert suspended() is None


def test_a_request_made_before_the_suspension_can_still_be_approved(evaluate: Evaluate, operator: User, second: User) -> None:
    evaluate("1.0.0")
    evaluate("2.0.0", error=0.0)
    activate_version(version="2.0.0", person=operator)
    suspend(version="1.0.0", act=RULE)
    assert activate_version(version="2.0.0", person=second).is_done
    assert versions_in_service().active == "2.0.0"


def test_the_same_version_comes_back_only_by_force_with_a_reason_of_two_people(operator: User, second: User) -> None:
    suspend(version="1.0.0", act=RULE)
    with pytest.raises(LifecycleError, match=r"The stop rule took 1\.0\.0 out of service on"):
        activate_version(version="1.0.0", person=operator)
    with pytest.raises(LifecycleError, match="--reason"):
        activate_version(version="1.0.0", person=operator, force=True)
    reason = "the detector was mended"
    assert not activate_version(version="1.0.0", person=operator, force=True, reason=reason).is_done
    with pytest.raises(LifecycleError, match=r"has asked for 1\.0\.0 already"):
        activate_version(version="1.0.0", person=operator, force=True, reason=reason)
    assert activate_version(version="1.0.0", person=second, force=True, reason=reason).is_done
    assert (versions_in_service().active, states()) == ("1.0.0", {"1.0.0": "active"})


def test_a_suspended_version_needs_force_also_once_another_is_in_service(
    evaluate: Evaluate, operator: User, second: User
) -> None:
    evaluate("1.0.0")
    evaluate("2.0.0")
    suspend(version="1.0.0", act=RULE)
    activate(version="2.0.0", act=Act(operator))
    with pytest.raises(LifecycleError, match=r"The stop rule took 1\.0\.0 out of service on"):
        activate_version(version="1.0.0", person=operator)


def test_a_version_that_was_put_back_may_be_rolled_back_to(operator: User) -> None:
    suspend(version="1.0.0", act=RULE)
    activate_in_turn(operator, "1.0.0", "2.0.0")
    assert roll_back(act=Act(operator)).version == "1.0.0"


def test_the_workers_are_left_a_version_to_hold(operator: User) -> None:
    suspend(version="1.0.0", act=RULE)
    with pytest.raises(LifecycleError, match="the only one that the workers hold"):
        end_shadow(act=Act(operator))
    find_version("2.0.0")
    assert put_in_shadow(version="2.0.0", act=Act(operator)) == "1.0.0"
    found = versions_in_service()
    assert (found.active, found.shadow, found.suspended) == (None, "2.0.0", "1.0.0")
    put_in_shadow(version="1.0.0", act=Act(operator))
    assert versions_in_service().shadow == "1.0.0"


def test_the_history_tells_when_no_version_was_in_service(operator: User) -> None:
    activate_in_turn(operator, "2.0.0")
    suspend(version="2.0.0", act=RULE)
    (running,) = api.suspensions()
    assert (running.version, running.until, running.reinstated_at) == ("2.0.0", None, None)
    assert [period.until is None for period in api.service_periods()] == [False, False]
    activate_in_turn(operator, "3.0.0", "2.0.0")
    (over,) = api.suspensions()
    versions = [period.version for period in api.service_periods()]
    assert versions == ["2.0.0", "3.0.0", "2.0.0", "1.0.0"]
    latest, before = api.service_periods()[:2]
    assert (over.until, over.reinstated_at) == (before.since, latest.since)


def test_a_version_put_back_at_once_has_two_periods(operator: User) -> None:
    activate_in_turn(operator, "2.0.0")
    suspend(version="2.0.0", act=RULE)
    activate_in_turn(operator, "2.0.0")
    assert [period.version for period in api.service_periods()] == ["2.0.0", "2.0.0", "1.0.0"]


def test_the_list_of_versions_says_since_when_none_is_in_service(operator: User, capsys: pytest.CaptureFixture[str]) -> None:
    activate_in_turn(operator, "2.0.0")
    suspend(version="2.0.0", act=RULE)
    facts = {row["version"]: row for row in describe_versions()}
    assert not any(row["in_service"] for row in facts.values())
    assert facts["2.0.0"]["suspended_since"]
    assert facts["1.0.0"]["suspended_since"] is None
    call_command("list_models")
    assert "no version is in service" in capsys.readouterr().out


def test_a_version_that_the_release_before_activated_meanwhile_serves(operator: User) -> None:
    """On a machine that is upgraded last, or after a way back: it knows no suspension, and ends none."""
    activate_in_turn(operator, "2.0.0", "3.0.0")
    suspend(version="3.0.0", act=RULE)
    ModelVersion.objects.filter(version="2.0.0").update(state="active")
    assert (versions_in_service().active, suspended(), locate_version(None).path.name) == ("2.0.0", None, "2.0.0")
    assert suspend(version="2.0.0", act=RULE)
    assert (suspended(), states()["3.0.0"]) == ("2.0.0", "candidate")


def test_an_active_version_cannot_be_called_suspended(operator: User) -> None:
    activate_in_turn(operator, "2.0.0")
    with pytest.raises(IntegrityError), transaction.atomic():
        ModelVersion.objects.filter(version="2.0.0").update(suspended_at=timezone.now())
