"""What the real processes write, gunicorn and worker too: JSON on every line, and no trace of a patient."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.portal import running_portal
from tests.servers import wait_until

pytestmark = pytest.mark.model
CANARY = "ZZPHICANARY^ANNA"
REQUEST_ID = "0af7651916cd43dd8448eb211c80319c"


def lines_of(log: Path, process: str) -> list[dict[str, Any]]:
    """Each line of one process, without the supervisor's prefix; whatever is no JSON fails."""
    said = [
        line.split("| ", 1) for line in log.read_text(encoding="utf-8").splitlines() if f" {process}." in line.split("|")[0]
    ]
    return [json.loads(parts[1]) for parts in said if len(parts) == 2 and parts[1].strip()]


def test_every_process_logs_json_without_a_trace_of_the_patient(tmp_path: Path, film_jpeg: bytes) -> None:
    with running_portal(tmp_path, {"LOG_FORMAT": "json"}) as portal:
        name = f"{CANARY}.jpg"
        answer = requests.post(
            f"{portal.url}/api/v1/cases",
            files={"file": (name, film_jpeg)},
            data={"patient_mrn": CANARY, "patient_name": CANARY, "clinical_note": CANARY},
            headers=portal.bearer("doctor"),
            timeout=60,
        )
        portal.wait_for(answer.json()["id"])
        requests.get(f"{portal.url}/nowhere/?q={CANARY}", headers={"X-Request-ID": REQUEST_ID}, timeout=30)
        log = tmp_path / "portal.log"
        wait_until(lambda: REQUEST_ID in log.read_text(), "the line of the request", seconds=20)
    web, worker = lines_of(log, "web"), lines_of(log, "worker")
    assert next(line for line in web if line.get("request_id") == REQUEST_ID)["message"] == "Not Found: /nowhere/"
    assert any("is warm" in line["message"] for line in worker)
    assert CANARY.partition("^")[0] not in log.read_text(encoding="utf-8")
