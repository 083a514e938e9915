"""The wake-up call. The row is the queue of record; a lost call costs seconds, never a case."""

import logging
import time
from functools import cache, partial
from typing import Any
from uuid import UUID

import django_rq
from django.conf import settings
from django.db import transaction
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from rq import Queue
from rq.exceptions import DuplicateJobError

from diagnostics.jobs import ANALYSE_CASE
from diagnostics.monitoring.instruments import WAKEUPS_LOST

QUEUE_NAME = "analysis"
BREAKER_SECONDS = 5.0

logger = logging.getLogger(__name__)


@cache
def web_connection() -> Redis:
    """A connection for web processes: a server that is down is given up after a second, without a second try.

    redis-py's own default retries for four seconds.
    """
    return connect(socket_connect_timeout=1, socket_timeout=1)


def connect(**limits: Any) -> Redis:
    """A client of the server in the settings that tries nothing twice.

    It neither introduces itself (CLIENT SETINFO) nor asks to be told of maintenance: the user that ships may do neither, and
    older servers enter each try as a denial.
    """
    silent = MaintNotificationsConfig(enabled=False)
    return Redis(**settings.REDIS, **limits, retry=Retry(NoBackoff(), 0), driver_info=None, maint_notifications_config=silent)


def analysis_queue(connection: Redis) -> Queue:
    """The queue as settings describe it: JSON, our job class, our time limit."""
    return django_rq.get_queue(QUEUE_NAME, connection=connection)


class _Breaker:
    """After one failure Redis is left alone for a while, so that many uploads do not wait for it one by one."""

    def __init__(self) -> None:
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        return time.monotonic() < self._open_until

    def trip(self) -> None:
        self._open_until = time.monotonic() + BREAKER_SECONDS

    def reset(self) -> None:
        self._open_until = 0.0


_breaker = _Breaker()


def wake_worker(case_id: UUID) -> None:
    """Ring once the transaction that wrote the row has committed; called inside that block."""
    transaction.on_commit(partial(ring, case_id), robust=True)


def ring(case_id: UUID) -> bool:
    """Enqueue one job that holds the case id alone; false where Redis could not be told."""
    if _breaker.is_open:
        WAKEUPS_LOST.inc()
        return False
    try:
        # One call for a case at a time, or an outage of the workers would fill Redis with repeated ones.
        analysis_queue(web_connection()).enqueue_call(
            ANALYSE_CASE, args=(str(case_id),), job_id=f"case-{case_id}", unique=True, result_ttl=0, failure_ttl=300, ttl=3600
        )
    except DuplicateJobError:
        return True
    except RedisError as error:
        _breaker.trip()
        WAKEUPS_LOST.inc()
        logger.warning("wake-up call for case %s not delivered: %s", case_id, type(error).__name__)
        return False
    return True


def ping() -> bool:
    """Whether Redis answers."""
    try:
        return bool(web_connection().ping())
    except RedisError:
        return False
