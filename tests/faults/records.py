"""What the database and the storage hold, read without the portal's code."""

import contextlib
import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg

FINAL = ("done", "refused", "failed")


@dataclass(slots=True)
class Row:
    """A case, and what was predicted of it: (version, probability, heatmap's key)."""

    id: str
    key: str
    sha256: str
    state: str
    attempt: int
    refusal: str
    failure: str
    original_key: str
    display: str
    predictions: list[tuple[str, float, str]] = field(default_factory=list)


class Records:
    """The tables behind a DATABASE_URL. Raises the driver's errors while the database is away."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._connection: Any = None

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows; asked once more where the connection is of before a restart."""
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(psycopg.Error, sqlite3.Error):
                    return self._run(query, values)
                self._drop()
            try:
                return self._run(query, values)
            except Exception:
                self._drop()
                raise

    def _run(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        cursor = self._connect().cursor()
        cursor.execute(query.replace("%s", "?") if self.url.startswith("sqlite") else query, values)
        return list(cursor.fetchall())

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Nobody reads during the block, and nobody keeps a file of before it."""
        with self._lock:
            self._drop()
            yield

    def close(self) -> None:
        with self.closed():
            return

    def _connect(self) -> Any:
        if self._connection is None:
            if self.url.startswith("sqlite"):
                there = f"file:{urlsplit(self.url).path}?mode=rw"  # and never made anew while its disk is away
                self._connection = sqlite3.connect(there, uri=True, timeout=20, check_same_thread=False, isolation_level=None)
            else:
                self._connection = psycopg.connect(self.url, connect_timeout=3, autocommit=True)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None

    def cases(self, run: str) -> dict[str, Row]:
        """The cases of a run, known by their idempotency keys."""
        columns = "id, idempotency_key, sha256, state, attempt, refusal_code, failure_code, original_key, display"
        found = self.ask(f"SELECT {columns} FROM diagnostics_case WHERE idempotency_key LIKE %s", f"{run}/%")  # noqa: S608
        rows = {plain(row[0]): Row(plain(row[0]), *row[1:]) for row in found}
        predictions = self.ask(
            "SELECT p.case_id, p.model_version, p.probability, p.heatmap_key FROM diagnostics_prediction p"
            " JOIN diagnostics_case c ON c.id = p.case_id WHERE c.idempotency_key LIKE %s AND NOT p.is_shadow",
            f"{run}/%",
        )
        for case_id, *prediction in predictions:
            if (row := rows.get(plain(case_id))) is not None:
                row.predictions.append((prediction[0], prediction[1], prediction[2]))
        return rows

    def final_keys(self, run: str) -> set[str]:
        found = self.ask(
            "SELECT idempotency_key FROM diagnostics_case"
            " WHERE idempotency_key LIKE %s AND state IN ('done', 'refused', 'failed')",
            f"{run}/%",
        )
        return {key for (key,) in found}

    def in_work(self, worker_like: str = "%") -> int:
        """Cases that a worker whose name is like that has claimed."""
        query = "SELECT count(*) FROM diagnostics_case WHERE state = 'processing' AND worker LIKE %s"
        return int(self.ask(query, worker_like)[0][0])

    def object_keys(self) -> set[str]:
        """Every object that some row names or stands for."""
        cases = self.ask("SELECT id, original_key, display FROM diagnostics_case")
        keys = {key for _, key, _ in cases}
        keys |= {f"displays/{plain(case_id)}" for case_id, _, _ in cases}
        keys |= {key for (key,) in self.ask("SELECT heatmap_key FROM diagnostics_prediction")}
        return keys


def plain(value: Any) -> str:
    """A UUID as text, however the database keeps it."""
    return str(value if isinstance(value, UUID) else UUID(str(value)))


class FileObjects:
    """Films in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def keys(self) -> set[str]:
        return {str(path.relative_to(self.directory)) for path in self.directory.rglob("*") if path.is_file()}

    def sha256(self, key: str) -> str:
        return hashlib.sha256((self.directory / key).read_bytes()).hexdigest()


class BucketObjects:
    """Films in a bucket, read past the faults."""

    def __init__(self, client: Any, bucket: str) -> None:
        self.client, self.bucket = client, bucket

    def keys(self) -> set[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {item["Key"] for page in pages for item in page.get("Contents", ())}

    def sha256(self, key: str) -> str:
        body: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return hashlib.sha256(body).hexdigest()


Objects = FileObjects | BucketObjects
