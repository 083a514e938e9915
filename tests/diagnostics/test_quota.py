"""One user's uploads are limited by the minute and by the day; nobody else's, and never what was accepted before."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from accounts.tokens import create_api_token
from diagnostics import storage
from diagnostics.exceptions import UploadRefusedError
from diagnostics.models import Case
from diagnostics.services.quota import check_quota
from tests.diagnostics.cases import make_case, upload


@pytest.fixture(autouse=True)
def _limits(settings: Settings) -> None:
    settings.UPLOADS_PER_MINUTE, settings.UPLOAD_DAILY_FILES, settings.UPLOAD_DAILY_BYTES = 2, 0, 0


def sent(uploader: User, *, seconds_ago: float, **columns: int) -> Case:
    return make_case(uploader, state="done", created_at=timezone.now() - timedelta(seconds=seconds_ago), **columns)


def refusal_of(uploader: User, size: int = 1000) -> UploadRefusedError:
    with pytest.raises(UploadRefusedError) as caught:
        check_quota(uploader=uploader, size=size)
    assert caught.value.status == 429
    return caught.value


def test_more_than_the_minutes_films_wait_until_one_has_left_the_window(doctor: User) -> None:
    sent(doctor, seconds_ago=50)
    check_quota(uploader=doctor, size=1)
    sent(doctor, seconds_ago=20)
    error = refusal_of(doctor)
    assert error.code == "RATE_LIMITED"
    assert error.retry_after in {9, 10}
    assert "2 films a minute" in error.message
    assert "send this one again in" in error.message


def test_films_of_others_and_of_earlier_minutes_do_not_count(doctor: User, colleague: User) -> None:
    for _ in range(3):
        sent(doctor, seconds_ago=61)
        sent(colleague, seconds_ago=1)
    check_quota(uploader=doctor, size=1)


def test_the_days_films_are_limited(doctor: User, settings: Settings) -> None:
    settings.UPLOAD_DAILY_FILES = 2
    sent(doctor, seconds_ago=20 * 3600)
    check_quota(uploader=doctor, size=1)
    sent(doctor, seconds_ago=3600)
    error = refusal_of(doctor)
    assert (error.code, error.retry_after) == ("QUOTA_EXCEEDED", 4 * 3600)
    assert "(2 films)" in error.message
    assert "in 4 hours" in error.message


def test_the_days_bytes_are_limited(doctor: User, settings: Settings) -> None:
    settings.UPLOAD_DAILY_BYTES = 1024**3
    sent(doctor, seconds_ago=23 * 3600, size_bytes=600 * 1024**2)
    sent(doctor, seconds_ago=2 * 3600, size_bytes=300 * 1024**2)
    check_quota(uploader=doctor, size=124 * 1024**2)
    error = refusal_of(doctor, size=125 * 1024**2)
    assert (error.code, error.retry_after) == ("QUOTA_EXCEEDED", 3600)
    assert "(1 GB)" in error.message


def test_zero_is_no_limit_and_asks_nothing(doctor: User, settings: Settings) -> None:
    settings.UPLOADS_PER_MINUTE = 0
    with CaptureQueriesContext(
        connection,
    ) as queries:
        check_quota(uploader=doctor, size=1)
    assert not queries


def test_a_repeat_of_an_accepted_upload_is_never_refused(doctor: User, film_jpeg: bytes) -> None:
    first = upload(doctor, film_jpeg, idempotency_key="a")
    upload(doctor, film_jpeg, idempotency_key="b")
    with pytest.raises(UploadRefusedError, match="RATE_LIMITED"):
        upload(doctor, film_jpeg, idempotency_key="c")
    again = upload(doctor, film_jpeg, idempotency_key="a")
    assert (again.created, again.case) == (False, first.case)


def test_of_a_refused_film_nothing_is_stored(doctor: User, film_jpeg: bytes) -> None:
    for _ in range(2):
        sent(doctor, seconds_ago=1)
    with pytest.raises(UploadRefusedError):
        upload(doctor, film_jpeg)
    assert Case.objects.count() == 2
    assert not storage.films().exists("cases")


def test_the_api_answers_429_with_the_seconds_to_wait(client: Client, doctor: User, film_jpeg: bytes) -> None:
    for _ in range(2):
        sent(doctor, seconds_ago=1)
    _, token = create_api_token(user=doctor)
    answer = client.post(
        "/api/v1/cases", {"file": SimpleUploadedFile("f.jpg", film_jpeg)}, headers={"Authorization": f"Bearer {token}"}
    )
    assert (answer.status_code, answer.json()["code"]) == (429, "RATE_LIMITED")
    assert 55 <= int(answer.headers["Retry-After"]) <= 60
    assert "again in" in answer.json()["message"]


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_the_upload_page_answers_429_with_the_sentence(client: Client, doctor: User, film_jpeg: bytes, accept: str) -> None:
    for _ in range(2):
        sent(doctor, seconds_ago=1)
    client.force_login(doctor)
    answer = client.post("/cases/upload/", {"file": SimpleUploadedFile("f.jpg", film_jpeg)}, headers={"Accept": accept})
    assert answer.status_code == 429
    assert "more than 2 films a minute" in answer.content.decode()
    if accept == "application/json":
        assert 55 <= int(answer.headers["Retry-After"]) <= 60


def test_the_count_is_one_query_by_an_index(doctor: User) -> None:
    with CaptureQueriesContext(connection) as queries:
        check_quota(uploader=doctor, size=1)
    assert len(queries) == 1
    if connection.vendor == "sqlite":
        plan = " ".join(str(row) for row in connection.cursor().execute(f"EXPLAIN QUERY PLAN {queries[0]['sql']}").fetchall())
        assert "case_uploads" in plan


def test_the_demos_own_films_are_not_limited(db: None) -> None:
    call_command("seed_demo", stdout=StringIO())
    assert Case.objects.count() > 2
