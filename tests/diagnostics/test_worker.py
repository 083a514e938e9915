"""The RQ worker: one queue, JSON, our function alone; and the watchdog that no native hang survives."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from diagnostics import queue, worker
from diagnostics.jobs import AnalysisJob
from tests.portal import ROOT
from tests.servers import redis_server, wait_until

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield Redis.from_url(url)


def test_a_worker_listens_to_one_queue_only(redis: Redis) -> None:
    queues = [Queue(name, connection=redis, serializer=JSONSerializer) for name in ("analysis", "other")]
    with pytest.raises(ImproperlyConfigured, match="One queue"):
        worker.InferenceWorker(queues, connection=redis).work(burst=True)


def test_what_the_plain_rqworker_command_passes_is_overridden(redis: Redis) -> None:
    listener = worker.InferenceWorker(
        ["analysis"], connection=redis, worker_ttl=420, serializer="rq.serializers.DefaultSerializer", job_class=Job
    )
    assert (listener.worker_ttl, listener.job_class) == (worker.WORKER_TTL, AnalysisJob)
    assert listener.serializer is JSONSerializer
    assert listener.log_job_description is False


def test_a_job_that_names_another_function_is_refused(redis: Redis) -> None:
    smuggled = AnalysisJob.create("os.system", args=("true",), connection=redis, serializer=JSONSerializer)
    with pytest.raises(PermissionError):
        _ = smuggled.func


def test_our_own_function_is_found(redis: Redis) -> None:
    job = AnalysisJob.create("diagnostics.tasks.analyse_case", args=("x",), connection=redis, serializer=JSONSerializer)
    assert job.func.__name__ == "analyse_case"


def test_a_process_without_a_model_says_so() -> None:
    with pytest.raises(ImproperlyConfigured, match="run_worker"):
        worker.current_pipeline()


HANG = """
import os, sys, threading
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
os.environ["WORKER_STALL_SECONDS"] = "2"
import django
django.setup()
from diagnostics.models import Case
from diagnostics.pipeline import Pipeline
from tests.diagnostics.stub_model import StubPredictor
pipeline = Pipeline(predictor=StubPredictor(), name="x:1")
pipeline._take([Case()])
import re
re.match(r"(a+)+$", "a" * 64 + "b")  # one C call that never returns and never lets go of the interpreter
"""


def test_native_code_that_never_returns_ends_the_process(tmp_path: Path) -> None:
    environment = os.environ | {"VAR_DIR": str(tmp_path)}
    command = [sys.executable, "-c", textwrap.dedent(HANG)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Timeout" in done.stderr


LISTEN = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django
django.setup()
from unittest import mock
from django.core.management import call_command
from diagnostics import worker
from mlmodel import api
from tests.diagnostics.stub_model import StubPredictor
call_command("migrate", verbosity=0)
print("starting", flush=True)
with mock.patch.object(api, "load", return_value=StubPredictor()):
    worker.run()
"""


def is_listening(connection: Redis) -> bool:
    """Idle, not merely born: between the two RQ has not taken the signals over yet."""
    return any(connection.hget(key, "state") == b"idle" for key in connection.smembers("rq:workers"))


@pytest.mark.parametrize("when", ["before the worker starts", "while it listens"])
def test_a_worker_stops_in_good_time_though_redis_hangs(tmp_path: Path, when: str) -> None:
    with redis_server(tmp_path) as url:
        connection = Redis.from_url(url)
        server = int(connection.info("server")["process_id"])
        environment = os.environ | {"VAR_DIR": str(tmp_path), "REDIS_URL": url}
        with subprocess.Popen([sys.executable, "-c", LISTEN], cwd=ROOT, env=environment, stdout=subprocess.PIPE) as child:
            try:
                assert child.stdout is not None
                child.stdout.readline()
                if when == "while it listens":
                    wait_until(lambda: is_listening(connection), "the worker's first wait for a call")
                os.kill(server, signal.SIGSTOP)
                time.sleep(3)  # it has asked, and waits for the answer
                child.terminate()
                assert child.wait(15) == 0
            finally:
                os.kill(server, signal.SIGCONT)
                child.kill()


def test_a_case_that_is_rung_for_again_does_not_fill_the_queue(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "web_connection", lambda: redis)
    waiting = queue.analysis_queue(redis)
    redis.flushdb()
    case_id = uuid4()
    assert [queue.ring(case_id) for _ in range(3)] == [True] * 3
    assert [list(job.args) for job in waiting.jobs] == [[str(case_id)]]
    assert queue.ring(uuid4())
    assert len(waiting) == 2
