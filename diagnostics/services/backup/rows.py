"""The database as one stream, out and in: pg_dump and pg_restore, or SQLite's own online copy.

Sessions and the cache are left out: a log-in that has ended must not come back to life with an old backup.
"""

import fcntl
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

from accounts.models import AuditEvent, User
from diagnostics.exceptions import BackupError
from diagnostics.models import Case
from diagnostics.services.backup.sealing import Readable

LOCK = 0x6261636B7570  # "backup", among the advisory locks of this database: a night of copying keeps nobody from `prepare`
BUSY = "Another backup or restore is running. Nothing was done."


def passing_tables() -> tuple[str, str]:
    """Whose rows are not worth keeping."""
    return "django_session", str(settings.CACHES["default"]["LOCATION"])


@contextmanager
def only_backup() -> Iterator[None]:
    """Two backups at once would remove each other's files, and one beside a restore would hold half of everything.

    Held by the database, on a connection of its own, since a restore closes the other: a process that dies lets go of it.
    Raises `BackupError` where another holds it.
    """
    if connection.vendor == "postgresql":
        beside = connection.copy()
        try:
            if not _ask(beside, f"SELECT pg_try_advisory_lock({LOCK})"):
                raise BackupError(BUSY)
            try:
                yield
            finally:  # a connection of the pool goes back there, and not away
                with suppress(BackupError):
                    _ask(beside, f"SELECT pg_advisory_unlock({LOCK})")
        finally:
            beside.close()
        return
    with (settings.VAR_DIR / "backup.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BackupError(BUSY) from error
        yield


def migrations() -> list[str]:
    """Those that the database has been through, as `app.name`."""
    return sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations())


def is_empty() -> bool:
    """No table at all, or the portal's own as `prepare` makes them, without a user, a case or an entry of the audit log."""
    telling = {"accounts_user": User.objects, "accounts_auditevent": AuditEvent.objects, "diagnostics_case": Case.objects}
    try:
        tables = set(connection.introspection.table_names())
        if not tables & set(telling):
            return not tables
        return not any(rows.exists() for table, rows in telling.items() if table in tables)
    except DatabaseError as error:
        raise BackupError("The database does not answer.") from error


@contextmanager
def dump_rows() -> Iterator[Readable]:
    """The whole database as it is at one moment. Raises `BackupError`, at the latest at the stream's end."""
    with _dump_postgres() if connection.vendor == "postgresql" else _copy_sqlite() as stream:
        yield stream


def load_rows(blocks: Iterable[bytes]) -> None:
    """Fill the database: all or nothing. Raises `BackupError`, and whatever the blocks raise."""
    if connection.vendor == "postgresql":
        _restore_postgres(blocks)
    else:
        _replace_sqlite(blocks)


def try_to_read(blocks: Iterable[bytes]) -> None:
    """Read all of it and change nothing: what a program here cannot read must be known before the present rows go.

    Raises `BackupError`, and whatever the blocks raise.
    """
    if connection.vendor == "postgresql":
        blocks = iter(blocks)
        _pipe_to_pg_restore(blocks, "--file=/dev/null")
    for _ in blocks:  # on PostgreSQL what pg_restore had no need of
        pass


def refuse_without_rights() -> None:
    """Who restores makes the tables anew: PostgreSQL lets the owner of those that are there, who may make others.

    Raises `BackupError`.
    """
    if connection.vendor != "postgresql":
        return
    not_ours = (
        "SELECT count(*) FROM pg_class JOIN pg_namespace space ON space.oid = relnamespace "
        "WHERE nspname = current_schema() AND relkind IN ('r', 'S') AND NOT pg_has_role(relowner, 'USAGE')"
    )
    if _ask(connection, not_ours) or not _ask(connection, "SELECT has_schema_privilege(current_schema(), 'CREATE')"):
        user = connection.settings_dict["USER"]
        raise BackupError(
            f"PostgreSQL's user {user} does not own the tables, or may make none. Nothing was changed. Restore with the "
            "owner's name in DATABASE_URL, as for migrations."
        )


def drop_everything() -> None:
    """What is in the database now, before another takes its place. SQLite's file is replaced as a whole."""
    if connection.vendor != "postgresql":
        return
    tables = ", ".join(connection.ops.quote_name(name) for name in connection.introspection.table_names())
    with connection.cursor() as cursor:
        if tables:
            cursor.execute(f"DROP TABLE {tables} CASCADE")
        cursor.execute("DROP FUNCTION IF EXISTS audit_refuse()")


class _Pipe:
    """A program's output, whose end is only believed when the program says that it succeeded."""

    def __init__(self, program: "subprocess.Popen[bytes]", complaints: IO[bytes]) -> None:
        self._program, self._complaints = program, complaints

    def read(self, size: int = -1, /) -> bytes:
        assert self._program.stdout is not None  # noqa: S101 - a pipe was asked for
        block = self._program.stdout.read(size)
        if not block and self._program.wait():
            raise BackupError(_complaint("pg_dump", self._complaints))
        return block


@contextmanager
def _dump_postgres() -> Iterator[Readable]:
    left_out = [f"--exclude-table-data=public.{table}" for table in passing_tables()]
    command = ["pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--lock-wait-timeout=60s", *left_out]
    with tempfile.TemporaryFile() as complaints, _client(command, complaints, stdout=subprocess.PIPE) as program:
        yield _Pipe(program, complaints)


def _restore_postgres(blocks: Iterable[bytes]) -> None:
    name = connection.settings_dict["NAME"]
    connection.close()
    _pipe_to_pg_restore(blocks, "--exit-on-error", "--single-transaction", f"--dbname={name}")


def _pipe_to_pg_restore(blocks: Iterable[bytes], *options: str) -> None:
    command = ["pg_restore", "--no-owner", "--no-privileges", *options]
    with tempfile.TemporaryFile() as complaints, _client(command, complaints, stdin=subprocess.PIPE) as program:
        assert program.stdin is not None  # noqa: S101 - a pipe was asked for
        try:
            for block in blocks:
                program.stdin.write(block)
            program.stdin.close()
        except BrokenPipeError:
            program.wait()
        if program.wait():
            raise BackupError(_complaint("pg_restore", complaints))


@contextmanager
def _client(command: list[str], complaints: IO[bytes], **pipes: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """One of PostgreSQL's programs on our database; ended where the block is left early. The password is in no argument."""
    found = connection.settings_dict
    names = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD", "PGDATABASE": "NAME"}
    own = {variable: str(found[setting]) for variable, setting in names.items() if found[setting]}
    if shutil.which(command[0]) is None:
        raise BackupError(f"{command[0]} is not installed. Install postgresql-client, as new as the server.")
    program = subprocess.Popen(command, env=os.environ | own, stderr=complaints, **pipes)  # noqa: S603 - the command is ours
    try:
        yield program
    finally:
        if program.poll() is None:
            program.kill()
        program.wait()
        for pipe in (program.stdin, program.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()


def _complaint(program: str, file: IO[bytes]) -> str:
    """What it said last, shortened: its messages name tables and servers, no rows."""
    file.seek(0)
    lines = [line for line in file.read().decode(errors="replace").splitlines() if "error" in line.lower()]
    return f"{program} failed: {lines[0][:300] if lines else 'it was ended'}"


@contextmanager
def _copy_sqlite() -> Iterator[Readable]:
    with tempfile.TemporaryDirectory(dir=settings.VAR_DIR, prefix=".backup-") as directory:
        path = Path(directory) / "rows.sqlite3"
        try:
            with closing(sqlite3.connect(_sqlite_file())) as source, closing(sqlite3.connect(path)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")
                copy.execute("PRAGMA secure_delete=ON")
                with copy:
                    for table in passing_tables():
                        copy.execute(f"DELETE FROM {table}")  # noqa: S608 - names of ours
            file = path.open("rb")
        except (OSError, sqlite3.Error) as error:
            raise BackupError(f"The database cannot be copied to {settings.VAR_DIR}: {error}.") from error
        with file:
            yield file


def _replace_sqlite(blocks: Iterable[bytes]) -> None:
    target = _sqlite_file()
    draft = target.with_name(f".{target.name}.restored")
    try:
        draft.touch(mode=0o600)
        with draft.open("wb") as file:
            for block in blocks:
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        with closing(sqlite3.connect(draft)) as restored:
            if restored.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise BackupError("The database in the backup is not whole.")
        connection.close()
        for suffix in ("-wal", "-shm"):
            target.with_name(target.name + suffix).unlink(missing_ok=True)
        draft.replace(target)
    except OSError as error:
        raise BackupError(f"{target} cannot be written: {error.strerror}.") from error
    finally:
        draft.unlink(missing_ok=True)


def _sqlite_file() -> Path:
    return Path(connection.settings_dict["NAME"])


def _ask(beside: BaseDatabaseWrapper, statement: str) -> Any:
    try:
        with beside.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0]
    except DatabaseError as error:
        raise BackupError("The database does not answer.") from error
