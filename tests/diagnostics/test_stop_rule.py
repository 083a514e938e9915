"""The stop rule acts: beyond a bound, and on enough films, the version goes out of service once, and operators hear of it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.core.mail import EmailMessage
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from accounts.models import AuditEvent, User
from diagnostics import queue
from diagnostics.models import Prediction
from diagnostics.monitoring import standing
from diagnostics.services.reconciliation import reconcile
from diagnostics.services.reviews import record_review
from diagnostics.services.stop_rule import enforce_stop_rule
from mlmodel import api
from mlmodel.models import VersionEvent
from mlmodel.services.lifecycle import Act, activate
from tests.diagnostics.cases import make_case, make_prediction

NARROW = 0.55  # where the shipped version's own scores are rare


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Any) -> None:
    """Small counts, and a place that the shipped version may be copied to."""
    monkeypatch.setattr(standing, "MIN_FILMS", 3)
    monkeypatch.setattr(standing, "MIN_SIGNED", 4)
    settings.MODEL_DIR = tmp_path / "models"


def version() -> str:
    return api.versions_in_service().latest


def read_films(uploader: User, count: int, probability: float = NARROW, **columns: Any) -> list[Prediction]:
    cases = [make_case(uploader, state="done") for _ in range(count)]
    return [make_prediction(case, probability=probability, model_version=version(), **columns) for case in cases]


def sign(rows: list[Prediction], reviewer: User, verdict: str) -> None:
    for row in rows:
        record_review(case=row.case, reviewer=reviewer, finding="PNEUMONIA", verdict=verdict, sign=True)


def suspensions() -> list[tuple[str, str]]:
    return list(VersionEvent.objects.filter(kind="suspended").values_list("version_id", "reason"))


def test_scores_far_from_the_validation_suspend_the_version_once(
    doctor: User, settings: Settings, django_capture_on_commit_callbacks: Any
) -> None:
    settings.STOP_RULE_PSI = 0.5
    read_films(doctor, 3)
    with django_capture_on_commit_callbacks(execute=True):
        assert enforce_stop_rule()
    found = api.versions_in_service()
    assert (found.active, found.shadow, found.suspended) == (None, version(), version())
    ((name, reason),) = suspensions()
    assert name == version()
    assert reason.startswith("Stop rule: drift. PSI ")
    assert not enforce_stop_rule()
    assert len(suspensions()) == 1


def test_clinicians_who_disagree_suspend_the_version(doctor: User, settings: Settings) -> None:
    settings.STOP_RULE_AGREEMENT = 0.8
    rows = read_films(doctor, 4)
    sign(rows[:2], doctor, "agree")
    sign(rows[2:], doctor, "disagree")
    assert enforce_stop_rule()
    assert suspensions()[0][1].startswith("Stop rule: agreement. ")
    assert "agreement 0.500 of 4 verdicts, bound 0.8" in suspensions()[0][1]


@pytest.mark.parametrize(("films", "signed"), [(2, 0), (3, 3)])
def test_few_films_and_few_verdicts_suspend_nothing_and_tell_nobody(
    doctor: User, operator: User, settings: Settings, mailoutbox: list[EmailMessage], films: int, signed: int
) -> None:
    settings.STOP_RULE_PSI, settings.STOP_RULE_AGREEMENT = (0.5, 0.0) if films < 3 else (0.0, 0.9)
    rows = read_films(doctor, films)
    sign(rows[:signed], doctor, "disagree")
    assert not enforce_stop_rule()
    assert api.versions_in_service().active
    assert (suspensions(), mailoutbox, AuditEvent.objects.filter(action="model_changed").count()) == ([], [], 0)


def test_within_the_bound_nothing_happens(doctor: User, settings: Settings) -> None:
    settings.STOP_RULE_PSI = 100
    read_films(doctor, 3)
    assert not enforce_stop_rule()


def test_without_a_rule_the_rows_are_not_even_read(doctor: User, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert not enforce_stop_rule()


def test_where_the_rule_only_alerts_the_version_goes_on_serving(doctor: User, settings: Settings) -> None:
    settings.STOP_RULE_PSI, settings.STOP_RULE_ACTION = 0.5, "alert"
    read_films(doctor, 3)
    assert not enforce_stop_rule()
    assert api.versions_in_service().active


def test_the_audit_log_has_one_entry_by_nobody(doctor: User, settings: Settings) -> None:
    settings.STOP_RULE_PSI = 0.5
    read_films(doctor, 3)
    enforce_stop_rule()
    enforce_stop_rule()
    steps = AuditEvent.objects.filter(action="model_changed", details__step="suspended")
    (entry,) = steps
    assert (entry.actor, entry.object_type, entry.object_id) == (None, "model version", version())


def test_each_operator_gets_one_mail_and_nothing_of_a_patient_is_in_it(
    doctor: User,
    operator: User,
    admin_user: User,
    settings: Settings,
    mailoutbox: list[EmailMessage],
    django_capture_on_commit_callbacks: Any,
) -> None:
    settings.STOP_RULE_PSI = 0.5
    rows = read_films(doctor, 3)
    waits = make_case(doctor, file_name="garcia.png", clinical_note="cough")
    with django_capture_on_commit_callbacks(execute=True):
        reconcile()
        reconcile()
    (mail,) = mailoutbox
    assert mail.to == [operator.email]
    assert f"version {version()} was stopped" in mail.subject
    for word in ("Films that wait: 1", "PSI ", "rollback_model", "activate_model"):
        assert word in str(mail.body)
    for secret in (waits.file_name, "cough", str(waits.pk), str(rows[0].case_id), doctor.email):
        assert secret not in f"{mail.subject}{mail.body}"


def test_results_that_were_made_stay_as_they_were(doctor: User, settings: Settings) -> None:
    settings.STOP_RULE_PSI = 0.5
    read_films(doctor, 3)
    before = list(Prediction.objects.order_by("pk").values())
    enforce_stop_rule()
    assert list(Prediction.objects.order_by("pk").values()) == before


def test_films_are_not_called_for_while_no_version_may_read_them(doctor: User, settings: Settings) -> None:
    settings.STOP_RULE_PSI = 0.5
    read_films(doctor, 3)
    make_case(doctor, queued_at=timezone.now() - timedelta(minutes=10))
    with mock.patch.object(queue, "ring", return_value=True) as ring:
        done = reconcile()
    assert (done.suspended, done.rung, ring.called) == (True, 0, False)
    assert reconcile().suspended is False


def test_a_version_that_was_put_back_starts_afresh(doctor: User, operator: User, settings: Settings) -> None:
    settings.STOP_RULE_PSI, settings.STOP_RULE_AGREEMENT = 0.5, 0.8
    sign(read_films(doctor, 4), doctor, "disagree")
    enforce_stop_rule()
    activate(version=version(), act=Act(operator, reason="mended", forced=True))
    assert not enforce_stop_rule()
    read_films(doctor, 3)
    assert enforce_stop_rule()
    assert len(suspensions()) == 2


def test_a_version_that_cannot_be_entered_goes_on_and_the_log_says_so(
    doctor: User, settings: Settings, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    settings.STOP_RULE_PSI, settings.MODEL_DIR = 0.5, tmp_path / "file" / "models"
    read_films(doctor, 3)
    assert not enforce_stop_rule()
    assert "the stop rule could not be applied" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_of_two_reconcilers_at_once_one_suspends(
    doctor: User, operator: User, settings: Settings, mailoutbox: list[EmailMessage]
) -> None:
    settings.STOP_RULE_PSI = 0.5
    read_films(doctor, 3)
    barrier = threading.Barrier(2)

    def run(_: int) -> bool:
        barrier.wait(10)
        try:
            return enforce_stop_rule()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as both:
        assert sorted(both.map(run, range(2))) == [False, True]
    assert len(suspensions()) == len(mailoutbox) == 1
    assert AuditEvent.objects.filter(details__step="suspended").count() == 1
