"""A worker's hold on versions, over a registry that a test moves."""

from typing import Any, cast

import pytest

from diagnostics.services import heartbeat
from diagnostics.services.serving import Serving
from mlmodel import api
from tests.diagnostics.versions import Registry, VersionStub


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
