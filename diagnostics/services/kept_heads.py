"""Ends of the audit log that were kept elsewhere: beside the films by `reconcile`, or in a file by an auditor."""

import json
from collections.abc import Iterator
from pathlib import Path

from accounts.audit import Head
from diagnostics import storage


def kept_in_storage() -> Iterator[Head]:
    """Raises `StorageUnavailableError`, `StoredFilmDamagedError`, or ValueError for one that was tampered with."""
    for stored in storage.list_folder(storage.AUDIT_HEADS):
        if not stored.is_unfinished:
            yield _parse(storage.read_film(stored.key).decode(errors="replace"), stored.key)


def kept_in_file(path: Path) -> Iterator[Head]:
    """One JSON object a line, as `verify_audit --json` prints under `head`. Raises OSError or ValueError."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            yield _parse(line, f"{path.name}:{number}")


def _parse(text: str, where: str) -> Head:
    try:
        data = json.loads(text)
        return Head(int(data["sequence"]), str(data["digest"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{where} is not a kept end of the audit log.") from error
