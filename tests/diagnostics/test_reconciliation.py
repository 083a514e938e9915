"""What repairs lost wake-up calls and lost workers, and what a waiting doctor is told meanwhile."""

import json
from datetime import timedelta
from io import StringIO
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from diagnostics import queue
from diagnostics.models import Case, Worker
from diagnostics.services import heartbeat
from diagnostics.services.reconciliation import LEAST_PAUSE, reconcile, seconds_to_next_pass
from diagnostics.services.status import describe_progress
from tests.diagnostics.cases import make_case

LONG_AGO = timedelta(minutes=10)


def test_what_waits_too_long_is_rung_for_again(doctor: User) -> None:
    overdue = make_case(doctor, queued_at=timezone.now() - LONG_AGO)
    make_case(doctor)
    with mock.patch.object(queue, "ring", return_value=True) as ring:
        done = reconcile()
    ring.assert_called_once_with(overdue.pk)
    assert (done.rung, done.oldest_queued_at) == (1, overdue.queued_at)


def test_an_expired_lease_brings_the_case_back_with_redis_down(doctor: User) -> None:
    case = make_case(doctor, state="processing", lease_until=timezone.now() - LONG_AGO)
    with mock.patch.object(queue, "ring", return_value=False):
        assert reconcile().requeued == 1
    case.refresh_from_db()
    assert case.state == "queued"


def test_a_lease_from_before_the_database_clock_was_set_back_does_not_last_an_hour(doctor: User, settings: Settings) -> None:
    lost = make_case(doctor, state="processing", lease_until=timezone.now() + timedelta(hours=1))
    alive = make_case(doctor, state="processing", lease_until=timezone.now() + timedelta(seconds=settings.WORKER_LEASE_SECONDS))
    reconcile()
    lost.refresh_from_db()
    alive.refresh_from_db()
    assert (lost.state, alive.state) == ("queued", "processing")


def test_the_next_pass_comes_when_the_first_lease_ends_and_at_the_latest_after_the_interval(doctor: User) -> None:
    assert seconds_to_next_pass(interval=10) == 10
    make_case(doctor, state="processing", lease_until=timezone.now() + timedelta(seconds=60))
    assert seconds_to_next_pass(interval=10) == 10
    make_case(doctor, state="processing", lease_until=timezone.now() + timedelta(seconds=5))
    assert 3 < seconds_to_next_pass(interval=10) < 6
    make_case(doctor, state="processing", lease_until=timezone.now() - LONG_AGO)
    assert seconds_to_next_pass(interval=10) == LEAST_PAUSE


def test_a_heart_that_beat_before_the_clock_was_set_back_is_not_alive_for_an_hour(db: None) -> None:
    heartbeat.start_worker(name="w:1", model_version="1", engine="x")
    assert Worker.objects.alive(seconds=20).exists()
    Worker.objects.update(beat_at=timezone.now() + timedelta(hours=1))
    assert not Worker.objects.alive(seconds=20).exists()


def test_reconcile_once_prints_what_it_did_as_json(doctor: User) -> None:
    make_case(doctor, state="processing", lease_until=timezone.now() - LONG_AGO)
    out = StringIO()
    with mock.patch.object(queue, "ring", return_value=True):
        call_command("reconcile", once=True, json=True, stdout=out)
    assert json.loads(out.getvalue())["requeued"] == 1


def test_reconcile_refuses_an_interval_of_nothing(db: None) -> None:
    with pytest.raises(CommandError, match="above 0"):
        call_command("reconcile", interval=0.0)


def test_the_position_counts_those_ahead(doctor: User) -> None:
    heartbeat.start_worker(name="w:1", model_version="1", engine="x")
    now = timezone.now()
    cases = [make_case(doctor, queued_at=now + timedelta(seconds=n)) for n in range(3)]
    assert [describe_progress(case).position for case in cases] == [1, 2, 3]
    assert not describe_progress(cases[0]).is_delayed


def test_without_a_worker_the_doctor_is_told_since_when(doctor: User) -> None:
    case = make_case(doctor)
    assert describe_progress(case).no_worker_ever
    last_beat = timezone.now() - LONG_AGO
    Worker.objects.create(name="w:1", beat_at=last_beat)
    assert describe_progress(case).delayed_since == last_beat


def test_a_worker_that_stopped_politely_is_gone_at_once(doctor: User) -> None:
    case = make_case(doctor)
    heartbeat.start_worker(name="w:1", model_version="1", engine="x")
    heartbeat.stop_worker(name="w:1")
    assert describe_progress(case).is_delayed


def test_a_final_case_asks_nothing(doctor: User, django_assert_num_queries: object) -> None:
    case = make_case(doctor, state="done")
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert describe_progress(case).position is None


def test_the_latest_worker_is_remembered_and_older_ones_forgotten(db: None) -> None:
    for days in (9, 5, 3):
        Worker.objects.create(name=f"w:{days}", beat_at=timezone.now() - timedelta(days=days))
    heartbeat.forget_old_workers()
    assert [worker.name for worker in Worker.objects.all()] == ["w:3"]


def test_unread_means_that_nobody_opened_the_result(doctor: User) -> None:
    make_case(doctor, state="done", first_viewed_at=timezone.now())
    unread = make_case(doctor, state="refused")
    make_case(doctor)
    assert list(Case.objects.unread()) == [unread]
