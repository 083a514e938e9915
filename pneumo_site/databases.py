"""Connection settings from URLs: SQLite or PostgreSQL for the rows, Redis for the wake-up calls."""

import hashlib
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

SOCKET_PATH_MAX = 100  # bytes; the kernel's sun_path holds 108
# A server that the network has swallowed is noticed within seconds, not after the kernel's quarter of an hour.
POSTGRES_PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
SQLITE_PRAGMAS = "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA foreign_keys=ON;"


def sqlite_database(path: Path) -> dict[str, Any]:
    """The embedded database: write-ahead log, every commit on the disk before it is answered."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": SQLITE_PRAGMAS},
    }


def database_from_url(url: str) -> dict[str, Any]:
    """`postgresql://user:password@host:port/name` or `sqlite:////absolute/path`."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return sqlite_database(Path(unquote(parts.path)))
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"DATABASE_URL starts with postgresql:// or sqlite://. Received: {parts.scheme!r}")
    host = unquote(parts.hostname or "")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": parts.port or "",
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"pool": {"min_size": 1, "max_size": 8, "timeout": 5}, **POSTGRES_PATIENCE},
    }


def embedded_socket(var_dir: Path) -> Path:
    """Where the embedded Redis listens: `var/redis.sock`, or a short private path where that name is too long."""
    path = var_dir / "redis.sock"
    if len(bytes(path)) <= SOCKET_PATH_MAX:
        return path
    name = hashlib.sha256(bytes(var_dir)).hexdigest()[:16]
    return Path(gettempdir()) / f"portal-{name}" / "redis.sock"


def redis_from_url(url: str | None, *, var_dir: Path) -> dict[str, Any]:
    """Arguments for `redis.Redis`: where the server is and who we are; time limits are the callers' affair."""
    if not url:
        return {"unix_socket_path": str(embedded_socket(var_dir)), "db": 0}
    parts = urlsplit(url)
    login = {"username": unquote(parts.username or "") or None, "password": unquote(parts.password or "") or None}
    if parts.scheme == "unix":
        return {"unix_socket_path": unquote(parts.path), "db": 0, **login}
    if parts.scheme not in {"redis", "rediss"}:
        raise ImproperlyConfigured(f"REDIS_URL starts with redis://, rediss:// or unix://. Received: {parts.scheme!r}")
    server = {"host": parts.hostname or "127.0.0.1", "port": parts.port or 6379, "db": int(parts.path.lstrip("/") or 0)}
    return {**server, **login, "ssl": parts.scheme == "rediss"}


def rq_connection(redis: dict[str, Any]) -> dict[str, Any]:
    """The same server in django-rq's spelling, for its admin pages and commands."""
    if "unix_socket_path" in redis:
        return {"UNIX_SOCKET_PATH": redis["unix_socket_path"], "DB": redis["db"]}
    return {name.upper(): value for name, value in redis.items()}
