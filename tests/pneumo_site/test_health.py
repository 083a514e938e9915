"""Health, readiness and metrics: who may ask, and what they are told."""

from unittest import mock

import pytest
from django.test import Client
from pytest_django import Settings

from diagnostics import queue
from diagnostics.models import Worker
from diagnostics.services import heartbeat


def test_the_process_answers_without_asking_anything(client: Client) -> None:
    assert client.get("/healthz").content == b"ok\n"


def test_ready_names_each_part(client: Client, db: None) -> None:
    heartbeat.start_worker(name="w:1", model_version="1", engine="x")
    with mock.patch.object(queue, "ping", return_value=True):
        answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "parts": {"database": "ok", "storage": "ok", "redis": "ok", "worker": "ok", "model": "ok"},
    }


@pytest.mark.parametrize("part", ["redis", "worker"])
def test_a_part_that_is_down_makes_503(client: Client, db: None, part: str) -> None:
    if part != "worker":
        heartbeat.start_worker(name="w:1", model_version="1", engine="x")
    with mock.patch.object(queue, "ping", return_value=part != "redis"):
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"][part] != "ok"


def test_a_worker_that_goes_on_with_the_old_version_is_degraded_and_ready(client: Client, db: None) -> None:
    heartbeat.start_worker(name="w:1", model_version="1.0.0", engine="x")
    heartbeat.describe_model(name="w:1", model_version="1.0.0", engine="x", model_error="2.0.0 is corrupt")
    with mock.patch.object(queue, "ping", return_value=True):
        answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (200, True)
    assert answer.json()["parts"]["model"] == "degraded: 2.0.0 is corrupt, still serving 1.0.0"


def test_a_worker_that_could_not_start_leaves_the_reason(client: Client, db: None) -> None:
    for _ in range(3):  # a supervisor starts it again and again
        heartbeat.record_failed_start(host="host", model_error="2.0.0 is corrupt")
    with mock.patch.object(queue, "ping", return_value=True):
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"] | {"storage": "ok"} == {
        "database": "ok",
        "storage": "ok",
        "redis": "ok",
        "worker": "no worker",
        "model": "degraded: 2.0.0 is corrupt",
    }
    assert Worker.objects.count() == 1
    heartbeat.start_worker(name="w:1", model_version="1.0.0", engine="x")
    assert client.get("/readyz").json()["parts"]["model"] == "ok"


def test_metrics_are_for_loopback_alone_without_a_token(client: Client, db: None) -> None:
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="10.0.1.7").status_code == 403
    assert client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 403


def test_metrics_are_for_the_tokens_bearer(client: Client, db: None, settings: Settings) -> None:
    settings.METRICS_TOKEN = "s3cret"
    assert client.get("/metrics").status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 403
    assert client.get("/metrics", REMOTE_ADDR="10.0.1.7", headers={"Authorization": "Bearer s3cret"}).status_code == 200


@pytest.mark.parametrize("address", ["/healthz", "/readyz", "/accounts/login/"])
def test_every_answer_carries_the_headers(client: Client, db: None, address: str) -> None:
    headers = client.get(address).headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "no-store" in headers["Cache-Control"]
