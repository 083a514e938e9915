"""Are the parts there that the portal needs? For the frame's /readyz and for `doctor`."""

import time
from collections.abc import Callable
from functools import lru_cache

from django.db import DatabaseError, connection

from diagnostics import queue, storage
from diagnostics.exceptions import StorageUnavailableError
from diagnostics.models import Worker
from diagnostics.services.heartbeat import SILENT_SECONDS, model_trouble
from diagnostics.services.versions import suspended_since

PROBE_SECONDS = 5


def collect_readiness() -> dict[str, Callable[[], str]]:
    """Checks by the name of their part; each returns `ok` or what is wrong, in words without data.

    What begins with `degraded` is wrong and yet the part does its work.
    """
    return {
        "database": check_database,
        "storage": check_storage,
        "redis": check_redis,
        "worker": check_worker,
        "model": check_model,
    }


def check_database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "down"
    return "ok"


def check_storage() -> str:
    """A probe writes, reads and deletes: it is made again only after a few seconds, however often it is asked for."""
    return _probe_storage(int(time.monotonic() // PROBE_SECONDS))


@lru_cache(maxsize=1)
def _probe_storage(_period: int) -> str:
    try:
        storage.check_storage()
    except StorageUnavailableError:
        return "down"
    return "ok"


def check_redis() -> str:
    return "ok" if queue.ping() else "down"


def check_worker() -> str:
    try:
        return "ok" if Worker.objects.alive(seconds=SILENT_SECONDS).exists() else "no worker"
    except DatabaseError:
        return "unknown"


def check_model() -> str:
    """Whether the workers serve the active version. One that goes on with an earlier version is degraded, not lost; so is a
    portal that accepts films while no version is in service.

    Where no worker runs: what kept the last one from starting.
    """
    try:
        trouble, since = model_trouble(), suspended_since()
    except DatabaseError:
        return "unknown"
    if since:
        return f"degraded: no version in service since {since:%Y-%m-%d %H:%M} UTC, by the stop rule"
    return f"degraded: {trouble}" if trouble else "ok"
