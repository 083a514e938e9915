"""Redis only wakes the worker: what is wrong with it costs seconds, never a film. An open one is another matter."""

import re
from typing import Any

from django.conf import settings
from redis.exceptions import RedisError

from diagnostics import metrics, queue
from diagnostics.services.checkup.findings import Finding, error, ok, warning, worst

# With the fix of CVE-2025-49844 (Lua, which RQ needs): the first good release of each line
MENDED = ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2))
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def check_answers() -> Finding:
    if metrics.check_redis() != "ok":
        return warning(
            f"does not answer: films are accepted and analysed all the same, up to {settings.WORKER_POLL_SECONDS:g} s later",
            "Start it, and look at REDIS_URL.",
        )
    return ok("answers")


def check_settings() -> Finding:
    """By INFO alone: the portal's own Redis user may not read the configuration."""
    facts = _info()
    if not facts:
        return ok("not asked: it does not answer")
    complaints = []
    if not facts.get("aof_enabled"):
        complaints.append(warning("appendonly is off: a restart forgets wake-up calls", "Set appendonly yes."))
    if facts.get("maxmemory_policy", "noeviction") != "noeviction":
        complaints.append(
            warning(
                f"maxmemory-policy is {facts['maxmemory_policy']}: wake-up calls may be thrown away",
                "Set maxmemory-policy noeviction.",
            )
        )
    version = str(facts.get("redis_version", ""))
    if not _is_own() and not _is_mended(version):
        complaints.append(
            warning(
                f"version {version} may lack the fix of CVE-2025-49844",
                "Update it; a distribution's package may have the fix under an older number (Debian 12: 7.0.15-1~deb12u10).",
            )
        )
    return worst(complaints, otherwise=f"version {version}, as recommended")


def check_log_in() -> Finding:
    """Whoever reaches Redis could ring for workers, or empty the queue."""
    if _is_own():
        return ok("a socket that only this user reaches")
    complaints = []
    if not settings.REDIS.get("password"):
        complaints.append(error("there is no password", "Make a user with deploy/redis/users.acl, and name it in REDIS_URL."))
    elif settings.REDIS.get("username") in {None, "default"}:
        complaints.append(
            warning("the portal logs in as the default user, who may do anything", "Make a user with deploy/redis/users.acl.")
        )
    if not settings.REDIS.get("ssl") and settings.REDIS["host"] not in LOOPBACK:
        complaints.append(warning("the password crosses the network in the clear", "Use rediss:// in REDIS_URL."))
    return worst(complaints, otherwise="a user of its own, with a password")


def _is_own() -> bool:
    return "unix_socket_path" in settings.REDIS


def _is_mended(version: str) -> bool:
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    line = next((good for good in MENDED if good[:2] == numbers[:2]), None)
    return numbers >= line if line else numbers > MENDED[-1]


def _info() -> dict[str, Any]:
    try:
        facts: Any = queue.web_connection().info()
    except RedisError:
        return {}
    return dict(facts)
