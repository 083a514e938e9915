"""A token opens what its scopes name, and nothing for a user who lacks a second factor."""

from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import ApiToken, AuditEvent, Role, Scope, User
from accounts.tokens import create_api_token
from tests.factories import UserFactory


def read(client: Client, token: str) -> int:
    return client.get(f"/api/v1/cases/{uuid4()}", headers={"Authorization": f"Bearer {token}"}).status_code


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
