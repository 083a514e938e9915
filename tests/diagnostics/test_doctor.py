"""Each thing that can be wrong with an installation is told in words, with what mends it; the rest goes on."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from diagnostics import metrics, queue, storage
from diagnostics.exceptions import StorageUnavailableError
from diagnostics.services import checkup, heartbeat
from diagnostics.services.checkup import CHECKS, Level, database, machine, parts, transport
from diagnostics.services.checkup import redis as redis_checks
from mlmodel import api
from tests.diagnostics.cases import make_case
from tests.portal import ROOT, Portal
from tests.servers import S3_BUCKET, redis_server

GOOD_INFO = {"aof_enabled": 1, "maxmemory_policy": "noeviction", "redis_version": "8.2.2"}
SHARED_REDIS = {"host": "cache.example", "port": 6379, "db": 0, "username": "portal", "password": "x", "ssl": True}


@pytest.fixture(autouse=True)
def _as_embedded(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]  # Django's test runner adds a host of its own
    metrics._probe_storage.cache_clear()


def answering(**changes: Any) -> Any:
    """A Redis that tells this of itself."""
    connected = mock.Mock(info=mock.Mock(return_value=GOOD_INFO | changes))
    return mock.patch.object(queue, "web_connection", return_value=connected)


def level_of(check: Callable[[], checkup.Finding], *words: str) -> Level:
    """The level, once the finding says these words and, where something is wrong, how to mend it."""
    finding = check()
    assert all(word in f"{finding.what} {finding.mend}" for word in words), finding
    assert bool(finding.mend) == (finding.level is not Level.OK), finding
    return finding.level


def test_a_portal_that_runs_has_nothing_wrong(db: None) -> None:
    heartbeat.start_worker(name="w:1", model_version="1", engine="x")
    with answering(), mock.patch.object(queue, "ping", return_value=True):
        findings = checkup.examine()
    assert set(findings) == set(CHECKS)
    told = {name for name, finding in findings.items() if finding.level is not Level.OK}
    # A PostgreSQL of the tests has no page checksums
    assert told <= ({"database integrity"} if connection.vendor == "postgresql" else set())


def test_a_check_that_fails_is_a_finding_and_the_others_go_on(db: None) -> None:
    broken = {"database": mock.Mock(side_effect=DatabaseError("quoted")), "mail": mock.Mock(side_effect=KeyError("quoted"))}
    with mock.patch.dict(CHECKS, broken):
        findings = checkup.examine()
    assert (findings["database"].level, findings["mail"].level) == (Level.ERROR, Level.ERROR)
    assert findings["debug"].level is Level.OK
    assert "quoted" not in str(findings)


def test_the_command_ends_with_1_where_something_is_wrong_and_prints_json(db: None) -> None:
    out = StringIO()
    with pytest.raises(SystemExit, match="1"):
        call_command("doctor", "--json", stdout=out)
    told = json.loads(out.getvalue())
    worker = next(finding for finding in told["findings"] if finding["part"] == "worker")
    assert (told["ok"], worker["level"]) == (False, "error")
    assert "run_worker" in worker["mend"]


def test_a_warning_is_nothing_wrong(db: None) -> None:
    heartbeat.start_worker(name="w:1", model_version="1", engine="x")
    out = StringIO()
    with mock.patch.object(queue, "ping", return_value=False):
        call_command("doctor", stdout=out)
    assert "warning  redis: does not answer" in out.getvalue()
    assert "Nothing is wrong." in out.getvalue()


# Database


def test_a_database_that_is_away_is_told(db: None) -> None:
    with mock.patch.object(metrics, "check_database", return_value="down"):
        assert level_of(database.check_answers, "DATABASE_URL") is Level.ERROR


@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "delete"), ("synchronous", 1)])
def test_sqlite_that_may_forget_is_told(db: None, pragma: str, value: object) -> None:
    told = {"PRAGMA journal_mode": "wal", "PRAGMA synchronous": 2} | {f"PRAGMA {pragma}": value}
    with mock.patch.object(database, "_is_postgres", return_value=False), mock.patch.object(database, "_ask", told.get):
        assert level_of(database.check_durability, str(value), "VAR_DIR") is Level.ERROR


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_postgresql_that_may_forget_is_told(db: None, setting: str) -> None:
    asked: Callable[[str], str] = lambda statement: "off" if statement == f"SHOW {setting}" else "on"  # noqa: E731
    with mock.patch.object(database, "_is_postgres", return_value=True), mock.patch.object(database, "_ask", asked):
        assert level_of(database.check_durability, setting, "postgresql.conf") is Level.ERROR


def test_a_damaged_database_file_is_told(db: None, tmp_path: Path) -> None:
    with (
        mock.patch.object(database, "_is_postgres", return_value=False),
        mock.patch.object(database, "_ask", return_value="row 3 missing from index"),
    ):
        assert level_of(database.check_integrity, "damaged", "backup") is Level.ERROR


@pytest.mark.parametrize(("seconds", "level"), [(1, Level.OK), (20, Level.WARNING), (3600, Level.ERROR)])
def test_clocks_that_differ_are_told(db: None, seconds: int, level: Level) -> None:
    theirs = timezone.now() - timedelta(seconds=seconds)
    with (
        mock.patch.object(database, "_is_postgres", return_value=True),
        mock.patch.object(database, "_ask", return_value=theirs),
    ):
        assert level_of(database.check_clock) is level


@pytest.mark.django_db(transaction=True)
def test_a_missing_cache_table_is_told() -> None:
    with mock.patch.object(type(connection.introspection), "table_names", return_value=["accounts_user"]):
        assert level_of(database.check_cache_table, "portal_cache", "prepare") is Level.ERROR


# Redis


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"aof_enabled": 0}, "appendonly"),
        ({"maxmemory_policy": "allkeys-lru"}, "noeviction"),
        ({"redis_version": "7.2.10"}, "CVE-2025-49844"),
        ({"redis_version": "7.0.15"}, "CVE-2025-49844"),
        ({"redis_version": "8.2.1"}, "CVE-2025-49844"),
    ],
)
def test_settings_of_redis_that_harm_are_warned_of(settings: Settings, facts: dict[str, object], words: str) -> None:
    settings.REDIS = SHARED_REDIS
    with answering(**facts):
        assert level_of(redis_checks.check_settings, words) is Level.WARNING


@pytest.mark.parametrize("version", ["6.2.20", "7.4.6", "8.0.4", "8.2.2", "8.4.0", "9.0.0"])
def test_a_mended_redis_is_well(settings: Settings, version: str) -> None:
    settings.REDIS = SHARED_REDIS
    with answering(redis_version=version):
        assert level_of(redis_checks.check_settings, version) is Level.OK


@pytest.mark.parametrize(
    ("changes", "words", "level"),
    [
        ({}, "with a password", Level.OK),
        ({"password": None}, "no password", Level.ERROR),
        ({"username": None}, "default user", Level.WARNING),
        ({"ssl": False}, "rediss://", Level.WARNING),
        ({"ssl": False, "host": "127.0.0.1"}, "with a password", Level.OK),
    ],
)
def test_how_the_portal_logs_in_to_redis_is_judged(
    settings: Settings, changes: dict[str, object], words: str, level: Level
) -> None:
    settings.REDIS = SHARED_REDIS | changes
    assert level_of(redis_checks.check_log_in, words) is level


@pytest.mark.redis
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_a_real_server_without_append_only_file_is_warned_of(settings: Settings, tmp_path: Path) -> None:
    with redis_server(tmp_path) as url:
        port = int(url.split(":")[2].split("/")[0])
        settings.REDIS = {"host": "127.0.0.1", "port": port, "db": 0}
        queue.web_connection.cache_clear()
        try:
            assert level_of(redis_checks.check_answers) is Level.OK
            assert level_of(redis_checks.check_settings, "appendonly") is Level.WARNING
        finally:
            queue.web_connection.cache_clear()


# Storage, model, workers


def test_a_storage_that_takes_nothing_is_told(settings: Settings) -> None:
    with mock.patch.object(storage, "check_storage", side_effect=StorageUnavailableError("x")):
        assert level_of(parts.check_storage, str(settings.MEDIA_DIR)) is Level.ERROR


@pytest.mark.s3
@pytest.mark.usefixtures("films_in_bucket")
def test_a_bucket_is_judged_by_what_it_says_of_itself(settings: Settings, s3: dict[str, str]) -> None:
    settings.STORAGE_BACKEND = "s3"
    where: dict[str, Any] = {"endpoint_url": s3["S3_ENDPOINT_URL"], "region_name": s3["S3_REGION"]}
    assert level_of(parts.check_bucket, "public access", "four flags", "versioning") is Level.ERROR
    client: Any = boto3.client("s3", aws_access_key_id="test", aws_secret_access_key="test", **where)
    flags = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    client.put_public_access_block(Bucket=S3_BUCKET, PublicAccessBlockConfiguration=flags)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    client.put_bucket_encryption(Bucket=S3_BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})
    assert level_of(parts.check_bucket, "versioning") is Level.WARNING
    client.put_bucket_versioning(Bucket=S3_BUCKET, VersioningConfiguration={"Status": "Enabled"})
    assert level_of(parts.check_bucket, "private") is Level.OK


@pytest.mark.parametrize("error", [api.ArtifactMissingError, api.ArtifactCorruptError, api.ArtifactIncompatibleError])
def test_an_active_version_that_cannot_be_served_is_told(db: None, error: type[Exception]) -> None:
    with mock.patch.object(api, "verify_version", side_effect=error("x")):
        assert level_of(parts.check_model, "rollback_model") is Level.ERROR


def test_a_changed_byte_of_the_model_is_noticed(db: None, settings: Settings, tmp_path: Path) -> None:
    shipped = api.locate_artifact()
    copy = tmp_path / "9.9.9"
    shutil.copytree(shipped, copy)
    settings.MODEL_DIR = tmp_path
    assert api.verify_version("9.9.9").version == shipped.name
    weights = copy / "weights.npz"
    content = bytearray(weights.read_bytes())
    content[1000] ^= 1
    weights.write_bytes(content)
    with pytest.raises(api.ArtifactCorruptError):
        api.verify_version("9.9.9")


def test_workers_that_go_on_with_another_version_are_warned_of(db: None) -> None:
    heartbeat.start_worker(name="w:1", model_version="1.0.0", engine="x")
    heartbeat.describe_model(name="w:1", model_version="1.0.0", engine="x", model_error="2.0.0 is corrupt")
    assert level_of(parts.check_model, "still serving 1.0.0") is Level.WARNING


def test_films_that_nobody_calls_for_are_warned_of(doctor: User) -> None:
    make_case(doctor, queued_at=timezone.now() - timedelta(hours=1))
    assert level_of(parts.check_queue, "1 film(s)", "reconcile") is Level.WARNING


# The machine


@pytest.mark.parametrize(("free", "level"), [(2**40, Level.OK), (3 * 2**30, Level.WARNING), (2**20, Level.ERROR)])
def test_a_disk_that_fills_is_told(free: int, level: Level) -> None:
    with mock.patch("shutil.disk_usage", return_value=mock.Mock(free=free)):
        assert level_of(machine.check_disk) is level


@pytest.mark.parametrize(
    ("mode", "level"),
    [(0o600, Level.OK), (0o400, Level.OK), (0o640, Level.WARNING), (0o604, Level.ERROR), (0o644, Level.ERROR)],
)
def test_a_secrets_file_that_others_read_is_told(settings: Settings, tmp_path: Path, mode: int, level: Level) -> None:
    path = tmp_path / "token"
    path.touch()
    path.chmod(mode)
    settings.SECRET_FILES = {"METRICS_TOKEN": path}
    assert level_of(machine.check_secret_modes, *(["METRICS_TOKEN"] if level is not Level.OK else [])) is level


def test_an_open_state_directory_is_told_only_with_open_files_in_it(settings: Settings, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    database_file = tmp_path / "portal.sqlite3"
    database_file.touch()
    database_file.chmod(0o644)
    tmp_path.chmod(0o700)
    assert level_of(machine.check_state_directory) is Level.OK
    tmp_path.chmod(0o755)
    assert level_of(machine.check_state_directory, "portal.sqlite3", "chmod 700") is Level.ERROR
    database_file.chmod(0o600)
    assert level_of(machine.check_state_directory) is Level.OK


def test_every_secret_that_the_portal_made_itself_is_looked_at(settings: Settings, tmp_path: Path) -> None:
    made = {path.name for path in settings.SECRET_FILES.values() if path.parent == settings.VAR_DIR}
    assert {"secret_key", "audit_key"} <= made <= set(machine.CONFIDENTIAL)
    settings.VAR_DIR = tmp_path
    tmp_path.chmod(0o755)
    (tmp_path / "audit_key").touch(mode=0o644)
    assert level_of(machine.check_state_directory, "audit_key") is Level.ERROR


def test_films_are_for_their_group_only_where_a_proxy_sends_them(settings: Settings, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    tmp_path.chmod(0o711)
    (tmp_path / "media").mkdir()
    (tmp_path / "media").chmod(0o750)
    assert level_of(machine.check_state_directory, "media") is Level.ERROR
    settings.LOCAL_FILMS_BY_PROXY = "/films/"
    assert level_of(machine.check_state_directory) is Level.OK
    (tmp_path / "media").chmod(0o755)
    assert level_of(machine.check_state_directory, "media") is Level.ERROR


# Transport


def test_plain_http_for_other_machines_is_told(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1", "portal.hospital.example"]
    assert level_of(transport.check_transport, "portal.hospital.example", "TLS") is Level.ERROR


def test_production_without_tls_is_told(settings: Settings) -> None:
    settings.EMBEDDED, settings.SECURE_SSL_REDIRECT = False, False
    assert level_of(transport.check_transport, "security.W008") is Level.WARNING


def test_debug_is_told(settings: Settings) -> None:
    settings.DEBUG = True
    assert level_of(transport.check_debug) is Level.ERROR


def test_a_mail_server_that_does_not_answer_is_told(settings: Settings) -> None:
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", 1, 1
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    assert level_of(transport.check_mail, "127.0.0.1", "ConnectionRefusedError") is Level.ERROR
    settings.EMBEDDED, settings.EMAIL_HOST = False, ""
    assert level_of(transport.check_mail, "EMAIL_HOST") is Level.WARNING


def test_settings_that_stop_the_start_are_one_line(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "VAR_DIR": str(tmp_path), "PORTAL_PROFILE": "production"}
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["The settings are wrong: DATABASE_URL is required outside the embedded set-up."]


@pytest.mark.model
def test_the_running_portal_is_well(portal: Portal) -> None:
    told = json.loads(portal.manage("doctor", "--json"))
    assert told["ok"], told
    levels = {finding["part"]: finding["level"] for finding in told["findings"]}
    assert levels["worker"] == levels["redis"] == levels["model"] == "ok"
