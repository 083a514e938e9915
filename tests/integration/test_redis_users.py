"""The Redis user that ships: enough for web processes and workers, and for nothing else."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.portal import ROOT, Portal, running_portal
from tests.servers import free_port, redis_server, wait_until

pytestmark = [
    pytest.mark.redis,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed"),
]
PASSWORD = "three blue kettles"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Redis with deploy's users and settings, and one user more that looks on."""
    directory = tmp_path_factory.mktemp("redis")
    users = (ROOT / "deploy/redis/users.acl").read_text(encoding="utf-8")
    digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
    acl = directory / "users.acl"
    acl.write_text(users.replace("PASSWORD_SHA256", digest) + "user observer on nopass ~* &* +@all\n", encoding="utf-8")
    shipped = (ROOT / "deploy/redis/redis.conf").read_text(encoding="utf-8")
    config = directory / "redis.conf"
    config.write_text(shipped.replace("/etc/redis/users.acl", str(acl)), encoding="utf-8")
    port = free_port()
    with redis_server(directory, port=port, config=config):
        yield port


def connect(port: int, username: str, password: str = "") -> Any:
    return redis.Redis(port=port, username=username, password=password)


@pytest.fixture(scope="module")
def guarded_portal(guarded: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    url = f"redis://portal:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{guarded}/0"
    with running_portal(tmp_path_factory.mktemp("guarded"), {"REDIS_URL": url, "WORKER_POLL_SECONDS": "30"}) as running:
        yield running


@pytest.mark.model
def test_films_are_analysed_on_call_and_no_command_is_denied(guarded: int, guarded_portal: Portal, film_jpeg: bytes) -> None:
    observer = connect(guarded, "observer")
    observer.acl_log_reset()
    with observer.monitor() as monitor:
        case = guarded_portal.upload(film_jpeg).json()["id"]
        guarded_portal.wait_for(case, seconds=25)  # sooner than the worker looks by itself: it was called
        seen = next(entry for entry in monitor.listen() if case in entry["command"])
    assert "evalsha" in seen["command"].lower() or "rq:" in seen["command"]
    told = json.loads(guarded_portal.manage("doctor", "--json"))
    assert {finding["part"]: finding["level"] for finding in told["findings"]}["redis log-in"] == "ok"
    assert observer.acl_log() == []


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
        "CONFIG GET *",
        "EVAL return 0",
        "SHUTDOWN",
        "ACL LIST",
        "MONITOR",
        "SAVE",
    ],
)
def test_what_the_portal_does_not_need_is_denied(guarded: int, command: str) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        connect(guarded, "portal", PASSWORD).execute_command(*command.split())


def test_other_keys_are_out_of_reach_and_nobody_comes_in_without_a_name(guarded: int) -> None:
    portal: Any = connect(guarded, "portal", PASSWORD)
    with pytest.raises(redis.exceptions.NoPermissionError):
        portal.get("sessions:1")
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=guarded).ping()
    assert portal.ping()


@pytest.mark.model
def test_a_job_that_names_another_function_runs_nothing(guarded: int, guarded_portal: Portal, film_jpeg: bytes) -> None:
    """Whoever could write to Redis could name a function: this one would make a file."""
    trace: Path = guarded_portal.var_dir / "trace"
    hostile: Any = connect(guarded, "portal", PASSWORD)
    for number, function in enumerate(("os.system", "subprocess.check_call", "diagnostics.jobs.os.system")):
        body = json.dumps([function, None, [f"touch {trace}"], {}])
        job = {
            "status": "queued",
            "origin": "analysis",
            "data": body,
            "created_at": "2026-01-01T00:00:00.000000Z",
            "timeout": "60",
        }
        hostile.hset(f"rq:job:hostile-{number}", mapping=job)
        hostile.rpush("rq:queue:analysis", f"hostile-{number}")
    wait_until(lambda: hostile.llen("rq:queue:analysis") == 0, "the worker's taking of the jobs", seconds=30)
    case = guarded_portal.wait_for(guarded_portal.upload(film_jpeg).json()["id"], seconds=25)  # and the worker goes on
    assert case["state"] in {"done", "refused"}
    assert not trace.exists()
