"""Rows and objects are compared, whatever lies between them; the same on files and in a bucket."""

import hashlib
import json
import os
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import boto3
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from accounts import audit
from accounts.models import User
from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError
from diagnostics.models import Case, Prediction
from diagnostics.services import verification
from diagnostics.services.purging import purge_expired_images
from diagnostics.services.reconciliation import keep_audit_head
from diagnostics.storage import StoredObject
from tests.diagnostics.cases import make_case, make_prediction, upload
from tests.servers import S3_BUCKET

FILM = b"the bytes that were accepted"


def whole_case(uploader: User) -> Case:
    """A case with all its objects and their hash."""
    case = make_case(uploader, state="done", sha256=hashlib.sha256(FILM).hexdigest(), size_bytes=len(FILM))
    for key in (case.original_key, storage.display_key(case.pk), make_prediction(case).heatmap_key):
        storage.save_derived(key, FILM)
    return case


def heatmap_of(case: Case) -> str:
    return Prediction.objects.get(case=case).heatmap_key


def verify(*arguments: str) -> dict[str, Any]:
    """The command's JSON, with `exit`, its exit code."""
    out, code = StringIO(), 0
    try:
        call_command("verify_storage", *arguments, "--json", stdout=out)
    except SystemExit as stop:
        code = int(stop.code or 0)
    return json.loads(out.getvalue()) | {"exit": code}


def found(facts: dict[str, Any]) -> set[tuple[str, str]]:
    return {(finding["kind"], finding["key"]) for finding in facts["findings"]}


class Files:
    """The films' folder; what lies in it can be made old."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def age(self, key: str) -> None:
        hours_ago = time.time() - 2 * 3600
        os.utime(self.folder / key, (hours_ago, hours_ago))


class Bucket:
    """An S3 server's clock cannot be set: the grace is made negative instead, so that everything is old."""

    def age(self, _key: str) -> None:
        verification.GRACE = timedelta(hours=-1)


@pytest.fixture(params=["files", pytest.param("bucket", marks=pytest.mark.s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "files":
        return Files(tmp_path / "media")
    monkeypatch.setattr(verification, "GRACE", verification.GRACE)
    request.getfixturevalue("films_in_bucket")
    storage.films().bucket.objects.delete()  # type: ignore[attr-defined]
    return Bucket()


def test_a_whole_storage_is_well(place: Any, doctor: User, film_jpeg: bytes) -> None:
    for _ in range(3):
        whole_case(doctor)
    upload(doctor, film_jpeg)
    facts = verify()
    assert (facts["ok"], facts["exit"], facts["rows"], facts["findings"]) == (True, 0, 10, [])


def test_each_object_that_is_missing_is_named_with_its_case(place: Any, doctor: User) -> None:
    original, display, heatmap = (whole_case(doctor) for _ in range(3))
    keys = {"original": original.original_key, "display": storage.display_key(display.pk), "heatmap": heatmap_of(heatmap)}
    for key in keys.values():
        storage.delete_film(key)
    facts = verify()
    assert (facts["ok"], facts["exit"], facts["missing"]) == (False, 1, 3)
    assert found(facts) == {("missing", key) for key in keys.values()}
    assert {finding["case"] for finding in facts["findings"]} == {str(case.pk) for case in (original, display, heatmap)}


def test_other_bytes_are_damage_and_quick_looks_at_their_number_alone(place: Any, doctor: User) -> None:
    shorter, changed, empty = (whole_case(doctor) for _ in range(3))
    storage.save_derived(shorter.original_key, FILM[:-1])
    storage.save_derived(changed.original_key, FILM.swapcase())
    storage.save_derived(storage.display_key(empty.pk), b"")
    in_both = {("damaged", shorter.original_key), ("damaged", storage.display_key(empty.pk))}
    assert found(verify("--quick")) == in_both
    facts = verify()
    assert found(facts) == in_both | {("damaged", changed.original_key)}
    assert facts["exit"] == 1


def test_an_object_without_a_row_is_fresh_then_an_orphan_and_is_removed_when_asked(place: Any, doctor: User) -> None:
    whole_case(doctor)
    keys = [
        storage.original_key(uuid4()),
        storage.display_key(uuid4()),
        storage.new_heatmap_key(),
        f"probes/{uuid4()}",
        "cases/x",
    ]
    for key in keys:
        storage.save_derived(key, FILM)
    facts = verify("--delete-orphans")
    assert (facts["exit"], facts["fresh"], facts["deleted"]) == (0, 5, 0)
    for key in keys:
        place.age(key)
    assert (verify()["exit"], verify()["orphan"]) == (1, 5)
    facts = verify("--delete-orphans")
    assert (facts["exit"], facts["ok"], facts["orphan"], facts["deleted"]) == (0, True, 5, 5)
    assert verify()["findings"] == []


def test_what_a_purged_film_left_behind_is_an_orphan_and_the_row_misses_nothing(place: Any, doctor: User) -> None:
    case = whole_case(doctor)
    heatmap = heatmap_of(case)
    Case.objects.update(created_at=timezone.now() - timedelta(days=40))
    purge_expired_images(days=30)
    assert verify()["findings"] == []
    for key in (f"cases/{case.pk}", storage.display_key(case.pk), heatmap):
        storage.save_derived(key, FILM)
        place.age(key)
    assert verify("--delete-orphans")["deleted"] == 3


def test_a_display_that_is_drawn_but_not_entered_yet_is_no_orphan(place: Any, doctor: User) -> None:
    case = make_case(doctor, state="done", display="pending")
    storage.save_derived(case.original_key, b"")
    storage.save_derived(storage.display_key(case.pk), FILM)
    place.age(storage.display_key(case.pk))
    assert ("orphan", storage.display_key(case.pk)) not in found(verify())


def test_a_file_that_was_never_finished_is_told_apart(doctor: User, tmp_path: Path) -> None:
    case = whole_case(doctor)
    part = tmp_path / "media" / "cases" / f".{case.pk}.0123.part"
    part.write_bytes(b"half a")
    assert verify()["fresh"] == 1
    Files(tmp_path / "media").age(f"cases/{part.name}")
    assert found(verify()) == {("unfinished", f"cases/{part.name}")}
    assert verify("--delete-orphans")["deleted"] == 1
    assert not part.exists()


@pytest.mark.s3
def test_an_upload_to_a_bucket_that_was_never_finished_is_aborted(doctor: User, s3: dict[str, str]) -> None:
    options: dict[str, Any] = {"endpoint_url": s3["S3_ENDPOINT_URL"], "region_name": s3["S3_REGION"]}
    client: Any = boto3.client("s3", aws_access_key_id="test", aws_secret_access_key="test", **options)
    from diagnostics.storage_s3 import PrivateS3Storage

    bucket = PrivateS3Storage(bucket_name=S3_BUCKET, access_key="test", secret_key="test", **options)
    upload_id = client.create_multipart_upload(Bucket=S3_BUCKET, Key="cases/half")["UploadId"]
    begun = list(bucket.list_unfinished("cases"))
    assert [(stored.key, stored.upload_id, stored.is_unfinished) for stored in begun] == [("cases/half", upload_id, True)]
    bucket.abort_upload(begun[0])
    assert list(bucket.list_unfinished("cases")) == []


def test_an_orphan_whose_row_has_come_meanwhile_is_not_removed(doctor: User) -> None:
    case = whole_case(doctor)
    stored = StoredObject(case.original_key, len(FILM), datetime(2020, 1, 1, tzinfo=UTC))
    orphan = verification.Finding(verification.Kind.ORPHAN, stored.key, stored=stored)
    assert not verification.delete_orphan(orphan)
    assert not verification.delete_orphan(verification.Finding(verification.Kind.FRESH, "cases/x", stored=stored))
    assert storage.is_stored(case.original_key)


def test_a_film_that_is_accepted_while_the_listing_runs_is_not_missing(doctor: User) -> None:
    case = whole_case(doctor)
    with mock.patch.object(storage, "list_folder", return_value=iter(())):
        assert list(verification.verify_storage()) == []
    assert storage.is_stored(case.original_key)


def test_a_storage_that_is_away_ends_on_one_line(doctor: User) -> None:
    for _ in range(25):
        make_case(doctor)
    away = StorageUnavailableError("listing cases: OSError")
    with mock.patch.object(storage, "list_folder", side_effect=away), pytest.raises(CommandError, match="does not answer"):
        call_command("verify_storage")
    with mock.patch.object(storage, "is_stored", side_effect=away), pytest.raises(CommandError, match="gives out no film"):
        call_command("verify_storage", stdout=StringIO())


def test_people_get_one_line_for_each_finding_and_a_sum(doctor: User) -> None:
    case = whole_case(doctor)
    storage.delete_film(case.original_key)
    out = StringIO()
    with pytest.raises(SystemExit, match="1"):
        call_command("verify_storage", stdout=out)
    assert f"{case.original_key}: missing: a row names it" in out.getvalue()
    assert "3 object(s) named by rows; 1 missing. Something is wrong." in out.getvalue()


def test_neither_rows_nor_objects_are_held_in_memory() -> None:
    count, case_id, now = 100_000, uuid4(), timezone.now()
    rows = (verification.Expected(f"cases/{number:06}", case_id) for number in range(count))
    objects = (StoredObject(f"cases/{number:06}", 1, now) for number in range(0, count, 2))
    tracemalloc.start()
    try:
        pairs = sum(1 for row, stored in verification._side_by_side(rows, objects) if row and stored)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()
    assert pairs == count / 2


def test_no_orphan_is_deleted_where_an_older_database_was_restored(doctor: User) -> None:
    audit.record(audit.Action.LOGIN, actor=doctor)
    keep_audit_head()
    verify("--delete-orphans")
    end = audit.chain_head()
    later = {"sequence": end.sequence + 40, "digest": "f" * 64}  # kept by the portal before the restore
    storage.save_derived(storage.audit_head_key(end.sequence + 40), json.dumps(later).encode())
    with pytest.raises(CommandError, match=f"does not hold entry {end.sequence + 40}"):
        verify("--delete-orphans")
    assert verify()["exit"] == 0, "to look is no harm"
