"""`verify_audit`, and the ends of the log that `reconcile` keeps beside the films."""

import json
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts import audit
from accounts.audit import Action
from accounts.models import AuditEvent, AuditHead, User
from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError
from diagnostics.services import reconciliation
from diagnostics.services.reconciliation import keep_audit_head


def verify(**options: Any) -> dict[str, Any]:
    out = StringIO()
    call_command("verify_audit", json=True, stdout=out, **options)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


@pytest.fixture
def log(doctor: User) -> None:
    for _ in range(3):
        audit.record(Action.CASE_VIEWED, actor=doctor)


def cut_off(after: int) -> None:
    AuditEvent.objects.filter(sequence__gt=after).delete()
    AuditHead.objects.update(sequence=after, digest=AuditEvent.objects.get(sequence=after).digest)


def test_a_whole_log_with_the_end_that_was_kept(log: None) -> None:
    keep_audit_head()
    assert verify() == {"entries": 3, "problem": "", "bad_entry": None, "kept": 1, "head": audit.chain_head().as_dict()}


def test_the_end_is_kept_once_in_ten_minutes(log: None) -> None:
    for _ in range(3):
        keep_audit_head()
    assert [stored.key for stored in storage.list_folder(storage.AUDIT_HEADS)] == ["audit-heads/000000000003"]


def test_a_log_that_was_cut_off_after_its_end_was_kept(log: None) -> None:
    keep_audit_head()
    cut_off(2)
    with pytest.raises(CommandError, match=r"Entry 3 and later ones up to 3 were cut off\. 2 before it are"):
        verify()
    assert verify(no_storage=True)["entries"] == 2


def test_an_auditors_own_file_of_ends(log: None, tmp_path: Path) -> None:
    file = tmp_path / "heads.jsonl"
    file.write_text(json.dumps(audit.chain_head().as_dict()) + "\n\n", encoding="utf-8")
    assert verify(heads=file)["kept"] == 1
    cut_off(1)
    with pytest.raises(CommandError, match="cut off"):
        verify(heads=file)


@pytest.mark.parametrize("content", ["nonsense", "{}", '{"sequence": "x", "digest": "y"}', "[1]"])
def test_a_kept_end_that_was_tampered_with_is_one_line(log: None, tmp_path: Path, content: str) -> None:
    file = tmp_path / "heads.jsonl"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(CommandError, match=r"heads\.jsonl:1 is not a kept end"):
        verify(heads=file)


def test_a_file_that_is_not_there_is_one_line(log: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        verify(heads=tmp_path / "missing")


def test_a_storage_that_is_down_costs_the_copy_beside_the_films_alone(log: None) -> None:
    with mock.patch.object(storage, "save_derived", side_effect=StorageUnavailableError("down")):
        reconciliation.reconcile()
    assert verify()["kept"] == 0
