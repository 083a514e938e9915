"""The rows are the truth: are they there, do they survive a power cut, and is the schema this release's?"""

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from diagnostics import metrics
from diagnostics.services.checkup.findings import Finding, error, ok, warning, worst

CLOCKS_APART, CLOCKS_FAR_APART = 5.0, 60.0  # seconds
SYNCHRONOUS_FULL = 2


def check_answers() -> Finding:
    if metrics.check_database() != "ok":
        return error("does not answer", "Start it, and look at DATABASE_URL. Without it nothing works.")
    return ok(f"{connection.display_name} answers")


def check_durability() -> Finding:
    """An accepted film's row must survive a power cut."""
    return _postgres_durability() if _is_postgres() else _sqlite_durability()


def _postgres_durability() -> Finding:
    off = [name for name in ("fsync", "full_page_writes", "synchronous_commit") if _ask(f"SHOW {name}") == "off"]
    if off:
        return error(f"{', '.join(off)} off: accepted films may be lost in a power cut", "Switch on in postgresql.conf.")
    return ok("every commit is on the disk before it is answered")


def _sqlite_durability() -> Finding:
    mode, synchronous = _ask("PRAGMA journal_mode"), _ask("PRAGMA synchronous")
    if mode != "wal" or synchronous < SYNCHRONOUS_FULL:
        return error(
            f"journal_mode is {mode} and synchronous {synchronous}: accepted films may be lost in a power cut",
            "The portal sets WAL and FULL itself; a file system without shared memory (a network share) refuses WAL. Move "
            "VAR_DIR to a local disk.",
        )
    return ok("every commit is on the disk before it is answered")


def check_integrity() -> Finding:
    if not _is_postgres():
        found = _ask("PRAGMA quick_check(1)")
        restore = "Stop the portal and restore the last backup; keep the damaged file."
        return ok("the database file is whole") if found == "ok" else error("the database file is damaged", restore)
    if failures := _ask("SELECT coalesce(sum(checksum_failures), 0) FROM pg_stat_database"):
        return error(f"{failures} page(s) with a wrong checksum", "Look at the disk, and restore from a backup.")
    if _ask("SHOW data_checksums") == "off":
        return warning("pages have no checksums: a failing disk is noticed late", "Switch them on with pg_checksums --enable.")
    return ok("no page with a wrong checksum")


def check_migrations() -> Finding:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        names = ", ".join(f"{migration.app_label} {migration.name}" for migration, _ in missing[:3])
        return error(f"{len(missing)} not applied: {names}", "Run: manage.py prepare")
    return ok("all applied")


def check_cache_table() -> Finding:
    """Rate limits and used one-time codes lie there."""
    table = settings.CACHES["default"]["LOCATION"]
    if table not in connection.introspection.table_names():
        return error(f"the table {table} is missing: nobody can log in", "Run: manage.py prepare")
    return ok("there")


def check_clock() -> Finding:
    """Leases go by the database's clock, one-time codes and sessions by this machine's."""
    if not _is_postgres():
        return ok("database and portal go by one clock")
    theirs: datetime = _ask("SELECT clock_timestamp()")
    apart = abs((timezone.now() - theirs.astimezone(UTC)).total_seconds())
    mend = "Let both machines follow a time server (chrony, systemd-timesyncd)."
    complaints = []
    if apart >= CLOCKS_APART:
        complain = error if apart >= CLOCKS_FAR_APART else warning
        complaints.append(complain(f"this machine's is {apart:.0f} s from the database's", mend))
    return worst(complaints, otherwise=f"within {max(apart, 0.1):.1f} s of the database's")


def _is_postgres() -> bool:
    return connection.vendor == "postgresql"


def _ask(statement: str) -> Any:
    """The only value of a query."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
    return row[0] if row else None
