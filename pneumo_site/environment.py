"""Reading of the environment: typed values, secrets from files, and the embedded set-up's own secrets."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from environs import Env, EnvError

env = Env()
secret_files: dict[str, Path] = {}  # by the setting's name, those that were read: `doctor` looks at their modes


def read_secret(name: str, *, default: str | None = None) -> str | None:
    """Value of `NAME`, or the content of the file that `NAME_FILE` names.

    Raises where both are set, or the file cannot be read or holds nothing: an empty token must not open what it guards.
    """
    value, path = env.str(name, None), env.path(f"{name}_FILE", None)
    if value is not None and path is not None:
        raise ImproperlyConfigured(f"Set {name} or {name}_FILE, not both.")
    if path is None:
        return value if value is not None else default
    try:
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{name}_FILE names {path}, which cannot be read.") from error
    if not value:
        raise ImproperlyConfigured(f"{name}_FILE names {path}, which is empty.")
    secret_files[name] = path
    return value


def require_secret(name: str, *, length: int = 50) -> str:
    """Like `read_secret`, for production: missing or short means no start."""
    value = read_secret(name)
    if not value:
        raise ImproperlyConfigured(f"{name} (or {name}_FILE) is required outside the embedded set-up.")
    if len(value) < length:
        raise ImproperlyConfigured(f"{name} is too short: {length} characters at least.")
    return value


def refuse_unsafe_production(*, debug: bool, database_url: str | None, redis_url: str | None, allowed_hosts: list[str]) -> None:
    """Production has no silent default: raises `ImproperlyConfigured` for what only the embedded set-up may leave out."""
    if debug:
        raise ImproperlyConfigured("DEBUG is for the embedded set-up alone: it shows patients' data in error pages.")
    for name, value in (("DATABASE_URL", database_url), ("REDIS_URL", redis_url), ("ALLOWED_HOSTS", allowed_hosts)):
        if not value:
            raise ImproperlyConfigured(f"{name} is required outside the embedded set-up.")
    if "*" in allowed_hosts:
        raise ImproperlyConfigured("ALLOWED_HOSTS names the portal's hosts; * would trust any Host header.")


def embedded_secret(path: Path) -> str:
    """The embedded set-up's own secret, made on first use and kept with mode 0600."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        _make_secret(path)
    value = path.read_text(encoding="ascii").strip()
    secret_files[path.name] = path
    if not value:
        raise ImproperlyConfigured(f"{path} is empty: delete it, and the next start makes a new secret.")
    return value


def _make_secret(path: Path) -> None:
    """Whole or not at all, also when the power is cut; where several processes start at once, the first one's stays."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


__all__ = ["EnvError", "embedded_secret", "env", "read_secret", "refuse_unsafe_production", "require_secret", "secret_files"]
