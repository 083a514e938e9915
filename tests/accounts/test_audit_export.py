"""The audit log as CSV and as FHIR: whole, readable by others, and an entry of its own."""

import csv
import json
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test import Client
from django.urls import reverse
from fhir.resources.R4B.auditevent import AuditEvent as FhirAuditEvent
from fhir.resources.R4B.bundle import Bundle

from accounts import audit
from accounts.audit import Action, Outcome
from accounts.audit_export import FORMATS, as_csv, as_fhir, as_resource, in_order
from accounts.models import AuditAction, AuditEvent, User
from tests.trail import trail

PATIENT = UUID("6d9a1f7e-0d0a-4f5e-9b1c-0a4b3b8f2d11")


@pytest.fixture
def log(doctor: User) -> User:
    audit.record(Action.LOGIN, actor=doctor)
    audit.record(Action.CASE_VIEWED, actor=doctor, object_type="case", object_id=uuid4(), patient=PATIENT)
    audit.record(
        Action.LOGIN_FAILED,
        actor=None,
        object_type="user",
        hospital=doctor.hospital_id,
        object_id=doctor.pk,
        outcome=Outcome.FAILED,
    )
    return doctor


def export(**options: object) -> str:
    out = StringIO()
    call_command("export_audit", stdout=out, **options)
    return out.getvalue()


def test_csv_has_a_line_for_every_entry_oldest_first(log: User) -> None:
    rows = list(csv.DictReader(StringIO("".join(as_csv(in_order(AuditEvent.objects.all()))))))
    assert [row["sequence"] for row in rows] == ["1", "2", "3"]
    assert rows[1]["patient"] == str(PATIENT)
    assert rows[0]["actor"] == log.email
    assert rows[0]["time"].endswith("Z")


def test_no_cell_is_a_formula(doctor: User) -> None:
    audit.record(Action.DOWNLOADED, actor=doctor, object_id="=HYPERLINK(1)")
    assert ",'=HYPERLINK(1)," in "".join(as_csv(AuditEvent.objects.all()))


@pytest.mark.parametrize("action", AuditAction.values)
@pytest.mark.parametrize("outcome", ["success", "denied"])
def test_every_action_is_a_valid_fhir_resource(doctor: User, action: str, outcome: str) -> None:
    event = audit.record(AuditAction(action), actor=doctor, object_id="x", patient=PATIENT, outcome=Outcome(outcome))
    resource = FhirAuditEvent.model_validate(as_resource(event)).model_dump()
    assert resource["entity"][0]["what"]["reference"] == f"Patient/{PATIENT}"
    assert resource["outcome"] == ("0" if outcome == "success" else "4")


def test_emergency_access_says_why(doctor: User) -> None:
    event = audit.record(Action.ACCESS_OPENED, actor=doctor)
    assert as_resource(event)["purposeOfEvent"][0]["coding"][0]["code"] == "BTG"


def test_a_bundle_of_all_entries_is_valid(log: User) -> None:
    bundle = Bundle.model_validate_json("".join(as_fhir(in_order(AuditEvent.objects.all())))).model_dump()
    assert [entry["resource"]["id"] for entry in bundle["entry"]] == ["1", "2", "3"]


def test_an_empty_bundle_is_json(db: None) -> None:
    assert json.loads("".join(as_fhir([])))["entry"] == []


def test_the_command_is_an_entry_itself(log: User) -> None:
    assert export().count("\n") == 4
    assert trail()[-1] == "exported by nobody"
    assert AuditEvent.objects.first().details == {"as": "audit log, csv", "entries": 3}  # type: ignore[union-attr]


def test_the_command_chooses_by_patient_and_time(log: User) -> None:
    assert len(json.loads(export(format="fhir", patient=str(PATIENT)))["entry"]) == 1
    assert export(until="2020-01-01").count("\n") == 1
    assert export(since="2020-01-01T00:00:00Z").count("\n") > 3


@pytest.mark.parametrize(
    ("options", "named"),
    [({"since": "yesterday"}, "--since"), ({"until": "2026-13-01"}, "--until"), ({"patient": "Ann"}, "--patient")],
)
def test_what_cannot_be_read_is_one_line(log: User, options: dict[str, str], named: str) -> None:
    with pytest.raises(CommandError, match=f"{named} is a"):
        export(**options)


def test_a_file_is_written_whole_or_not_at_all(log: User, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    export(out=file)
    assert file.read_text(encoding="utf-8").count("\n") == 4
    with pytest.raises(CommandError, match="exists already"):
        export(out=file)
    with pytest.raises(CommandError, match="could not be written"):
        export(out=Path("/dev/null/x"))
    assert trail().count("exported by nobody") == 1, "an export that failed is no entry"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("out", [None, "log.csv"])
def test_nobody_waits_for_the_log_while_it_is_written_out(
    log: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str | None
) -> None:
    held: list[bool] = []

    def write(events: Iterable[AuditEvent]) -> Iterator[str]:
        held.append(connection.in_atomic_block)
        yield from as_csv(events)

    monkeypatch.setitem(FORMATS, "csv", (write, "text/csv", "log.csv"))
    export(out=tmp_path / out if out else None)
    assert held == [False]
    assert trail()[-1] == "exported by nobody"


def test_an_admin_lists_and_exports_the_log_of_the_own_hospital(
    client: Client, admin_user: User, log: User, stranger: User
) -> None:
    audit.record(Action.LOGIN, actor=stranger)
    client.force_login(admin_user)
    page = client.get(reverse("admin:accounts_auditevent_changelist"))
    assert log.email in page.content.decode() or str(log) in page.content.decode()
    assert stranger.email not in page.content.decode()
    chosen = {"action": "export_csv", "select_across": "1", "_selected_action": ["1"]}
    answer = client.post(reverse("admin:accounts_auditevent_changelist"), chosen)
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    assert stranger.email not in text
    assert text.count("\n") == 4 + 1, "three entries and that of the list, which was opened before"
    assert "exported by admin" in trail()


@pytest.mark.parametrize("page", ["add", "delete"])
def test_nobody_adds_or_deletes_an_entry_in_admin(client: Client, log: User, superuser: User, page: str) -> None:
    client.force_login(superuser)
    args = [] if page == "add" else [1]
    assert client.post(reverse(f"admin:accounts_auditevent_{page}", args=args), {"post": "yes"}).status_code == 403
    assert audit.verify().problem == ""


def test_an_entry_cannot_be_changed_in_admin(client: Client, log: User, superuser: User) -> None:
    client.force_login(superuser)
    url = reverse("admin:accounts_auditevent_change", args=[1])
    assert client.get(url).status_code == 200
    assert client.post(url, {"action": "logout"}).status_code == 403
