"""The audit log: who did or read what, when, from where, with what outcome. Append-only and chained.

`record` is called inside the transaction that makes the change, as its last statement, or before bytes are served; where the
entry cannot be written, neither happens. Each entry's digest is the HMAC-SHA256, under `AUDIT_KEY`, of the digest before it and
of the entry's own columns: whoever changes, removes or reorders entries without the key breaks the chain at that place. Entries
cut off at the end leave a whole chain; the heads that `export_head` hands out to be kept elsewhere show that.
"""

import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import AuditAction, AuditEvent, AuditHead, AuditOutcome, Hospital, User
from accounts.request_context import current

Action = AuditAction
Outcome = AuditOutcome
Details = Mapping[str, object]  # of plain JSON values: closed words, keys, counts; never what somebody typed
CHUNK = 2000  # entries in memory at once


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain at one moment; to be kept where the database's owner cannot reach."""

    sequence: int
    digest: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Verification:
    """`entries` were found in order and unchanged; `problem` names the first that is not, or is empty."""

    entries: int
    head: Head
    problem: str = ""
    bad_sequence: int | None = None


def record(
    action: AuditAction,
    *,
    actor: User | None,
    object_type: str = "",
    object_id: str | UUID = "",
    hospital: Hospital | UUID | None = None,
    patient: UUID | None = None,
    outcome: AuditOutcome = AuditOutcome.SUCCESS,
    details: Details | None = None,
) -> AuditEvent:
    """Append one entry. Address and request come from the request at hand; the hospital is the actor's where none is named.

    Holds the end of the chain locked until the caller's transaction ends: call it last.
    """
    context = current()
    hospital_id = hospital.pk if isinstance(hospital, Hospital) else hospital
    event = AuditEvent(
        at=timezone.now(),
        action=action,
        outcome=outcome,
        actor=actor,
        role=actor.role if actor else "",
        hospital_id=hospital_id or (actor.hospital_id if actor else None),
        object_type=object_type,
        object_id=str(object_id),
        patient=patient,
        address=context.address,
        request_id=context.request_id,
        details=dict(details or {}),
    )
    with transaction.atomic(savepoint=False):  # no round trip more with the lock held; a failure undoes the whole change
        _append(event)
    return event


def record_about(user: User, action: AuditAction, *, by: User | None, **details: object) -> None:
    """An entry about a user's account; the hospital is the account's, so that its admins see it."""
    record(action, actor=by, object_type="user", object_id=user.pk, hospital=user.hospital_id, details=details)


def record_version_step(
    step: str, *, version: str, by: User | None, approved_by: User | None = None, forced: bool = False
) -> None:
    """What `MODEL_STEP_LISTENER` names: a model version was requested, activated, retired, put in shadow, …"""
    approver = str(approved_by.pk) if approved_by else ""
    details = {"step": step, "approved_by": approver, "forced": forced}
    record(AuditAction.MODEL_CHANGED, actor=by, object_type="model version", object_id=version, details=details)


def _append(event: AuditEvent) -> None:
    head = AuditHead.objects.select_for_update().get_or_create(pk=1)[0]
    event.sequence = head.sequence + 1
    event.digest = digest_of(event, after=head.digest)
    event.save(force_insert=True)
    AuditHead.objects.filter(pk=1).update(sequence=event.sequence, digest=event.digest)


def digest_of(event: AuditEvent, *, after: str) -> str:
    """The entry's place in the chain: 64 hexadecimal digits."""
    columns = [
        event.sequence,
        event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        event.action,
        event.outcome,
        str(event.actor_id or ""),
        event.role,
        str(event.hospital_id or ""),
        event.object_type,
        event.object_id,
        str(event.patient or ""),
        event.address or "",
        event.request_id,
        event.details,
    ]
    text = f"{after}\n{json.dumps(columns, sort_keys=True, separators=(',', ':'), ensure_ascii=True)}"
    return hmac.new(settings.AUDIT_KEY.encode(), text.encode(), sha256).hexdigest()


def chain_head() -> Head:
    """Where the log ends now; sequence 0 and no digest for an empty one."""
    row = AuditHead.objects.filter(pk=1).first()
    return Head(row.sequence, row.digest) if row else Head(0, "")


def holds(head: Head) -> bool:
    """Whether this log is the one, or goes on from the one, that ended so."""
    return AuditEvent.objects.filter(sequence=head.sequence, digest=head.digest).exists()


def export_head(*, every: timedelta) -> Head | None:
    """The head, for the caller to keep elsewhere, or None where it was handed out within that time or nothing was added.

    One conditional UPDATE: of several reconcilers one gets it.
    """
    now = timezone.now()
    due = Q(exported_at=None) | Q(exported_at__lt=now - every)
    if not AuditHead.objects.filter(due, pk=1, sequence__gt=0).update(exported_at=now):
        return None
    return chain_head()


def verify(*, kept: Iterator[Head] | None = None) -> Verification:
    """Walk the whole log. `kept` are heads that were exported earlier: each must still be in the log, with its digest."""
    end = chain_head()
    wanted = {head.sequence: head.digest for head in kept or ()}
    sequence, digest = 0, ""
    for event in AuditEvent.objects.filter(sequence__lte=end.sequence).order_by("sequence").iterator(CHUNK):
        if event.sequence != sequence + 1:
            return _broken(sequence, digest, sequence + 1, "is missing")
        if not hmac.compare_digest(event.digest, digest_of(event, after=digest)):
            return _broken(sequence, digest, event.sequence, f"of {event.at:%Y-%m-%d %H:%M:%S} UTC was changed")
        sequence, digest = event.sequence, event.digest
        if wanted.pop(sequence, digest) != digest:
            return _broken(sequence, digest, sequence, "is not the one that was exported: the log was written anew")
    if (sequence, digest) != (end.sequence, end.digest):
        return _broken(sequence, digest, sequence + 1, "is missing")
    if wanted:
        return _broken(sequence, digest, sequence + 1, f"and later ones up to {max(wanted)} were cut off")
    return Verification(sequence, Head(sequence, digest))


def _broken(entries: int, digest: str, bad: int, what: str) -> Verification:
    return Verification(entries, Head(entries, digest), f"Entry {bad} {what}.", bad)


def as_utc(moment: datetime) -> str:
    """For exports: always UTC, to the microsecond."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
