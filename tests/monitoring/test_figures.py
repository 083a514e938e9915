"""Figures from the rows: right, bounded, read once in a while, and nothing about anybody."""

import time
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from accounts import audit
from accounts.models import AuditAction, User
from diagnostics.models import Case, Patient, Review
from diagnostics.monitoring import collector, standing
from diagnostics.monitoring.drift import count_by_bin, stability_index
from diagnostics.monitoring.trail import AuditTally
from diagnostics.services import heartbeat
from diagnostics.services.reviews import record_review
from mlmodel import api
from tests.diagnostics.cases import make_case, make_prediction
from tests.monitoring.samples import fresh_figures, read_page


def active() -> str:
    return api.active_version()


def read_case(uploader: User, *, probability: float, **columns: Any) -> Case:
    case = make_case(uploader, state="done")
    make_prediction(case, probability=probability, model_version=active(), **columns)
    return case


def sign(case: Case, reviewer: User, finding: str, verdict: str) -> Review:
    return record_review(case=case, reviewer=reviewer, finding=finding, verdict=verdict, sign=True)


def test_the_oldest_waiting_case_says_how_long_it_waits(doctor: User) -> None:
    assert fresh_figures().get_sample_value("portal_oldest_waiting_seconds") == 0
    make_case(doctor, queued_at=timezone.now() - timedelta(minutes=5))
    make_case(doctor, queued_at=timezone.now() - timedelta(minutes=2))
    make_case(doctor, state="processing", queued_at=timezone.now() - timedelta(minutes=9))
    assert fresh_figures().get_sample_value("portal_oldest_waiting_seconds") == pytest.approx(300, abs=30)


def test_cases_are_counted_by_state_and_every_state_is_told(doctor: User) -> None:
    for state in ("queued", "done", "done", "refused"):
        make_case(doctor, state=state)
    registry = fresh_figures()
    told = {state: registry.get_sample_value("portal_cases", {"state": state}) for state in Case.State.values}
    assert told == {"queued": 1, "processing": 0, "done": 2, "refused": 1, "failed": 0}


def test_workers_whose_heart_beats_are_told_by_version(db: None) -> None:
    assert fresh_figures().get_sample_value("portal_workers_alive") == 0
    heartbeat.start_worker(name="a:1", model_version="1.0.0", engine="x")
    heartbeat.start_worker(name="b:1", model_version="1.0.0", engine="x")
    heartbeat.start_worker(name="c:1", model_version="1.1.0", engine="x")
    heartbeat.describe_model(name="c:1", model_version="1.1.0", engine="x", model_error="2.0.0 is corrupt")
    heartbeat.start_worker(name="d:1", model_version="1.0.0", engine="x")
    heartbeat.stop_worker(name="d:1")
    registry = fresh_figures()
    assert registry.get_sample_value("portal_workers", {"version": "1.0.0"}) == 2
    assert registry.get_sample_value("portal_workers_alive") == 3
    assert registry.get_sample_value("portal_workers_degraded") == 1


def test_scores_are_compared_with_those_of_the_shipped_versions_evaluation(
    doctor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "MIN_FILMS", 4)
    scores = [0.05, 0.15, 0.6, 0.95]
    for score in scores[:3]:
        read_case(doctor, probability=score)
    version = {"version": active()}
    assert fresh_figures().get_sample_value("portal_score_psi", version) is None  # too few films say nothing
    read_case(doctor, probability=scores[3])
    read_case(doctor, probability=0.99, is_shadow=True)
    read_case(doctor, probability=0.99, created_at=timezone.now() - timedelta(days=40))
    registry = fresh_figures()
    reference = api.reference_scores(active())
    assert len(reference) > 500
    expected = stability_index(count_by_bin(reference), count_by_bin(scores))
    assert registry.get_sample_value("portal_score_psi", version) == pytest.approx(expected)
    assert registry.get_sample_value("portal_score_psi_films", version) == 4
    assert registry.get_sample_value("portal_model_info", version) == 1


def test_signed_cases_are_counted_by_what_the_model_said_and_the_clinician_found(doctor: User, radiologist: User) -> None:
    ill, missed, alarmed, unsigned = (read_case(doctor, probability=score) for score in (0.9, 0.1, 0.9, 0.9))
    sign(ill, doctor, "PNEUMONIA", "agree")
    sign(missed, doctor, "NO_PNEUMONIA", "agree")
    sign(missed, radiologist, "PNEUMONIA", "disagree")  # supersedes the first
    sign(alarmed, doctor, "NO_PNEUMONIA", "disagree")
    record_review(case=unsigned, reviewer=doctor, finding="PNEUMONIA", verdict="agree", sign=False)
    registry, version = fresh_figures(), active()

    def cases(label: str, finding: str) -> float | None:
        return registry.get_sample_value("portal_signed_cases", {"version": version, "label": label, "finding": finding})

    pairs = {
        ("PNEUMONIA", "PNEUMONIA"): 1,
        ("NORMAL", "PNEUMONIA"): 1,
        ("PNEUMONIA", "NO_PNEUMONIA"): 1,
        ("NORMAL", "NO_PNEUMONIA"): 0,
    }
    assert {pair: cases(*pair) for pair in pairs} == pairs
    verdicts = [
        registry.get_sample_value("portal_signed_verdicts", {"version": version, "verdict": verdict})
        for verdict in ("agree", "disagree")
    ]
    assert verdicts == [1, 2]


def test_a_stop_rule_is_broken_by_enough_signed_verdicts_and_only_where_it_is_set(
    doctor: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "MIN_SIGNED", 4)
    settings.STOP_RULE_AGREEMENT = 0.8

    def told() -> float | None:
        return fresh_figures().get_sample_value("portal_stop_rule_broken", {"rule": "agreement"})

    for verdict in ("agree", "agree", "disagree"):
        sign(read_case(doctor, probability=0.9), doctor, "PNEUMONIA", verdict)
    assert told() == 0  # two of three are fewer than four in five, and three are too few to say so
    sign(read_case(doctor, probability=0.9), doctor, "PNEUMONIA", "agree")
    assert told() == 1
    settings.STOP_RULE_AGREEMENT = 0.7
    assert told() == 0
    settings.STOP_RULE_AGREEMENT = 0
    assert told() is None


def test_scores_far_from_the_validations_break_the_rule_of_drift(
    doctor: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "MIN_FILMS", 3)
    for _ in range(3):
        read_case(doctor, probability=0.55)  # where the shipped version's own scores are rare
    for bound, broken in ((0, None), (100, 0), (0.5, 1)):
        settings.STOP_RULE_PSI = bound
        assert fresh_figures().get_sample_value("portal_stop_rule_broken", {"rule": "drift"}) == broken


def test_audit_entries_are_counted_once_and_only_the_new_ones_are_read(doctor: User) -> None:
    audit.record(AuditAction.LOGIN_FAILED, actor=None, outcome=audit.Outcome.FAILED)
    audit.record(AuditAction.CASE_VIEWED, actor=doctor)
    tally = AuditTally()
    list(tally.describe())
    audit.record(AuditAction.CASE_VIEWED, actor=doctor)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        entries, logins = tally.describe()
    assert {(sample.labels["action"], sample.value) for sample in entries.samples} == {("login_failed", 1), ("case_viewed", 2)}
    assert {sample.labels["kind"]: sample.value for sample in logins.samples} == {"login_failed": 1, "login_locked": 0}
    assert any('"sequence" > 2' in query["sql"] for query in queries)


def test_scrapes_in_quick_succession_read_the_rows_once(doctor: User) -> None:
    registry = fresh_figures()
    with CaptureQueriesContext(connection) as first:
        list(registry.collect())
    with CaptureQueriesContext(connection) as second:
        list(registry.collect())
    assert 0 < len(first) <= 14
    assert len(second) == 0


def test_figures_are_read_again_after_their_time(doctor: User, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = fresh_figures()
    assert registry.get_sample_value("portal_oldest_waiting_seconds") == 0
    make_case(doctor, queued_at=timezone.now() - timedelta(minutes=5))
    assert registry.get_sample_value("portal_oldest_waiting_seconds") == 0
    later = time.monotonic() + collector.OFTEN
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert (registry.get_sample_value("portal_oldest_waiting_seconds") or 0) > 290


def test_rows_that_cannot_be_read_leave_a_page_that_says_so(db: None) -> None:
    registry = fresh_figures()
    with mock.patch.object(Case.objects, "queued", side_effect=OperationalError("no")):
        told = {part: registry.get_sample_value("portal_figures_readable", {"part": part}) for part in ("queue", "cases")}
    assert told == {"queue": 0, "cases": 1}
    assert registry.get_sample_value("portal_oldest_waiting_seconds") is None


def test_the_page_holds_both_halves_and_nothing_about_anybody(client: Client, doctor: User) -> None:
    patient = Patient.objects.create(hospital=doctor.hospital, record_number="MRN-4711", name="Quinn Quiet")
    case = make_case(doctor, state="done", patient=patient, accession_number="ACC-99", file_name="quinn.jpg")
    make_prediction(case, model_version=active())
    text = client.get("/metrics").content.decode()
    page = read_page(text)
    assert {"portal_oldest_waiting_seconds", "portal_result_seconds_count", "portal_wakeups_lost_total"} <= page.keys()
    private = ("MRN-4711", "Quinn", "ACC-99", "quinn.jpg", str(case.pk), doctor.email, doctor.hospital.name)
    assert not [word for word in private if word in text]
