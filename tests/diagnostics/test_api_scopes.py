"""A token opens what its scopes name, and nothing for a user who lacks a second factor."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from accounts import lockout
from accounts.models import ApiToken, AuditEvent, Role, Scope, User
from accounts.tokens import create_api_token, revoke_api_token
from tests.factories import UserFactory


def read(client: Client, token: str, address: str = "192.0.2.1") -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return client.get(f"/api/v1/cases/{uuid4()}", headers=headers, REMOTE_ADDR=address).status_code


def write(client: Client, token: str) -> int:
    film = SimpleUploadedFile("film.jpg", b"no film")
    return client.post("/api/v1/cases", {"file": film}, headers={"Authorization": f"Bearer {token}"}).status_code


@pytest.mark.parametrize(
    ("scopes", "reads", "writes"),
    [([Scope.READ], 404, 403), ([Scope.WRITE], 403, 422), ([Scope.READ, Scope.WRITE], 404, 422)],
)
def test_scopes_open_what_they_name(client: Client, doctor: User, scopes: list[Scope], reads: int, writes: int) -> None:
    _, token = create_api_token(user=doctor, scopes=scopes)
    assert (read(client, token), write(client, token)) == (reads, writes)


def test_a_refused_scope_is_told_in_a_code_and_recorded(client: Client, doctor: User) -> None:
    row, token = create_api_token(user=doctor, scopes=[Scope.READ])
    film = SimpleUploadedFile("film.jpg", b"no film")
    answer = client.post("/api/v1/cases", {"file": film}, headers={"Authorization": f"Bearer {token}"})
    assert answer.json() == {"code": "FORBIDDEN", "message": "This token lacks the scope cases:write."}
    entry = AuditEvent.objects.get(action="access_denied")
    assert (entry.actor, entry.object_id, entry.details) == (doctor, str(row.pk), {"scope": "cases:write"})


def test_a_staff_users_token_opens_nothing_without_a_second_factor(client: Client, db: None) -> None:
    _, token = create_api_token(user=UserFactory.create(role=Role.ADMIN, second_factor=False))
    assert read(client, token) == 403
    assert AuditEvent.objects.get(action="access_denied").details == {"missing": "second factor"}
    _, token = create_api_token(user=UserFactory.create(role=Role.ADMIN))
    assert read(client, token) == 404


def spoil(row: ApiToken, reason: str) -> None:
    if reason == "revoked":
        revoke_api_token(token=row)
    elif reason == "expired":
        long_ago = timezone.now() - timedelta(days=2)
        ApiToken.objects.filter(pk=row.pk).update(created_at=long_ago, expires_at=long_ago + timedelta(days=1))
    else:
        User.objects.filter(pk=row.user_id).update(is_active=False)


@pytest.mark.parametrize("reason", ["revoked", "expired", "inactive user"])
def test_a_token_that_is_none_any_more_leaves_an_entry_that_names_it(client: Client, doctor: User, reason: str) -> None:
    row, token = create_api_token(user=doctor)
    spoil(row, reason)
    assert read(client, token) == 401
    entry = AuditEvent.objects.get(action="access_denied")
    assert (entry.outcome, entry.actor, entry.hospital, entry.address) == ("denied", None, doctor.hospital, "192.0.2.1")
    assert (entry.object_type, entry.object_id, entry.details) == ("api_token", str(row.pk), {"reason": reason})


def test_a_text_that_was_never_a_token_is_entered_without_it(client: Client, db: None) -> None:
    assert read(client, "pneumo_zzsecretzz") == 401
    entry = AuditEvent.objects.get()
    assert (entry.object_id, entry.hospital, entry.details) == ("", None, {"reason": "unknown"})
    assert "zzsecretzz" not in str(AuditEvent.objects.values())


def test_a_flood_of_bad_tokens_fills_no_log(client: Client, doctor: User, monkeypatch: pytest.MonkeyPatch) -> None:
    row, token = create_api_token(user=doctor)
    revoke_api_token(token=row)
    refusals = AuditEvent.objects.filter(action="access_denied")
    answers = [read(client, f"guess-{number}") for number in range(32)]
    assert answers == [401] * 30 + [429] * 2
    assert refusals.count() == 1, "one address, one minute"
    read(client, token)
    assert refusals.count() == 2, "a flood does not hide the use of a token that is known"
    monkeypatch.setattr(lockout, "ENTERED_OF_ALL", "5/m/key")
    for number in range(10):
        read(client, "guess", address=f"198.51.100.{number}")
    assert refusals.count() == 2 + 5, "many addresses, one minute"


def test_a_program_without_the_scope_that_asks_again_and_again_is_entered_once_a_minute(client: Client, doctor: User) -> None:
    _, token = create_api_token(user=doctor, scopes=[Scope.READ])
    assert [write(client, token) for _ in range(3)] == [403] * 3
    assert AuditEvent.objects.filter(action="access_denied").count() == 1


def test_the_command_takes_scopes(doctor: User, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("create_api_token", doctor.email, "--scope", "cases:read")
    call_command("create_api_token", doctor.email)
    newest, first = ApiToken.objects.order_by("-created_at")
    assert (first.scopes, newest.scopes) == ("cases:read", "cases:read cases:write")
    with pytest.raises(CommandError, match=r"--scope is cases:read or cases:write\. Received: cases:all"):
        call_command("create_api_token", doctor.email, "--scope", "cases:all")


def test_the_description_names_the_scopes(client: Client) -> None:
    described = client.get("/api/v1/openapi.json").json()
    scheme = described["components"]["securitySchemes"]["Token"]
    assert "cases:write" in scheme["description"]
    assert "scope `cases:read`" in described["paths"]["/api/v1/cases/{case_id}"]["get"]["description"]


def test_a_user_lists_and_revokes_the_own_tokens_alone(client: Client, doctor: User, colleague: User) -> None:
    own, text = create_api_token(user=doctor)
    other, _ = create_api_token(user=colleague)
    client.force_login(doctor)
    page = client.get("/accounts/profile/").content.decode()
    assert str(own.pk) in page
    assert str(other.pk) not in page
    assert own.digest not in page
    assert client.post(f"/accounts/profile/tokens/{other.pk}/revoke/").status_code == 404
    assert client.post(f"/accounts/profile/tokens/{own.pk}/revoke/").status_code == 302
    assert read(client, text) == 401
    assert AuditEvent.objects.get(action="token_revoked").actor == doctor
