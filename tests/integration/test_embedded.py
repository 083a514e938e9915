"""The embedded portal as `make run` starts it: from upload to result, and with parts taken away."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
import requests

from pneumo_site.databases import embedded_socket
from tests.corpus import REFUSED_AT_READING, build_corpus
from tests.integration.test_isolation import processes_of
from tests.portal import ROOT, Portal
from tests.servers import free_port, wait_until

pytestmark = pytest.mark.model


def test_a_film_gets_its_result_and_pictures(portal: Portal, film_jpeg: bytes) -> None:
    answer = portal.upload(film_jpeg)
    assert answer.status_code == 201
    case = portal.wait_for(answer.json()["id"])
    assert case["state"] == "done"
    assert 0 <= case["prediction"]["probability"] <= 1
    assert case["prediction"]["label"] in {"PNEUMONIA", "NORMAL"}


def test_a_stranger_cannot_tell_that_the_case_exists(portal: Portal, film_jpeg: bytes) -> None:
    case_id = portal.upload(film_jpeg).json()["id"]
    answer = requests.get(f"{portal.url}/api/v1/cases/{case_id}", headers=portal.bearer("stranger"), timeout=10)
    assert answer.status_code == 404


def test_bad_films_end_as_coded_refusals_and_the_worker_lives(portal: Portal, film_jpeg: bytes) -> None:
    worker = processes_of(portal, "run_worker")
    bad = {name: item for name, item in build_corpus().items() if item.expected == REFUSED_AT_READING}
    accepted = {name: portal.upload(item.data, item.file_name).json()["id"] for name, item in bad.items()}
    neighbour = portal.upload(film_jpeg).json()["id"]
    ended = {name: portal.wait_for(case_id) for name, case_id in accepted.items()}
    assert {name: (case["state"], case["code"]) for name, case in ended.items()} == {
        name: ("refused", item.reading) for name, item in bad.items()
    }
    assert portal.wait_for(neighbour)["state"] == "done"
    assert processes_of(portal, "run_worker") == worker


def test_flushing_redis_loses_no_case(portal: Portal, film_jpeg: bytes) -> None:
    connection = redis.Redis(unix_socket_path=str(embedded_socket(portal.var_dir)))
    accepted = []
    for _ in range(6):
        accepted.append(portal.upload(film_jpeg).json()["id"])
        connection.flushall()
    assert {portal.wait_for(case_id)["state"] for case_id in accepted} == {"done"}


def test_with_redis_killed_uploads_succeed_and_results_come(portal: Portal, film_jpeg: bytes) -> None:
    (server,) = processes_of(portal, "redis-server")
    os.kill(server, signal.SIGSTOP)  # stopped, not dead: it accepts connections and never answers
    try:
        started = time.monotonic()
        answers = [portal.upload(film_jpeg) for _ in range(3)]
        waited = time.monotonic() - started
        assert [answer.status_code for answer in answers] == [201] * 3
        assert {portal.wait_for(answer.json()["id"])["state"] for answer in answers} == {"done"}
        assert waited < 10
    finally:
        os.kill(server, signal.SIGCONT)
    os.kill(server, signal.SIGKILL)
    answer = portal.upload(film_jpeg)
    assert answer.status_code == 201
    assert portal.wait_for(answer.json()["id"])["state"] == "done"
    wait_until(portal.is_ready, "the return of Redis")


def test_a_worker_killed_at_work_is_replaced_and_nothing_is_lost(portal: Portal, film_jpeg: bytes) -> None:
    accepted = [portal.upload(film_jpeg).json()["id"] for _ in range(12)]
    for pid in processes_of(portal, "run_worker"):
        os.kill(pid, signal.SIGKILL)
    assert {portal.wait_for(case_id, seconds=90)["state"] for case_id in accepted} == {"done"}


def test_make_run_answers_and_ctrl_c_ends_every_process(tmp_path: Path) -> None:
    port = free_port()
    environment = os.environ | {
        "VAR_DIR": str(tmp_path),
        "PORT": str(port),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    running = Portal(f"http://127.0.0.1:{port}", tmp_path, environment)
    with (tmp_path / "run.log").open("wb") as log:
        make = subprocess.Popen(["make", "run"], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until(running.is_ready, "make run")
        assert "Demo log-ins:" in (tmp_path / "run.log").read_text()
        assert requests.get(running.url, timeout=10).url.startswith(f"{running.url}/accounts/login/")
    finally:
        os.killpg(make.pid, signal.SIGINT)  # what Ctrl-C sends: to the whole foreground group
        make.wait(60)
    wait_until(lambda: not processes_of(running, ""), "the end of every process", seconds=30)
