"""What is copied, what is kept, what goes: in this process, to a directory and to a bucket."""

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import boto3
import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from accounts import audit
from accounts.models import AuditEvent, AuditHead, User
from diagnostics import storage
from diagnostics.exceptions import BackupError, StorageUnavailableError
from diagnostics.models import Case, Prediction
from diagnostics.services.backup import making, retention, rows, sets, telling
from diagnostics.services.backup.making import make_backup
from diagnostics.services.backup.restoring import check_backup, choose_backup
from diagnostics.services.backup.retention import choose_kept
from diagnostics.services.backup.sets import Manifest, Part, Vault, open_vault
from diagnostics.services.purging import finish_removals, purge_expired_images
from diagnostics.services.verification import Kind, verify_storage
from diagnostics.services.versions import may_analyse_again
from tests.backup.site import age, write_key
from tests.diagnostics.cases import make_case, make_prediction
from tests.diagnostics.test_verification import FILM, whole_case

pytestmark = pytest.mark.django_db
KEEP = {"days": 7, "weeks": 5, "months": 12}


@pytest.fixture(params=["directory", pytest.param("bucket", marks=pytest.mark.s3)])
def vault(request: pytest.FixtureRequest, tmp_path: Path, settings: Settings) -> Vault:
    settings.BACKUP_KEY_FILE = write_key(tmp_path / "key")
    settings.BACKUP_METRICS_DIR = tmp_path / "metrics"
    settings.MODEL_DIR = tmp_path / "models"
    settings.BACKUP_TARGET = str(tmp_path / "target")
    (tmp_path / "target").mkdir()
    if request.param == "bucket":
        endpoint = request.getfixturevalue("s3")["S3_ENDPOINT_URL"]
        settings.BACKUP_TARGET, settings.BACKUP_S3_ENDPOINT_URL = f"s3://backups-{time.monotonic_ns()}/portal/", endpoint
        settings.BACKUP_S3_REGION, settings.BACKUP_S3_ACCESS_KEY_ID = "us-east-1", "t"
        settings.BACKUP_S3_SECRET_ACCESS_KEY = "t"
        options: dict[str, Any] = {"endpoint_url": endpoint, "region_name": "us-east-1", "aws_access_key_id": "t"}
        client: Any = boto3.client("s3", aws_secret_access_key="t", **options)
        client.create_bucket(Bucket=settings.BACKUP_TARGET.split("/")[2])
    return open_vault()


def names(vault: Vault, folder: str = "objects/") -> set[str]:
    return {name for name, _ in vault.target.list(folder)}


def test_an_object_is_carried_once(vault: Vault, doctor: User) -> None:
    for _ in range(3):
        whole_case(doctor)
    assert make_backup(vault).copied.new == 9
    whole_case(doctor)
    again = make_backup(vault)
    assert (again.copied.new, sum(again.copied.counts.values())) == (3, 12)
    with mock.patch.object(storage, "open_film", side_effect=AssertionError("read again")):
        assert make_backup(vault).copied.new == 0


def test_an_object_that_vanished_or_was_cut_off_in_the_target_is_carried_again(vault: Vault, doctor: User) -> None:
    whole_case(doctor)
    make_backup(vault)
    first, second, *_ = sorted(names(vault))
    vault.target.delete(first)
    vault.target.put(second, BytesIO(b"cut"))
    assert make_backup(vault).copied.new == 2
    check_backup(vault, choose_backup(vault, None))


def test_a_picture_that_was_drawn_anew_is_another_file_and_the_old_backup_keeps_the_old(vault: Vault, doctor: User) -> None:
    case = whole_case(doctor)
    first = age(vault, make_backup(vault).manifest, 1)
    storage.save_derived(storage.display_key(case.pk), b"another picture")
    assert make_backup(vault).copied.new == 1
    assert len([name for name in names(vault) if "/displays/" in name]) == 2
    check_backup(vault, first)


@pytest.mark.parametrize("what", ["missing", "swapped"])
def test_objects_that_are_missing_or_swapped_are_named(vault: Vault, doctor: User, what: str) -> None:
    whole_case(doctor), whole_case(doctor)
    backup = make_backup(vault).manifest
    first, second = sorted(name for name in names(vault) if "/cases/" in name)
    if what == "missing":
        vault.target.delete(first)
    else:
        with vault.target.open(first) as one, vault.target.open(second) as two:
            contents = one.read(), two.read()
            vault.target.put(first, BytesIO(contents[1]))
        vault.target.put(second, BytesIO(contents[0]))
    with pytest.raises(BackupError, match=f"{first.partition('!')[0]}.* is (missing in|damaged)"):
        check_backup(vault, backup)


def test_a_backup_whose_manifest_does_not_open_does_not_count_and_nothing_of_it_is_removed(vault: Vault, doctor: User) -> None:
    case = whole_case(doctor)
    bad = age(vault, make_backup(vault).manifest, 3)
    vault.target.put(f"sets/{bad.name}/manifest", BytesIO(b"nonsense"))
    storage.delete_film(case.original_key)
    Case.objects.filter(pk=case.pk).update(purged_at=timezone.now(), display="unavailable")
    outcome = make_backup(vault)
    assert (outcome.damaged, outcome.retention["objects removed"]) == ([bad.name], 0)
    with pytest.raises(BackupError, match=f"manifest of backup {bad.name} is damaged"):
        choose_backup(vault, bad.name)
    assert choose_backup(vault, None).name == outcome.manifest.name


def test_objects_go_with_the_last_backup_that_names_them(vault: Vault, doctor: User, settings: Settings) -> None:
    settings.BACKUP_KEEP = {"days": 1, "weeks": 0, "months": 0}
    case = whole_case(doctor)
    age(vault, make_backup(vault).manifest, 2)
    storage.save_derived(storage.display_key(case.pk), b"another picture")
    outcome = make_backup(vault)
    assert outcome.retention == {"kept": 1, "removed": 1, "objects removed": 1}
    check_backup(vault, outcome.manifest)
    assert len(vault.find_sets().good) == 1


def test_a_purged_film_leaves_the_older_backups_after_its_time(vault: Vault, doctor: User, settings: Settings) -> None:
    case, kept = whole_case(doctor), whole_case(doctor)
    older = age(vault, make_backup(vault).manifest, 1)
    Case.objects.filter(pk=case.pk).update(created_at=timezone.now() - timedelta(days=40))
    purge_expired_images(days=30)
    make_backup(vault)
    assert any(str(case.pk) in name for name in names(vault)), "it may still be taken back"
    Case.objects.filter(pk=case.pk).update(purged_at=timezone.now() - timedelta(days=36))
    assert make_backup(vault).retention["objects removed"] == 3
    assert not any(str(case.pk) in name for name in names(vault))
    assert any(str(kept.pk) in name for name in names(vault))
    done = check_backup(vault, older)
    assert (done.objects, done.forgotten) == (3, 3)


def test_a_restored_row_whose_film_was_purged_since_says_so(doctor: User) -> None:
    case, at = whole_case(doctor), timezone.now() - timedelta(days=40)
    finish_removals([(case.pk, at)])
    assert list(Case.objects.with_film()) == [case], "all came back: a wrong retention time can be taken back"
    storage.delete_film(storage.display_key(case.pk))
    assert finish_removals([(case.pk, at)]) == []
    removed = Case.objects.get(pk=case.pk)
    assert (removed.state, removed.purged_at, removed.display, removed.original_key) == ("done", at, "unavailable", "")
    assert not storage.is_stored(f"cases/{case.pk}")
    assert list(verify_storage()) == []


@pytest.mark.parametrize("state", ["queued", "processing"])
def test_a_restored_case_that_still_waits_for_a_film_that_was_purged_since_has_failed(doctor: User, state: str) -> None:
    case, at = make_case(doctor, state=state), timezone.now() - timedelta(days=40)
    still_there = make_case(doctor, state=state)
    storage.save_derived(still_there.original_key, FILM)
    make_prediction(still_there)  # its heatmap is gone, and will be made again
    assert finish_removals([(case.pk, at), (still_there.pk, at)]) == [case.pk]
    failed = Case.objects.get(pk=case.pk)
    assert (failed.state, failed.failure_code, failed.purged_at, failed.original_key) == ("failed", "FILM_DAMAGED", at, "")
    assert list(Case.objects.exclude(pk=case.pk).values_list("state", flat=True)) == [state]
    assert not may_analyse_again(case=failed)
    assert {finding.case_id for finding in verify_storage() if finding.kind is Kind.MISSING} <= {still_there.pk}


def test_a_hundred_removals_are_looked_up_at_once(doctor: User, django_assert_num_queries: Any) -> None:
    removed = [(uuid4(), timezone.now()) for _ in range(100)]
    with django_assert_num_queries(1):
        finish_removals(removed)


def test_what_the_storage_lost_is_told_and_keeps_nothing_else_from_being_copied(vault: Vault, doctor: User) -> None:
    whole_case(doctor)
    lost = whole_case(doctor)
    storage.delete_film(lost.original_key)
    outcome = make_backup(vault)
    assert (outcome.manifest.missing, outcome.copied.new) == (1, 5)
    assert "portal_backup_missing_objects 1" in (telling._file()).read_text(encoding="ascii")


def test_a_storage_without_a_single_film_is_no_backup(vault: Vault, doctor: User) -> None:
    storage.delete_film(whole_case(doctor).original_key)
    with pytest.raises(BackupError, match="Is its disk mounted"):
        make_backup(vault)
    assert vault.find_sets().good == []


def test_a_backup_of_a_later_format_is_named_and_not_read(vault: Vault) -> None:
    manifest = make_backup(vault).manifest
    later = asdict(manifest) | {"format": manifest.format + 1, "release": "9.0.0", "added_since": "something"}
    vault.put(f"sets/{manifest.name}/manifest", BytesIO(json.dumps(later).encode()))
    with pytest.raises(BackupError, match=r"made by release 9\.0\.0 in a later format"):
        vault.find_sets()


def test_a_case_that_comes_just_before_the_rows_are_copied_has_its_objects(vault: Vault, doctor: User) -> None:
    dump = rows.dump_rows

    def come_then_dump() -> Any:
        whole_case(doctor)
        return dump()

    with mock.patch.object(rows, "dump_rows", come_then_dump):
        assert make_backup(vault).copied.new == 3


def test_an_end_of_the_log_that_is_later_than_the_rows_is_left_out(vault: Vault, doctor: User) -> None:
    """Or a restore would look like a log that was cut off."""
    whole_case(doctor)
    dump = rows.dump_rows

    def dump_then_go_on() -> Any:
        storage.save_derived(storage.audit_head_key(99), b"{}")
        return dump()

    audit.record(audit.Action.LOGIN, actor=doctor)
    with mock.patch.object(rows, "dump_rows", dump_then_go_on):
        outcome = make_backup(vault)
    assert not any("audit-heads" in name for name in names(vault))
    assert outcome.manifest.counts["audit entries"] == 1


def test_a_storage_that_fails_ends_the_run_before_there_is_a_manifest(vault: Vault, doctor: User) -> None:
    whole_case(doctor)
    with (
        mock.patch.object(storage, "open_film", side_effect=StorageUnavailableError("away")),
        pytest.raises(StorageUnavailableError),
    ):
        make_backup(vault)
    assert vault.find_sets().good == []
    assert telling.last_success() is None


def test_a_failure_of_the_retention_is_no_success(vault: Vault, doctor: User) -> None:
    with mock.patch.object(making, "apply_retention", side_effect=BackupError("away")), pytest.raises(BackupError):
        make_backup(vault)
    assert telling.last_success() is None
    assert len(vault.find_sets().good) == 1


def test_half_written_files_and_uploads_are_tidied_away(vault: Vault, doctor: User, tmp_path: Path) -> None:
    target: Any = vault.target
    if isinstance(target.__dict__.get("root"), Path):
        part = tmp_path / "target" / "objects" / "cases" / ".0123.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(b"half")
    else:
        target._client.create_multipart_upload(Bucket=target.bucket, Key="portal/objects/cases/half")
    make_backup(vault)
    if isinstance(target.__dict__.get("root"), Path):
        assert not part.exists()
    else:
        assert not target._client.list_multipart_uploads(Bucket=target.bucket).get("Uploads")


def test_the_backup_of_an_emptied_portal_takes_no_other_ones_place(vault: Vault, doctor: User) -> None:
    case = whole_case(doctor)
    for _ in range(5):  # more than the backups of the emptied portal will enter
        audit.record(audit.Action.LOGIN, actor=doctor)
    full = make_backup(vault).manifest
    AuditHead.objects.update(sequence=0, digest="")
    for key in (case.original_key, storage.display_key(case.pk), *Prediction.objects.values_list("heatmap_key", flat=True)):
        storage.delete_film(key)
    for model in (AuditEvent, Prediction, Case):
        model.objects.all().delete()
    emptied = make_backup(vault)
    assert (emptied.ahead, emptied.retention["removed"], emptied.retention["objects removed"]) == (full.name, 0, 0)
    assert make_backup(vault).retention["removed"] == 1, "of its own kind the day's last one is enough"
    with pytest.raises(BackupError, match=f"knows less than {full.name}"):
        choose_backup(vault, None)
    check_backup(vault, choose_backup(vault, full.name))


def test_a_newer_backup_that_is_damaged_is_not_passed_over_in_silence(vault: Vault, doctor: User) -> None:
    older = age(vault, make_backup(vault).manifest, 1)
    newer = make_backup(vault).manifest
    vault.target.put(f"sets/{newer.name}/manifest", BytesIO(b"nonsense"))
    with pytest.raises(BackupError, match=f"Backup {newer.name} is newer than {older.name}, and damaged"):
        choose_backup(vault, None)
    assert choose_backup(vault, older.name) == older


def manifest_of(began: datetime) -> Manifest:
    none = Part(0, "")
    return Manifest(began.strftime(sets.WHEN), began.isoformat(), "", "1", "sqlite", [], {}, "", none, none, none, 0, 0)


def test_seven_days_five_weeks_and_twelve_months_of_daily_backups() -> None:
    newest = datetime(2026, 11, 26, 3, tzinfo=UTC)  # a Thursday
    kept = choose_kept([manifest_of(newest - timedelta(days=day)) for day in range(800)], KEEP)
    dates = [backup.began[:10] for backup in kept]
    assert dates[:7] == [f"2026-11-{day}" for day in range(26, 19, -1)]
    assert dates[7:10] == ["2026-11-15", "2026-11-08", "2026-11-01"]  # Sundays; 22 November is among the days
    assert dates[10:] == [
        "2026-10-31", "2026-09-30", "2026-08-31", "2026-07-31", "2026-06-30", "2026-05-31", "2026-04-30", "2026-03-31",
        "2026-02-28", "2026-01-31", "2025-12-31",
    ]  # fmt: skip


@given(
    st.lists(st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)), min_size=1, max_size=40),  # noqa: DTZ001
    st.fixed_dictionaries({period: st.integers(0, 4) for period in KEEP}),
)
def test_the_newest_is_always_kept_and_never_more_than_asked(times: list[datetime], keep: dict[str, int]) -> None:
    backups = [manifest_of(began) for began in times]
    kept = choose_kept(backups, keep)
    assert kept[0].began_at == max(times)
    assert len({backup.name for backup in kept}) <= max(1, sum(keep.values()))
    assert retention.choose_kept(kept, keep) == kept
