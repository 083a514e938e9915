"""An emergency access ends with the hospital, the role and the log-in that it was opened by."""

from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent, Role, User
from accounts.users import deactivate_users, end_sessions
from diagnostics.exceptions import NoSuchCaseError
from diagnostics.models import Case, EmergencyAccess
from diagnostics.services.emergency import end_emergency_accesses, live_access, open_emergency_access
from tests.accounts.helpers import change
from tests.diagnostics.cases import make_case
from tests.factories import HospitalFactory, UserFactory

REASON = "Child transferred at night, film needed."
BEFORE = ("diagnostics", "0009_figures_by_index")


@pytest.fixture
def case(doctor: User) -> Case:
    return make_case(doctor, state="done")


@pytest.fixture
def access(case: Case, stranger: User) -> EmergencyAccess:
    found = open_emergency_access(user=stranger, case_id=case.pk, reason=REASON)
    assert reads(stranger, case)
    return found


@pytest.fixture
def superuser(client: Client, db: None) -> User:
    found: User = UserFactory.create(role=Role.ADMIN, is_superuser=True)
    client.force_login(found)
    return found


def reads(user: User, case: Case) -> bool:
    fresh = User.objects.get(pk=user.pk)
    opened = Case.objects.readable_by(fresh).filter(pk=case.pk).exists()
    assert opened is (live_access(user=fresh, case=case) is not None)
    return opened


@pytest.mark.parametrize("what", ["hospital", "role", "is_active"])
def test_it_ends_with_what_it_was_opened_by_and_for_good(
    client: Client, superuser: User, access: EmergencyAccess, stranger: User, case: Case, what: str
) -> None:
    """What is given back later, within the hour, brings nothing back."""
    new = {"hospital": HospitalFactory.create(name="Lakeside").pk, "role": Role.RADIOLOGIST, "is_active": False}[what]
    old = {"hospital": stranger.hospital_id, "role": stranger.role, "is_active": True}[what]
    assert change(client, stranger, **{what: new}) == 302
    assert not reads(stranger, case)
    assert change(client, stranger, **{what: old}) == 302
    assert getattr(stranger, f"{what}_id" if what == "hospital" else what) == old
    assert not reads(stranger, case)
    entry = AuditEvent.objects.get(object_type="emergency_access", object_id=str(access.pk))
    assert (entry.action, entry.actor, entry.hospital) == ("access_changed", superuser, case.hospital)
    assert entry.details == {"ended": True}


def test_the_admins_action_ends_it_too(access: EmergencyAccess, stranger: User, case: Case) -> None:
    deactivate_users(users=User.objects.filter(pk=stranger.pk))
    User.objects.filter(pk=stranger.pk).update(is_active=True)
    assert not reads(stranger, case)
    access.refresh_from_db()
    assert access.ended_at is not None


@pytest.mark.parametrize("what", ["hospital", "role", "is_active"])
def test_it_is_asked_again_at_each_use_however_the_user_was_changed(
    access: EmergencyAccess, stranger: User, case: Case, what: str
) -> None:
    new = {"hospital": HospitalFactory.create(name="Lakeside"), "role": Role.RADIOLOGIST, "is_active": False}[what]
    User.objects.filter(pk=stranger.pk).update(**{what: new})
    assert not reads(stranger, case)


def test_a_new_address_and_a_log_out_end_nothing_but_sessions(
    client: Client, superuser: User, access: EmergencyAccess, stranger: User, case: Case
) -> None:
    change(client, stranger, email="married@hillcrest.example")
    end_sessions(users=User.objects.filter(pk=stranger.pk))
    assert reads(stranger, case)


def test_who_is_moved_while_asking_opens_nothing(stranger: User, case: Case) -> None:
    User.objects.filter(pk=stranger.pk).update(role=Role.OPERATOR)
    with pytest.raises(NoSuchCaseError):
        open_emergency_access(user=stranger, case_id=case.pk, reason=REASON)
    assert not EmergencyAccess.objects.exists()


def test_the_reason_stays_with_the_hospital_that_gave_it(client: Client, access: EmergencyAccess, stranger: User) -> None:
    """The admins of the hospital that the user came to later have no part in it."""
    old, new = stranger.hospital, HospitalFactory.create(name="Lakeside")
    User.objects.filter(pk=stranger.pk).update(hospital=new)
    for hospital, shown in ((old, True), (new, False)):
        client.force_login(UserFactory.create(hospital=hospital, role=Role.ADMIN))
        page = client.get(reverse("admin:diagnostics_emergencyaccess_changelist")).content.decode()
        assert (REASON in page) is shown


def test_ending_what_has_lost_its_standing_is_entered_once(access: EmergencyAccess, stranger: User) -> None:
    User.objects.filter(pk=stranger.pk).update(role=Role.OPERATOR)
    assert [end_emergency_accesses(accesses=EmergencyAccess.objects.all(), ended_by=None) for _ in range(2)] == [1, 0]


@pytest.fixture
def schema_before(transactional_db: None) -> Iterator[None]:
    MigrationExecutor(connection).migrate([BEFORE])
    yield
    migrate_to_the_end()


def migrate_to_the_end() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def test_those_that_are_there_stand_by_the_present_hospital_and_role(case: Case, stranger: User, schema_before: None) -> None:
    old = MigrationExecutor(connection).loader.project_state([BEFORE]).apps
    facts = {"user_id": stranger.pk, "case_id": case.pk, "reason": REASON, "expires_at": case.created_at.replace(year=2199)}
    old.get_model("diagnostics", "EmergencyAccess").objects.create(**facts)
    migrate_to_the_end()
    found = EmergencyAccess.objects.get()
    assert (found.user_hospital, found.user_role) == (stranger.hospital, "doctor")
    assert reads(stranger, case)


@pytest.mark.django_db(transaction=True)
def test_the_release_before_opens_accesses_beside_this_one(client: Client, case: Case, doctor: User, stranger: User) -> None:
    """No migration keeps it from its work: it goes on until its machine is upgraded, and after a way back."""
    old = MigrationExecutor(connection).loader.project_state([BEFORE]).apps.get_model("diagnostics", "EmergencyAccess")
    old.objects.create(user_id=stranger.pk, case_id=case.pk, reason=REASON, expires_at=case.created_at.replace(year=2199))
    assert reads(stranger, case)
    for hospital, shown in ((doctor.hospital, True), (stranger.hospital, True), (HospitalFactory.create(), False)):
        client.force_login(UserFactory.create(hospital=hospital, role=Role.ADMIN))
        page = client.get(reverse("admin:diagnostics_emergencyaccess_changelist")).content.decode()
        assert (REASON in page) is shown
    User.objects.filter(pk=stranger.pk).update(is_active=False)
    assert not reads(stranger, case)
