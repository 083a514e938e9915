"""Triggers that keep the audit log append-only, in the words of each database.

They stop the portal itself, its admin, and whoever holds its password from a slip or a quiet correction. The owner of a table
can drop its triggers: against that stands the chain (`accounts.audit`).

A migration that changes the table on SQLite makes it anew, without triggers: it begins and ends with `put_back`.
"""

from collections.abc import Mapping, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLE = "accounts_auditevent"
REFUSAL = "the audit log is append-only"

INSTALL: Mapping[str, Sequence[str]] = {
    "sqlite": [
        f"CREATE TRIGGER audit_no_update BEFORE UPDATE ON {TABLE} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END",
        f"CREATE TRIGGER audit_no_delete BEFORE DELETE ON {TABLE} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END",
    ],
    "postgresql": [
        f"CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$",
        f"CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
        f"CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON {TABLE} FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
    ],
}
REMOVE: Mapping[str, Sequence[str]] = {
    "sqlite": ["DROP TRIGGER IF EXISTS audit_no_update", "DROP TRIGGER IF EXISTS audit_no_delete"],
    "postgresql": [
        f"DROP TRIGGER IF EXISTS audit_no_change ON {TABLE}",
        f"DROP TRIGGER IF EXISTS audit_no_truncate ON {TABLE}",
        "DROP FUNCTION IF EXISTS audit_refuse()",
    ],
}


def install(connection: BaseDatabaseWrapper) -> None:
    _run(connection, INSTALL)


def remove(connection: BaseDatabaseWrapper) -> None:
    _run(connection, REMOVE)


def install_in_migration(_apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    install(editor.connection)


def remove_in_migration(_apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    remove(editor.connection)


def put_back(_apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    """After the table's change, whichever way the migration goes."""
    remove(editor.connection)
    install(editor.connection)


def _run(connection: BaseDatabaseWrapper, statements: Mapping[str, Sequence[str]]) -> None:
    with connection.cursor() as cursor:
        for statement in statements[connection.vendor]:
            cursor.execute(statement)
