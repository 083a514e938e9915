"""A worker's hold on versions, over a registry that a test moves; and a bucket of films."""

from typing import Any, cast

import pytest
from pytest_django import Settings

from diagnostics.services import heartbeat
from diagnostics.services.serving import Serving
from mlmodel import api
from tests.diagnostics.versions import Registry, VersionStub
from tests.servers import S3_BUCKET


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    made = Registry("1.0.0")
    made.versions = {"1.0.0": VersionStub("1.0.0"), "2.0.0": VersionStub("2.0.0")}
    monkeypatch.setattr(api, "versions_in_service", made.versions_in_service)
    monkeypatch.setattr(api, "load", made.load)
    return made


@pytest.fixture
def first() -> VersionStub:
    return VersionStub("1.0.0")


@pytest.fixture
def held(first: VersionStub, registry: Registry, db: None) -> Serving:
    heartbeat.start_worker(name="w:1", model_version="1.0.0", engine="stub")
    return Serving(cast("Any", first), worker="w:1")


@pytest.fixture
def films_in_bucket(s3: dict[str, str], settings: Settings) -> None:
    options = {"bucket_name": S3_BUCKET, "endpoint_url": s3["S3_ENDPOINT_URL"], "region_name": s3["S3_REGION"]}
    options |= {"access_key": "test", "secret_key": "test"}
    films = {"BACKEND": "diagnostics.storage_s3.PrivateS3Storage", "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "films": films}
