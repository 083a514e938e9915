"""What is wrong with an installation, in plain words, and how to mend it: the list of all checks."""

import logging
from collections.abc import Callable

from django.db import DatabaseError

from diagnostics.services.checkup import backups, database, machine, parts, redis, transport
from diagnostics.services.checkup.findings import Finding, Level

Check = Callable[[], Finding]
CHECKS: dict[str, Check] = {
    "database": database.check_answers,
    "database durability": database.check_durability,
    "database integrity": database.check_integrity,
    "migrations": database.check_migrations,
    "cache table": database.check_cache_table,
    "clock": database.check_clock,
    "redis": redis.check_answers,
    "redis settings": redis.check_settings,
    "redis log-in": redis.check_log_in,
    "storage": parts.check_storage,
    "bucket": parts.check_bucket,
    "model": parts.check_model,
    "worker": parts.check_worker,
    "queue": parts.check_queue,
    "backup": backups.check_backup,
    "disk": machine.check_disk,
    "secrets": machine.check_secret_modes,
    "state directory": machine.check_state_directory,
    "transport": transport.check_transport,
    "debug": transport.check_debug,
    "mail": transport.check_mail,
}

logger = logging.getLogger(__name__)


def examine() -> dict[str, Finding]:
    """Every check by its name; one that fails is a finding itself and keeps no other from being made."""
    return {name: _carry_out(name, check) for name, check in CHECKS.items()}


def _carry_out(name: str, check: Check) -> Finding:
    try:
        return check()
    except DatabaseError as error:
        logger.debug("%s: %s", name, type(error).__name__)
        return Finding(Level.ERROR, "cannot be told: the database does not answer, or lacks its tables", "Mend that first.")
    except Exception:  # whatever a library raises on a broken machine: the other checks must go on
        logger.exception("the check of %s failed", name)
        return Finding(Level.ERROR, "could not be checked", "The log says why.")


__all__ = ["CHECKS", "Finding", "Level", "examine"]
