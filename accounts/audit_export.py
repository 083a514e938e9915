"""The audit log for other systems: as CSV, and as FHIR R4 AuditEvent resources (https://hl7.org/fhir/R4/auditevent.html)."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import QuerySet
from django.http import StreamingHttpResponse

from accounts import audit
from accounts.audit import CHUNK, as_utc
from accounts.models import AuditAction, AuditEvent, AuditOutcome, User

COLUMNS = (
    "sequence", "time", "action", "outcome", "actor", "role", "hospital", "object_type", "object", "patient", "address",
    "request", "details", "digest",
)  # fmt: skip
DICOM = "http://dicom.nema.org/resources/ontology/DCM"
ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
OUTCOMES = {AuditOutcome.SUCCESS: "0", AuditOutcome.DENIED: "4", AuditOutcome.FAILED: "4"}
BREAK_GLASS = {"coding": [{"system": ACT_REASON, "code": "BTG", "display": "break the glass"}]}
SOURCE = "chest-x-ray-portal"


class Kind(NamedTuple):
    """An audit event type of DICOM PS3.15 A.5, and FHIR's letter for create, read, update, delete or execute."""

    code: str
    display: str
    letter: str


AUTHENTICATION = Kind("110114", "User Authentication", "E")
SECURITY = Kind("110113", "Security Alert", "E")
ATTRIBUTES = Kind("110137", "User Security Attributes Changed", "U")
RECORD_READ, RECORD_CHANGED = Kind("110110", "Patient Record", "R"), Kind("110110", "Patient Record", "U")
KINDS: dict[str, Kind] = {
    AuditAction.LOGIN: AUTHENTICATION,
    AuditAction.LOGIN_FAILED: AUTHENTICATION,
    AuditAction.LOGIN_LOCKED: AUTHENTICATION,
    AuditAction.LOGOUT: AUTHENTICATION,
    AuditAction.ACCESS_DENIED: SECURITY,
    AuditAction.ACCESS_OPENED: Kind("110127", "Emergency Override Started", "E"),
    AuditAction.LIST_VIEWED: Kind("110112", "Query", "E"),
    AuditAction.PATIENT_VIEWED: RECORD_READ,
    AuditAction.CASE_VIEWED: RECORD_READ,
    AuditAction.IMAGE_READ: Kind("110103", "DICOM Instances Accessed", "R"),
    AuditAction.DOWNLOADED: Kind("110106", "Export", "R"),
    AuditAction.EXPORTED: Kind("110106", "Export", "R"),
    AuditAction.UPLOADED: Kind("110107", "Import", "C"),
    AuditAction.REVIEWED: RECORD_CHANGED,
    AuditAction.SIGNED: RECORD_CHANGED,
    AuditAction.OVERRIDDEN: RECORD_CHANGED,
    AuditAction.REQUEUED: RECORD_CHANGED,
    AuditAction.CANCELLED: RECORD_CHANGED,
    AuditAction.FILM_PURGED: Kind("110105", "DICOM Study Deleted", "D"),
    AuditAction.MODEL_CHANGED: Kind("110100", "Application Activity", "U"),
    AuditAction.ADMIN_CHANGED: RECORD_CHANGED,
    AuditAction.LOG_VIEWED: Kind("110101", "Audit Log Used", "R"),
    AuditAction.BACKED_UP: Kind("110106", "Export", "R"),
    AuditAction.RESTORED: Kind("110107", "Import", "C"),
}  # what is not named here changes a user's access: ATTRIBUTES


class _Line:
    """csv writes into it and gets the line back."""

    def write(self, text: str) -> str:
        return text


def in_order(events: QuerySet[AuditEvent]) -> Iterator[AuditEvent]:
    """Oldest first, in constant memory."""
    return events.select_related("actor", "hospital").order_by("sequence").iterator(CHUNK)


def as_csv(events: Iterable[AuditEvent]) -> Iterator[str]:
    """Lines with a head; a cell that a spreadsheet would take for a formula is quoted by an apostrophe."""
    writer = csv.writer(_Line(), lineterminator="\n")
    yield writer.writerow(COLUMNS)
    for event in events:
        yield writer.writerow([_inert(cell) for cell in _cells(event)])


def _cells(event: AuditEvent) -> list[str]:
    details = json.dumps(event.details, sort_keys=True) if event.details else ""
    return [
        str(event.sequence),
        as_utc(event.at),
        event.action,
        event.outcome,
        event.actor.email if event.actor else "",
        event.role,
        event.hospital.name if event.hospital else "",
        event.object_type,
        event.object_id,
        str(event.patient or ""),
        event.address or "",
        event.request_id,
        details,
        event.digest,
    ]


def _inert(cell: str) -> str:
    return f"'{cell}" if cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell


def as_fhir(events: Iterable[AuditEvent]) -> Iterator[str]:
    """The text of one Bundle of type `collection`, an entry at a time."""
    yield '{"resourceType": "Bundle", "type": "collection", "entry": ['
    separator = "\n"
    for event in events:
        yield separator + json.dumps({"fullUrl": f"urn:portal:audit:{event.sequence}", "resource": as_resource(event)})
        separator = ",\n"
    yield "\n]}\n"


def as_resource(event: AuditEvent) -> dict[str, Any]:
    """One AuditEvent. The kind of event is DICOM's, the subtype ours."""
    kind = KINDS.get(event.action, ATTRIBUTES)
    resource = {
        "resourceType": "AuditEvent",
        "id": str(event.sequence),
        "type": {"system": DICOM, "code": kind.code, "display": kind.display},
        "subtype": [{"system": f"urn:{SOURCE}:action", "code": event.action, "display": event.get_action_display()}],
        "action": kind.letter,
        "recorded": as_utc(event.at),
        "outcome": OUTCOMES[AuditOutcome(event.outcome)],
        "agent": [_agent(event)],
        "source": {"observer": {"display": SOURCE}},
        "entity": _entities(event),
    }
    if event.action == AuditAction.ACCESS_OPENED:
        resource["purposeOfEvent"] = [BREAK_GLASS]
    return {name: value for name, value in resource.items() if value}


def _agent(event: AuditEvent) -> dict[str, Any]:
    agent: dict[str, Any] = {"requestor": True, "who": {"display": SOURCE}}
    if isinstance(event.actor, User):
        agent |= {
            "who": {"identifier": {"value": str(event.actor.pk)}, "display": event.actor.email},
            "role": [{"text": event.role}],
        }
    if event.address:
        agent["network"] = {"address": event.address, "type": "2"}
    return agent


def _entities(event: AuditEvent) -> list[dict[str, Any]]:
    entities: list[dict[str, Any]] = []
    if event.patient:
        person = {"system": ENTITY_TYPE, "code": "1", "display": "Person"}
        entities.append({"what": {"reference": f"Patient/{event.patient}"}, "type": person})
    if event.object_id and event.object_id != str(event.patient):
        thing = {"system": ENTITY_TYPE, "code": "2", "display": "System Object"}
        entity: dict[str, Any] = {"what": {"identifier": {"value": event.object_id}}, "type": thing}
        entities.append(entity | ({"name": event.object_type} if event.object_type else {}))
    return entities


FORMATS: dict[str, tuple[Callable[[Iterable[AuditEvent]], Iterator[str]], str, str]] = {
    "csv": (as_csv, "text/csv; charset=utf-8", "audit-log.csv"),
    "fhir": (as_fhir, "application/fhir+json; charset=utf-8", "audit-log.fhir.json"),
}


def export_response(
    *, actor: User, events: QuerySet[AuditEvent], form: str, patient: UUID | None = None
) -> StreamingHttpResponse:
    """The entries as a file, streamed; the export is an entry itself, written first."""
    write, content_type, name = FORMATS[form]
    details = {"as": f"audit log, {form}", "entries": events.count()}
    last = audit.record(AuditAction.EXPORTED, actor=actor, patient=patient, details=details)
    rows = in_order(events.filter(sequence__lt=last.sequence))
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-store"}
    return StreamingHttpResponse(write(rows), content_type=content_type, headers=headers)
