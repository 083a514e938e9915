"""The same portal on PostgreSQL, a Redis over TCP and an S3 protocol server."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from tests.portal import ROOT, Portal, running_portal
from tests.servers import S3_BUCKET, postgres_server, redis_server, s3_server

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.s3,
    pytest.mark.redis,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed"),
]


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    # Not below pytest's own directory: the server's user cannot enter it.
    import tempfile
    from pathlib import Path

    directory = Path(tempfile.mkdtemp(prefix="portal-pg-"))
    try:
        with postgres_server(directory) as url:
            yield url
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def large_portal(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    directory = tmp_path_factory.mktemp("large")
    with redis_server(directory) as redis_url, s3_server(directory) as s3:
        settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, **s3}
        with running_portal(directory, settings) as running:
            yield running


@pytest.mark.model
def test_uploads_at_once_all_get_their_results(large_portal: Portal, film_jpeg: bytes, film_dicom: bytes) -> None:
    films = [film_jpeg, film_dicom] * 8
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(large_portal.upload, films))
    assert [answer.status_code for answer in answers] == [201] * len(films)
    states = {large_portal.wait_for(answer.json()["id"])["state"] for answer in answers}
    assert states <= {"done", "refused"}
    assert "done" in states


@pytest.mark.model
def test_the_same_key_sent_by_many_at_once_makes_one_case(large_portal: Portal, film_jpeg: bytes) -> None:
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: large_portal.upload(film_jpeg, **{"Idempotency-Key": "race-1"}), range(8)))
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert sum(answer.status_code == 201 for answer in answers) == 1
    assert len({answer.json()["id"] for answer in answers}) == 1


@pytest.mark.model
def test_films_lie_in_the_bucket_under_our_keys_and_encrypted(large_portal: Portal, film_jpeg: bytes) -> None:
    case_id = large_portal.upload(film_jpeg, "Müller Anna.jpg").json()["id"]
    large_portal.wait_for(case_id)
    settings = large_portal.environment
    s3 = boto3.client(
        "s3",
        endpoint_url=settings["S3_ENDPOINT_URL"],
        region_name=settings["S3_REGION"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    stored = s3.get_object(Bucket=S3_BUCKET, Key=f"cases/{case_id}")
    assert stored["Body"].read() == film_jpeg
    assert stored["ServerSideEncryption"] == "AES256"


def test_the_queues_own_tests_pass_on_postgresql(database_url: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/diagnostics/test_analysis.py"]
    command += [
        "tests/diagnostics/test_reconciliation.py",
        "tests/diagnostics/test_uploads.py",
        "tests/diagnostics/test_api.py",
        "tests/diagnostics/test_pipeline_faults.py",
        "tests/diagnostics/test_reanalysis.py",
        "tests/diagnostics/test_serving.py",
        "tests/diagnostics/test_shadowing.py",
        "tests/diagnostics/test_stop_rule.py",
        "tests/diagnostics/test_suspended.py",
        "tests/diagnostics/test_quota.py",
        "tests/diagnostics/test_purging.py",
        "tests/diagnostics/test_verification.py",
        "tests/backup/test_making.py",
        "tests/mlmodel/services",
        "tests/accounts/test_audit.py",
        "tests/accounts/test_audit_locks.py",
        "tests/diagnostics/test_emergency_end.py",
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"DATABASE_URL": database_url}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
