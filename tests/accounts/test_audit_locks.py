"""An entry waits for nobody who changes its actor, and the table's change kept its entries, its chain and its triggers."""

import threading
from collections.abc import Callable, Iterator

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from accounts import audit, audit_triggers
from accounts.audit import Action
from accounts.models import AuditEvent, Hospital, User

CHANGES = [  # of the table: before, after
    ("0003_api_token_scopes", "0004_audit_locks_no_user"),
    ("0004_audit_locks_no_user", "0005_audit_backups"),
]
PATIENCE = 20  # seconds; PostgreSQL looks for deadlocks after one


def migrate(to: str) -> None:
    MigrationExecutor(connection).migrate([("accounts", to)])


@pytest.fixture(params=CHANGES, ids=[after for _, after in CHANGES])
def change(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[tuple[str, str]]:
    """The schema is as it was before that change of the table."""
    before, after = request.param
    migrate(before)
    audit_triggers.remove(connection)
    audit_triggers.install(connection)
    yield before, after
    migrate(CHANGES[-1][1])
    audit_triggers.remove(connection)


def write(user: User, entries: int) -> None:
    for number in range(entries):
        audit.record(Action.CASE_VIEWED, actor=user, object_type="case", object_id=str(number), details={"number": number})


def refuses_change() -> bool:
    rows = AuditEvent.objects.filter(sequence=2)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        rows.update(outcome="failed")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        rows.delete()
    return True


def test_entries_chain_and_triggers_come_through_a_change_of_the_table(change: tuple[str, str], doctor: User) -> None:
    before, after = change
    write(doctor, 5)
    rows = list(AuditEvent.objects.order_by("sequence").values())
    for step in (after, before, after):  # there, back as after a failed upgrade, and there again
        migrate(step)
        assert list(AuditEvent.objects.order_by("sequence").values()) == rows
        assert refuses_change()
    write(doctor, 1)
    found = audit.verify()
    assert (found.entries, found.problem) == (6, "")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["email", "name"])
def test_a_new_address_or_name_and_an_entry_at_the_same_moment_wait_for_each_other_in_one_order(
    doctor: User, what: str
) -> None:
    """Who changes the row locks it and then wants the end of the chain; who enters has that and must not want the row."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    changed, failures = threading.Event(), []
    change: Callable[[], int] = {
        "email": lambda: User.objects.filter(pk=doctor.pk).update(email="married@riverside.example"),
        "name": lambda: Hospital.objects.filter(pk=doctor.hospital_id).update(name="Riverside Children's"),
    }[what]

    def view() -> None:
        try:
            changed.wait(PATIENCE)
            with transaction.atomic():
                write(doctor, 1)
        except DatabaseError as error:
            failures.append(error)
        finally:
            connection.close()

    reader = threading.Thread(target=view)
    reader.start()
    with transaction.atomic():
        change()
        changed.set()
        reader.join(PATIENCE)  # ends while the row is locked: it wants nothing of it
        assert not reader.is_alive()
        write(doctor, 1)
    assert failures == []
    assert audit.verify().entries == 2
