"""Log-ins, log-outs, passwords, second factors, roles and tokens leave entries; a change that fails leaves none."""

from pathlib import Path
from unittest import mock

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import audit
from accounts.models import AuditEvent, User
from accounts.tokens import create_api_token, revoke_api_token
from diagnostics.demo import DEMO_USERS, seed_logins
from tests.accounts.helpers import NEW_PASSWORD, activate_totp, change, confirmed, is_logged_in, log_in, totp_code
from tests.accounts.test_admin_users import act
from tests.factories import PASSWORD, UserFactory
from tests.trail import trail

pytestmark = pytest.mark.django_db


def test_log_in_and_log_out(client: Client, doctor: User) -> None:
    log_in(client, doctor.email)
    client.post(reverse("account_logout"))
    assert trail() == ["login by doctor", "logout by doctor"]
    assert AuditEvent.objects.first().address == "127.0.0.1"  # type: ignore[union-attr]
    assert len(AuditEvent.objects.first().request_id) >= 16  # type: ignore[union-attr]


def test_a_wrong_password_names_the_account_and_not_what_was_typed(client: Client, doctor: User) -> None:
    log_in(client, doctor.email, "wrong password")
    event = AuditEvent.objects.get()
    assert trail() == ["login_failed failed by nobody"]
    assert (event.object_id, event.hospital) == (str(doctor.pk), doctor.hospital)
    assert "wrong" not in str(event.details)


def test_an_unknown_address_is_not_kept(client: Client, doctor: User) -> None:
    log_in(client, "my-secret-password@typed.example", "x")
    event = AuditEvent.objects.get()
    assert (event.action, event.object_id, event.details) == ("login_failed", "", {})


def test_a_known_and_an_unknown_address_cost_the_same_statements(doctor: User) -> None:
    log_in(Client(), "first@riverside.example", "begins the log")
    counts = set()
    for email in (doctor.email, "nobody@riverside.example"):
        with CaptureQueriesContext(connection) as queries:
            log_in(Client(), email, "wrong password")
        counts.add(len(queries))
    assert len(counts) == 1


def test_the_lock_after_too_many_failures(client: Client, doctor: User) -> None:
    for _ in range(9):
        log_in(client, doctor.email, "wrong password")
    assert trail()[-1] == "login_locked denied by nobody"
    assert trail().count("login_failed failed by nobody") == 8


def test_a_wrong_code_of_the_second_factor(client: Client, doctor: User) -> None:
    activate_totp(confirmed(Client(), doctor.email))
    log_in(client, doctor.email)
    client.post(reverse("mfa_authenticate"), {"code": "000000"})
    assert trail()[-1] == "login_failed failed by nobody"
    assert AuditEvent.objects.first().details == {"factor": "totp"}  # type: ignore[union-attr]


def test_a_second_factor_that_is_added_and_removed(client: Client, doctor: User) -> None:
    activate_totp(confirmed(client, doctor.email))
    client.post(reverse("mfa_deactivate_totp"))
    added = ["second_factor_added by doctor"] * 2  # the app and its recovery codes
    changes = [entry for entry in trail() if entry.startswith("second_factor")]
    assert changes == [*added, *["second_factor_removed by doctor"] * 2]
    assert "sessions_ended by doctor" in trail(), "other browsers"


def test_recovery_codes_made_anew(client: Client, doctor: User) -> None:
    activate_totp(confirmed(client, doctor.email))
    client.post(reverse("mfa_generate_recovery_codes"))
    assert trail()[-1] == "second_factor_renewed by doctor"


def test_a_second_factor_without_its_entry_is_not_added(client: Client, doctor: User) -> None:
    confirmed(client, doctor.email)
    client.raise_request_exception = False
    with mock.patch("accounts.second_factor_audit.record_about", side_effect=DatabaseError):
        form = client.get(reverse("mfa_activate_totp")).context["form"]
        assert client.post(reverse("mfa_activate_totp"), {"code": totp_code(form.secret)}).status_code == 500
    assert not doctor.authenticator_set.exists()  # type: ignore[attr-defined]


def test_a_new_password(client: Client, doctor: User) -> None:
    log_in(client, doctor.email)
    form = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    client.post(reverse("account_change_password"), form)
    assert "password_set by doctor" in trail()


def test_a_log_in_without_its_entry_does_not_happen(client: Client, doctor: User) -> None:
    client.raise_request_exception = False
    with mock.patch("accounts.audit._append", side_effect=DatabaseError):
        assert log_in(client, doctor.email).status_code == 500
    assert not is_logged_in(client)


def test_role_and_access_as_an_admin_changes_them(as_admin: Client, doctor: User) -> None:
    change(as_admin, doctor, role="radiologist")
    event = AuditEvent.objects.filter(action="access_changed").get()
    assert (event.object_id, event.details) == (str(doctor.pk), {"role": "radiologist"})
    assert "sessions_ended by admin" in trail()
    act(as_admin, "deactivate", doctor)
    assert AuditEvent.objects.first().details == {"is_active": False}  # type: ignore[union-attr]


def test_any_other_change_in_admin_names_the_fields_and_not_their_content(as_admin: Client, doctor: User) -> None:
    change(as_admin, doctor, full_name="Dora Changed")
    event = AuditEvent.objects.filter(action="admin_changed").get()
    assert event.details == {"in": "admin", "fields": ["Full name"]}


def test_tokens_made_and_revoked(doctor: User, admin_user: User) -> None:
    row, token = create_api_token(user=doctor)
    revoke_api_token(token=row, by=admin_user)
    revoke_api_token(token=row, by=admin_user)
    assert trail() == ["token_created by nobody", "token_revoked by admin"]
    assert token not in str(list(AuditEvent.objects.values()))


def test_the_chain_holds_over_all_of_these(client: Client, as_admin: Client, doctor: User) -> None:
    log_in(client, doctor.email, "wrong password")
    log_in(client, doctor.email)
    change(as_admin, doctor, role="radiologist")
    assert audit.verify().problem == ""
    assert audit.verify().entries >= 4


def test_a_superuser_who_is_made_on_the_server() -> None:
    call_command("createsuperuser", email="root@riverside.example", full_name="Root", interactive=False)
    event = AuditEvent.objects.get()
    assert (event.action, event.object_id) == ("access_changed", str(User.objects.get().pk))
    assert event.details == {"role": "admin", "is_superuser": True}


def test_a_password_that_is_set_on_the_server(doctor: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getpass", lambda *_: NEW_PASSWORD)
    call_command("changepassword", doctor.email)
    assert trail() == ["password_set by nobody"]
    doctor.refresh_from_db()
    assert doctor.check_password(NEW_PASSWORD)


def test_an_invitation_that_is_sent_again_names_who_saw_the_link(client: Client, admin_user: User, doctor: User) -> None:
    invited = UserFactory(hospital=doctor.hospital, password=None)
    client.force_login(admin_user)
    act(client, "send_invitation_again", invited)
    event = AuditEvent.objects.get(object_id=invited.pk)
    assert (event.action, event.actor, event.details) == ("access_changed", admin_user, {"invited_again": True})


def test_the_demos_log_ins(tmp_path: Path) -> None:
    seed_logins(tmp_path / "logins.json")
    assert trail().count("password_set by nobody") == trail().count("access_changed by nobody") == len(DEMO_USERS)


@pytest.mark.parametrize("changed", [{"is_active": ""}, {"role": "radiologist"}])
def test_an_access_that_is_changed_locks_the_end_of_the_log_last(
    client: Client, admin_user: User, doctor: User, changed: dict[str, str]
) -> None:
    """Else who revokes one of the user's tokens at that moment holds the token and waits for the log, and neither goes on."""
    create_api_token(user=doctor)
    client.force_login(admin_user)
    with CaptureQueriesContext(connection) as queries:
        change(client, doctor, **changed)
    written = [query["sql"] for query in queries if query["sql"].startswith(("UPDATE", "INSERT", "DELETE"))]
    first = next(number for number, sql in enumerate(written) if "accounts_audithead" in sql)
    after = [sql for sql in written[first:] if sql.startswith("UPDATE") and "accounts_audithead" not in sql]
    assert not [sql for sql in after if "accounts_user" in sql or "accounts_apitoken" in sql]
