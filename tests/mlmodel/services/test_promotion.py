"""Activation: evidence on the same films, and two people."""

import csv
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from django.db import IntegrityError
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from mlmodel.artifact import write_artifact
from mlmodel.models import ModelVersion, Promotion, VersionEvent
from mlmodel.registry import versions_in_service
from mlmodel.services.errors import LifecycleError
from mlmodel.services.judgement import Judgement, judge_version
from mlmodel.services.lifecycle import Act, activate, find_version, roll_back
from mlmodel.services.people import identify_person
from mlmodel.services.promotion import activate_version, approve_promotion
from tests.factories import PASSWORD
from tests.mlmodel.services.conftest import CALIBRATED, Evaluate
from tests.mlmodel.test_artifact import FILES

pytestmark = pytest.mark.django_db


@pytest.fixture
def as_good(evaluate: Evaluate) -> None:
    """2.0.0 reads the same films no worse than the shipped version."""
    evaluate("1.0.0", error=0.05)
    evaluate("2.0.0", error=0.0)


@pytest.fixture
def worse(evaluate: Evaluate) -> None:
    evaluate("1.0.0", error=0.02)
    evaluate("2.0.0", error=0.3)


def test_a_version_as_good_is_active_when_a_second_person_approves(as_good: None, operator: User, second: User) -> None:
    asked = activate_version(version="2.0.0", person=operator, reason="new data")
    assert (asked.is_done, versions_in_service().active) == (False, "1.0.0")
    done = activate_version(version="2.0.0", person=second)
    assert (done.is_done, done.replaces, versions_in_service().active) == (True, "1.0.0", "2.0.0")
    event = VersionEvent.objects.get(version="2.0.0", kind="activated")
    assert (event.requested_by, event.approved_by, event.forced, event.reason) == (operator, second, False, "new data")
    assert event.comparison["non_inferior"] is True
    assert event.comparison["data_sha256"] == "a" * 64


def test_the_first_person_is_no_second(as_good: None, operator: User) -> None:
    activate_version(version="2.0.0", person=operator)
    with pytest.raises(LifecycleError, match="a second person approves it"):
        activate_version(version="2.0.0", person=operator)
    with pytest.raises(LifecycleError, match="another person approves it"):
        approve_promotion(promotion=Promotion.objects.get(), person=operator)
    assert versions_in_service().active == "1.0.0"


def test_the_database_itself_refuses_one_person_as_both(as_good: None, operator: User) -> None:
    activate_version(version="2.0.0", person=operator)
    with pytest.raises(IntegrityError):
        Promotion.objects.update(state="approved", approved_by=operator)


def test_a_version_that_nobody_evaluated_is_refused_with_the_commands_to_run(operator: User) -> None:
    with pytest.raises(LifecycleError) as refused:
        activate_version(version="2.0.0", person=operator)
    assert "evaluate_model --data DIR --version 2.0.0" in str(refused.value)
    assert "evaluate_model --data DIR --version 1.0.0" in str(refused.value)
    assert not Promotion.objects.exists()


def test_evaluations_on_different_films_are_none(evaluate: Evaluate, operator: User) -> None:
    evaluate("1.0.0", data="a" * 64)
    evaluate("2.0.0", data="b" * 64)
    with pytest.raises(LifecycleError, match="on the same films"):
        activate_version(version="2.0.0", person=operator)


def test_a_worse_version_is_refused(worse: None, operator: User) -> None:
    with pytest.raises(LifecycleError, match=r"2\.0\.0 may be worse than 1\.0\.0 on the same 300 patients: AUC"):
        activate_version(version="2.0.0", person=operator)


def test_the_stated_margin_decides(evaluate: Evaluate, operator: User) -> None:
    evaluate("1.0.0", error=0.0)
    evaluate("2.0.0", error=0.005)
    with pytest.raises(LifecycleError, match="worse"):
        activate_version(version="2.0.0", person=operator, margin=0.0)
    assert activate_version(version="2.0.0", person=operator, margin=0.05).promotion is not None


def test_a_handful_of_films_is_no_evidence(evaluate: Evaluate, operator: User) -> None:
    for version in ("1.0.0", "2.0.0"):
        evaluate(version, error=0.0, films=8)
    with pytest.raises(
        LifecycleError, match=r"may be worse than 1\.0\.0 on the same 4 patients: sensitivity may be lower by 0\."
    ):
        activate_version(version="2.0.0", person=operator)


@pytest.mark.parametrize("margin", [-0.1, 0.2, float("nan")])
def test_a_margin_that_would_allow_anything_is_refused(as_good: None, operator: User, margin: float) -> None:
    with pytest.raises(LifecycleError, match="from 0 to"):
        activate_version(version="2.0.0", person=operator, margin=margin)


def test_force_takes_two_people_and_two_reasons(worse: None, operator: User, second: User) -> None:
    with pytest.raises(LifecycleError, match="--reason"):
        activate_version(version="2.0.0", person=operator, force=True)
    activate_version(version="2.0.0", person=operator, force=True, reason="1.0.0 is recalled")
    with pytest.raises(LifecycleError, match="may be worse than"):
        activate_version(version="2.0.0", person=second)
    with pytest.raises(LifecycleError, match="--reason"):
        activate_version(version="2.0.0", person=second, force=True)
    assert versions_in_service().active == "1.0.0"
    activate_version(version="2.0.0", person=second, force=True, reason="agreed")
    event = VersionEvent.objects.get(version="2.0.0", kind="activated")
    assert (event.forced, event.reason) == (True, "1.0.0 is recalled / agreed")


def test_force_without_need_leaves_no_mark(as_good: None, operator: User, second: User) -> None:
    for person in (operator, second):
        activate_version(version="2.0.0", person=person, force=True)
    assert VersionEvent.objects.get(version="2.0.0", kind="activated").forced is False


def test_a_damaged_artifact_is_never_forced(as_good: None, trained: Path, operator: User) -> None:
    (trained / "2.0.0" / "weights.npz").write_bytes(b"harm")
    with pytest.raises(LifecycleError, match="another SHA-256"):
        activate_version(version="2.0.0", person=operator, force=True, reason="now")


def test_an_artifact_damaged_between_request_and_approval_is_not_activated(
    as_good: None, trained: Path, operator: User, second: User
) -> None:
    activate_version(version="2.0.0", person=operator)
    (trained / "2.0.0" / "weights.npz").write_bytes(b"harm")
    with pytest.raises(LifecycleError, match="another SHA-256"):
        activate_version(version="2.0.0", person=second)
    assert Promotion.objects.get().state == "pending"


def test_a_version_without_operating_point_is_refused(trained: Path, operator: User) -> None:
    facts = {key: value for key, value in CALIBRATED.items() if key != "operating_point"}
    write_artifact(trained / "4.0.0", {**facts, "version": "4.0.0"}, FILES)
    with pytest.raises(LifecycleError, match="lacks a value"):
        activate_version(version="4.0.0", person=operator)


def test_a_version_without_calibration_is_refused(trained: Path, evaluate: Evaluate, operator: User) -> None:
    write_artifact(trained / "4.0.0", {**CALIBRATED, "version": "4.0.0", "calibration": {"method": "none"}}, FILES)
    evaluate("1.0.0")
    evaluate("4.0.0", error=0.0)
    with pytest.raises(LifecycleError, match=r"4\.0\.0 is not calibrated"):
        activate_version(version="4.0.0", person=operator)


def test_an_evaluation_on_films_of_the_training_is_no_evidence(trained: Path, evaluate: Evaluate, operator: User) -> None:
    films = list(csv.DictReader((Path(evaluate("1.0.0").directory) / "predictions.csv").read_text().splitlines()))
    split = "file,sha256,label,patient,group,part\n" + "".join(f"x,{film['sha256']},x,x,0,train\n" for film in films[:7])
    write_artifact(trained / "4.0.0", {**CALIBRATED, "version": "4.0.0"}, {**FILES, "split.csv": split.encode()})
    evaluate("4.0.0", error=0.0)
    with pytest.raises(LifecycleError, match="7 films of the evaluation were in the training"):
        activate_version(version="4.0.0", person=operator)


def test_a_version_does_not_win_by_refusing(evaluate: Evaluate, operator: User) -> None:
    evaluate("1.0.0")
    path = Path(evaluate("2.0.0", error=0.0).directory) / "predictions.csv"
    lines = path.read_text().splitlines()
    refused = [line.replace("finding,", "refusal,OUT_OF_DISTRIBUTION") for line in lines[1:31]]
    path.write_text("\n".join([lines[0], *refused, *lines[31:]]) + "\n")
    with pytest.raises(LifecycleError, match=r"refuses 30 more of the films than 1\.0\.0"):
        activate_version(version="2.0.0", person=operator)


def test_a_request_that_is_a_week_old_has_expired(as_good: None, operator: User, second: User) -> None:
    activate_version(version="2.0.0", person=operator)
    Promotion.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(LifecycleError, match="too old"):
        approve_promotion(promotion=Promotion.objects.get(), person=second)
    anew = activate_version(version="2.0.0", person=second)
    assert not anew.is_done
    assert list(Promotion.objects.order_by("requested_at").values_list("state", flat=True)) == ["superseded", "pending"]


def test_a_request_is_void_when_another_version_came_into_service(
    as_good: None, evaluate: Evaluate, operator: User, second: User
) -> None:
    activate_version(version="2.0.0", person=operator)
    find_version("3.0.0")
    activate(version="3.0.0", act=Act(second))
    with pytest.raises(LifecycleError, match=r"compared with 1\.0\.0, and 3\.0\.0 is in service now"):
        approve_promotion(promotion=Promotion.objects.get(), person=second)


def test_an_approval_counts_once(as_good: None, operator: User, second: User) -> None:
    activate_version(version="2.0.0", person=operator)
    promotion = Promotion.objects.get()
    approve_promotion(promotion=promotion, person=second)
    roll_back(act=Act(operator))
    stale = Promotion.objects.get()
    with pytest.raises(LifecycleError, match="no longer waiting"):
        approve_promotion(promotion=stale, person=second)
    assert versions_in_service().active == "1.0.0"


def test_the_request_of_an_account_that_was_disabled_since_is_void(as_good: None, operator: User, second: User) -> None:
    activate_version(version="2.0.0", person=operator)
    User.objects.filter(pk=operator.pk).update(is_active=False)
    with pytest.raises(LifecycleError, match="has been disabled"):
        approve_promotion(promotion=Promotion.objects.select_related("requested_by").get(), person=second)


def test_a_doctor_approves_nothing(as_good: None, operator: User, doctor: User) -> None:
    activate_version(version="2.0.0", person=operator)
    with pytest.raises(LifecycleError, match="role of an operator"):
        approve_promotion(promotion=Promotion.objects.get(), person=doctor)


def test_a_trial_with_one_operator_may_do_without_the_second(as_good: None, operator: User, settings: Settings) -> None:
    settings.MODEL_PROMOTION_SECOND_PERSON = False
    assert activate_version(version="2.0.0", person=operator).is_done
    assert versions_in_service().active == "2.0.0"


def test_alone_too_the_version_compared_with_must_be_in_service_still(
    as_good: None, operator: User, settings: Settings
) -> None:
    settings.MODEL_PROMOTION_SECOND_PERSON = False

    def judge_slowly(row: ModelVersion, in_service: str, margin: float | None) -> Judgement:
        judgement = judge_version(row, in_service, margin)
        activate(version=find_version("3.0.0").version, act=Act(operator, None, "meanwhile"))
        return judgement

    slowly = mock.patch("mlmodel.services.promotion.judge_version", side_effect=judge_slowly)
    with slowly, pytest.raises(LifecycleError, match=r"compared with 1\.0\.0, and 3\.0\.0 came into service meanwhile"):
        activate_version(version="2.0.0", person=operator)
    assert ModelVersion.objects.get(state="active").version == "3.0.0"


def test_alone_the_evidence_counts_too(worse: None, operator: User, settings: Settings) -> None:
    settings.MODEL_PROMOTION_SECOND_PERSON = False
    with pytest.raises(LifecycleError, match="worse"):
        activate_version(version="2.0.0", person=operator)


def test_the_active_version_is_not_activated_again(as_good: None, operator: User, second: User) -> None:
    for person in (operator, second):
        activate_version(version="2.0.0", person=person)
    with pytest.raises(LifecycleError, match=r"2\.0\.0 is active already"):
        activate_version(version="2.0.0", person=operator)


def test_the_shipped_version_can_be_held_on_to(operator: User, shipped: Path) -> None:
    activate_version(version="1.0.0", person=operator)
    write_artifact(shipped / "9.0.0", {**CALIBRATED, "version": "9.0.0"}, FILES)
    assert versions_in_service().active == "1.0.0"
    assert ModelVersion.objects.get().state == "active"


@pytest.mark.parametrize("harm", ["wrong password", "no account", "disabled"])
def test_who_is_not_who_they_say_is_told_nothing_more(operator: User, harm: str) -> None:
    email = "nobody@riverside.example" if harm == "no account" else operator.email
    if harm == "disabled":
        User.objects.update(is_active=False)
    with pytest.raises(LifecycleError) as refused:
        identify_person(email=email, password="wrong" if harm == "wrong password" else PASSWORD)
    assert str(refused.value) == "The e-mail address or the password is wrong, or the account is not active."


def test_the_right_password_in_any_spelling_of_the_address(operator: User) -> None:
    assert identify_person(email=operator.email.upper(), password=PASSWORD) == operator


def test_a_doctors_password_changes_no_version(doctor: User) -> None:
    with pytest.raises(LifecycleError, match="role of an operator"):
        identify_person(email=doctor.email, password=PASSWORD)
