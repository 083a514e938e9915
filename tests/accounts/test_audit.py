"""The audit log: in order, without gaps, append-only, and broken visibly by whoever edits it in the database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, transaction
from pytest_django import DjangoAssertNumQueries, Settings

from accounts import audit, audit_triggers
from accounts.audit import Action, Head, Outcome
from accounts.models import AuditEvent, AuditHead, User


def write(user: User, count: int = 5) -> None:
    for number in range(count):
        audit.record(Action.CASE_VIEWED, actor=user, object_type="case", object_id=uuid4(), details={"number": number})


@pytest.fixture
def log(doctor: User) -> User:
    write(doctor)
    return doctor


@pytest.fixture
def triggers(db: None) -> Iterator[None]:
    audit_triggers.install(connection)
    yield
    audit_triggers.remove(connection)


def test_entries_are_numbered_without_a_gap_and_the_chain_holds(log: User) -> None:
    assert list(AuditEvent.objects.order_by("sequence").values_list("sequence", flat=True)) == [1, 2, 3, 4, 5]
    found = audit.verify()
    assert (found.entries, found.problem) == (5, "")
    assert found.head == audit.chain_head()


def test_an_entry_names_actor_role_and_hospital(doctor: User) -> None:
    patient = uuid4()
    audit.record(Action.IMAGE_READ, actor=doctor, object_type="case", object_id="x", patient=patient, outcome=Outcome.DENIED)
    event = AuditEvent.objects.get()
    assert (event.actor, event.role, event.hospital, event.patient) == (doctor, "doctor", doctor.hospital, patient)
    assert event.outcome == "denied"


def test_an_entry_of_a_transaction_that_fails_is_not_there_and_leaves_no_gap(log: User) -> None:
    with transaction.atomic():
        audit.record(Action.UPLOADED, actor=log)
        transaction.set_rollback(True)
    audit.record(Action.UPLOADED, actor=log)
    assert audit.verify().entries == 6
    assert audit.verify().problem == ""


def test_an_entry_costs_three_statements_in_the_transaction_of_its_change(
    log: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """Every process waits while the end of the chain is locked: no savepoint is released meanwhile."""
    with transaction.atomic(), django_assert_num_queries(3):
        audit.record(Action.UPLOADED, actor=log)


@pytest.mark.parametrize(
    "column",
    [{"action": "login"}, {"outcome": "denied"}, {"object_id": "other"}, {"details": {"number": 9}}, {"role": "admin"}],
)
def test_a_changed_entry_is_named(log: User, column: dict[str, object]) -> None:
    AuditEvent.objects.filter(sequence=3).update(**column)
    found = audit.verify()
    assert (found.bad_sequence, found.entries) == (3, 2)
    assert "was changed" in found.problem


def test_an_entry_that_was_moved_in_time_is_named(log: User) -> None:
    event = AuditEvent.objects.get(sequence=2)
    AuditEvent.objects.filter(sequence=2).update(at=event.at - timedelta(hours=1))
    assert audit.verify().bad_sequence == 2


def test_a_removed_entry_is_named(log: User) -> None:
    AuditEvent.objects.filter(sequence=4).delete()
    assert audit.verify().problem == "Entry 4 is missing."


def test_the_last_entry_is_missed_too(log: User) -> None:
    AuditEvent.objects.filter(sequence=5).delete()
    assert audit.verify().problem == "Entry 5 is missing."


def test_two_entries_that_changed_places_are_found(log: User) -> None:
    first, second = AuditEvent.objects.get(sequence=2), AuditEvent.objects.get(sequence=3)
    AuditEvent.objects.filter(sequence=2).update(object_id=second.object_id, details=second.details)
    AuditEvent.objects.filter(sequence=3).update(object_id=first.object_id, details=first.details)
    assert audit.verify().bad_sequence == 2


def test_a_log_cut_off_and_given_a_fitting_head_is_found_by_a_head_that_was_kept(log: User) -> None:
    kept = audit.chain_head()
    AuditEvent.objects.filter(sequence__gt=3).delete()
    last = AuditEvent.objects.get(sequence=3)
    AuditHead.objects.update(sequence=3, digest=last.digest)
    assert audit.verify().problem == ""  # the chain alone cannot know
    assert "cut off" in audit.verify(kept=iter([kept])).problem


def test_a_log_written_anew_with_the_key_is_found_by_a_head_that_was_kept(log: User) -> None:
    kept = audit.chain_head()
    AuditEvent.objects.all().delete()
    AuditHead.objects.all().delete()
    write(log)
    assert audit.verify().problem == ""
    assert audit.verify(kept=iter([kept])).bad_sequence == 5


def test_without_the_key_no_digest_can_be_made(log: User, settings: Settings) -> None:
    settings.AUDIT_KEY = "another key, as somebody without ours would guess it"
    assert audit.verify().bad_sequence == 1


@pytest.mark.django_db(transaction=True)
def test_entries_written_at_once_stand_in_one_order(doctor: User) -> None:
    def write_some(_: int) -> None:
        try:
            write(doctor, 5)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(write_some, range(4)))
    found = audit.verify()
    assert (found.entries, found.problem) == (20, "")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", [lambda rows: rows.update(outcome="failed"), lambda rows: rows.delete()])
def test_the_database_refuses_change_and_deletion(log: User, triggers: None, change: object) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        change(AuditEvent.objects.filter(sequence=2))  # type: ignore[operator]
    write(log, 1)
    assert audit.verify().entries == 6


@pytest.mark.django_db(transaction=True)
def test_postgresql_refuses_to_empty_the_log(log: User, triggers: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite knows no TRUNCATE")
    with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
        cursor.execute("TRUNCATE accounts_auditevent")


def test_the_head_is_handed_out_once_within_the_time(log: User) -> None:
    every = timedelta(minutes=10)
    assert audit.export_head(every=every) == audit.chain_head()
    assert audit.export_head(every=every) is None
    assert audit.export_head(every=timedelta(0)) is not None


def test_an_empty_log_is_whole(db: None) -> None:
    assert audit.verify().head == Head(0, "")
    assert audit.export_head(every=timedelta(0)) is None
