"""What the frame asks of this room: are storage, queue and worker there?"""

from collections.abc import Callable

from django.db import DatabaseError

from diagnostics import queue, storage
from diagnostics.exceptions import StorageUnavailableError
from diagnostics.models import Worker
from diagnostics.services.heartbeat import SILENT_SECONDS


def collect_readiness() -> dict[str, Callable[[], str]]:
    """Checks by the name of their part; each returns `ok` or what is wrong, in words without data."""
    return {"storage": check_storage, "redis": check_redis, "worker": check_worker}


def check_storage() -> str:
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
