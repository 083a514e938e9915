"""The fixed cast, films to upload, and a running portal."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from pytest_django import DjangoDbBlocker, Settings

from accounts import audit_triggers, mailing
from accounts.models import Hospital, Role, User
from tests.factories import HospitalFactory, UserFactory
from tests.portal import ROOT, Portal, running_portal
from tests.servers import postgres_is_here, s3_server

SHARED = ROOT.parent / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name what cannot be tested here instead of failing on it."""
    missing = {
        "shared_data": None if SHARED.is_dir() else "the films beside the project are not here",
        "postgres": None if postgres_is_here() else "PostgreSQL is not installed",
        "browser": None if Path("/usr/bin/chromium").exists() else "Chromium is not installed",
    }
    for item in items:
        for marker, reason in missing.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _own_storage(tmp_path: Path, settings: Settings) -> None:
    """Each test has a storage of films of its own."""
    films = {"BACKEND": "diagnostics.storage.DurableFileStorage", "OPTIONS": {"location": tmp_path / "media"}}
    settings.STORAGES = {**settings.STORAGES, "films": films}


@pytest.fixture(autouse=True)
def _mail_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail is in the outbox when the answer is there."""
    monkeypatch.setattr(mailing, "run_later", lambda work: work())


@pytest.fixture(autouse=True)
def _fresh_rate_limits(request: pytest.FixtureRequest) -> None:
    if "db" in request.fixturenames:
        request.getfixturevalue("db")
        cache.clear()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """The cache is a table too. The audit log's triggers would keep its rows between tests; its own put them back."""
    with django_db_blocker.unblock():
        call_command("createcachetable", verbosity=0)
        audit_triggers.remove(connection)


@pytest.fixture
def hospital(db: None) -> Hospital:
    return HospitalFactory(name="Riverside")


@pytest.fixture
def doctor(hospital: Hospital) -> User:
    return UserFactory(hospital=hospital, email="doctor@riverside.example", full_name="Dora Doctor")


@pytest.fixture
def colleague(hospital: Hospital) -> User:
    return UserFactory(hospital=hospital, email="colleague@riverside.example", full_name="Carl Colleague")


@pytest.fixture
def stranger(db: None) -> User:
    return UserFactory(hospital=HospitalFactory(name="Hillcrest"), email="stranger@hillcrest.example")


@pytest.fixture
def radiologist(hospital: Hospital) -> User:
    return UserFactory(hospital=hospital, email="radiologist@riverside.example", role=Role.RADIOLOGIST)


@pytest.fixture
def admin_user(hospital: Hospital) -> User:
    return UserFactory(hospital=hospital, email="admin@riverside.example", role=Role.ADMIN)


@pytest.fixture
def operator(hospital: Hospital) -> User:
    return UserFactory(hospital=hospital, email="operator@riverside.example", role=Role.OPERATOR)


@pytest.fixture(scope="session")
def film_jpeg() -> bytes:
    """A drawn film without opacities."""
    from diagnostics import phantom

    return phantom.encode_jpeg(phantom.draw_film(seed=1))


@pytest.fixture(scope="session")
def film_dicom() -> bytes:
    """A drawn film of a child of three, as a digital radiograph."""
    from diagnostics import phantom

    return phantom.encode_dicom(phantom.draw_film(seed=2, opacity=phantom.Opacity()))


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """The embedded portal, as `make run` starts it: SQLite, files, private Redis, one worker."""
    with running_portal(tmp_path_factory.mktemp("portal")) as running:
        yield running


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An S3 protocol server with a bucket, as the settings that name it."""
    with s3_server(tmp_path_factory.mktemp("s3")) as answers:
        yield answers
