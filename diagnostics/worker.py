"""The RQ worker: it holds the model, listens for wake-up calls, and never forks."""

import gc
import logging
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from redis import Redis
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from diagnostics import queue
from diagnostics.jobs import AnalysisJob
from diagnostics.monitoring.instruments import start_exporter
from diagnostics.pipeline import Pipeline
from diagnostics.queue import analysis_queue
from diagnostics.services import heartbeat
from diagnostics.services.serving import say_trouble
from mlmodel import api

if TYPE_CHECKING:
    from mlmodel.api import Predictor

WORKER_TTL = 30  # seconds; a dequeue blocks for half of that
MAINTENANCE_SECONDS = 15
RECONNECT_SECONDS = 2.0

logger = logging.getLogger(__name__)
_state: dict[str, Pipeline] = {}


def current_pipeline() -> Pipeline:
    """The pipeline of this process. Raises `ImproperlyConfigured` in a process that is no worker."""
    try:
        return _state["pipeline"]
    except KeyError:
        raise ImproperlyConfigured("This process has no model: start `manage.py run_worker`.") from None


class InferenceWorker(SimpleWorker):
    """One queue, our job class, JSON; jobs run in the process that holds the model."""

    max_connection_wait_time = 2

    def __init__(self, queues: Any, *args: Any, **kwargs: Any) -> None:
        # `rqworker` passes its own defaults (pickle, 420 s) explicitly: they are overridden, not filled in.
        kwargs |= {
            "worker_ttl": WORKER_TTL,
            "maintenance_interval": MAINTENANCE_SECONDS,
            "log_job_description": False,
            "serializer": JSONSerializer,
            "job_class": AnalysisJob,
        }
        super().__init__(queues, *args, **kwargs)

    def work(self, *args: Any, **kwargs: Any) -> bool:
        if len(self.queues) != 1:
            raise ImproperlyConfigured("One queue per worker: with several, RQ loses calls when a worker is killed.")
        if "pipeline" in _state:
            return bool(super().work(*args, **kwargs))
        pipeline = start_pipeline()
        try:
            return bool(super().work(*args, **kwargs))
        finally:
            pipeline.stop()

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        return int(job.timeout or 60) + 5

    def handle_warm_shutdown_request(self) -> None:
        threading.Thread(target=current_pipeline().stopping.set).start()  # see `_install_stop`

    def teardown(self) -> None:
        # A Redis that accepts and never answers would hold up a stop: RQ allows each of its last commands 25 s.
        if not current_pipeline().stopping.is_set() or queue.ping():
            super().teardown()  # type: ignore[no-untyped-call]


def start_pipeline() -> Pipeline:
    """Load and warm the active model, and begin to analyse.

    While none is in service it begins with the version in shadow, which reads for nobody. Raises `ModelError` where the version
    to hold cannot be served: the worker does not start with another one, because results
    would bear a version that nobody chose. Films wait meanwhile, `/readyz` says why, and `rollback_model` is the way out. (A
    worker that runs already keeps the version it has: `services.serving`.)
    """
    wanted = api.versions_in_service()
    predictor = _load(wanted.active or wanted.shadow or wanted.latest)
    name = f"{socket.gethostname()}:{os.getpid()}"[:100]
    pipeline = Pipeline(predictor=predictor, name=name, follows=True, suspended=wanted.active is None)
    gc.collect()
    gc.freeze()  # the libraries and the model live as long as the process: no collection need look at them again
    start_exporter(settings.WORKER_METRICS_PORT)
    pipeline.start()
    _state["pipeline"] = pipeline
    logger.info("worker %s: model %s on %s is warm", pipeline.name, predictor.info.version, predictor.engine)
    return pipeline


def _load(version: str) -> "Predictor":
    try:
        predictor = api.load(version)
    except api.ModelError as error:
        heartbeat.record_failed_start(host=socket.gethostname(), model_error=say_trouble(version, error))
        raise
    predictor.warm_up()
    return predictor


def run() -> None:
    """Analyse until SIGTERM or SIGINT. The pipeline goes on whatever Redis does; the listener comes back when Redis does."""
    pipeline = start_pipeline()
    stopping = pipeline.stopping
    try:
        while not stopping.is_set():
            _install_stop(pipeline)
            if queue.ping():
                _listen()
            stopping.wait(RECONNECT_SECONDS)
    finally:
        pipeline.stop()
        _state.pop("pipeline", None)


def _listen() -> None:
    """Take wake-up calls until a stop is asked for or Redis fails. Entered only where Redis answers: RQ waits for it long."""
    try:
        InferenceWorker([analysis_queue(worker_connection())]).work(logging_level="WARNING")
    except RedisError as error:
        logger.warning("Redis unavailable (%s): cases are found by looking", type(error).__name__)


def worker_connection() -> Redis:
    """The listener's own connection; RQ sets its time limits to fit the blocking dequeue, and has a patience of its own."""
    return queue.connect(socket_connect_timeout=2)


def _install_stop(pipeline: Pipeline) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        # In a thread of its own: the handler interrupts a wait that may hold the event's lock.
        signal.signal(number, lambda *_: threading.Thread(target=pipeline.stopping.set).start())
