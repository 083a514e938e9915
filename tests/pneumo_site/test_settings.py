"""Settings: typed, loud, and with no default secret outside the embedded set-up."""

import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured

from pneumo_site.databases import SOCKET_PATH_MAX, database_from_url, embedded_socket, redis_from_url
from pneumo_site.embedded_redis import server_arguments
from pneumo_site.environment import embedded_secret, read_secret
from tests.portal import ROOT

PRODUCTION = {
    "PORTAL_PROFILE": "production",
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "AUDIT_KEY": "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz",
    "ALLOWED_HOSTS": "portal.hospital.example",
    "DATABASE_URL": "postgresql://portal:secret@127.0.0.1/portal",
    "REDIS_URL": "rediss://rq:secret@127.0.0.1:6379/0",
}


def start(var_dir: Path, code: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
    """A fresh process that reads the settings from these variables alone."""
    environment = {
        "PATH": os.environ["PATH"],
        "VAR_DIR": str(var_dir),
        "DJANGO_SETTINGS_MODULE": "pneumo_site.settings",
        **variables,
    }
    script = f"import django; django.setup(); from django.conf import settings\n{code}"
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"PORTAL_PROFILE": "staging"}, "PORTAL_PROFILE"),
        ({"UPLOAD_MAX_BYTES": "64MB"}, "UPLOAD_MAX_BYTES"),
        ({"STORAGE_BACKEND": "s3"}, "S3_BUCKET"),
        ({"STORAGE_BACKEND": "ftp"}, "STORAGE_BACKEND"),
        ({"LOCAL_FILMS_BY_PROXY": "films"}, "LOCAL_FILMS_BY_PROXY"),
        ({"LOCAL_FILMS_BY_PROXY": "/films/", "STORAGE_BACKEND": "s3", "S3_BUCKET": "films"}, "LOCAL_FILMS_BY_PROXY"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT"),
        ({"STOP_RULE_AGREEMENT": "80"}, "STOP_RULE_AGREEMENT"),
        ({"STOP_RULE_ACTION": "stop"}, "STOP_RULE_ACTION"),
        ({"WORKER_METRICS_PORT": "on"}, "WORKER_METRICS_PORT"),
        ({"DATABASE_URL": "mysql://x/y"}, "DATABASE_URL"),
        ({"REDIS_URL": "http://x"}, "REDIS_URL"),
        ({"SECRET_KEY_FILE": "/nonexistent"}, "SECRET_KEY_FILE"),
        (PRODUCTION | {"SECRET_KEY": ""}, "SECRET_KEY"),
        (PRODUCTION | {"SECRET_KEY": "short"}, "SECRET_KEY"),
        (PRODUCTION | {"AUDIT_KEY": ""}, "AUDIT_KEY"),
        (PRODUCTION | {"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS"),
        (PRODUCTION | {"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS"),
        (PRODUCTION | {"DATABASE_URL": ""}, "DATABASE_URL"),
        (PRODUCTION | {"REDIS_URL": ""}, "REDIS_URL"),
        (PRODUCTION | {"DEBUG": "1"}, "DEBUG"),
        ({"BACKUP_TARGET": "nas/backups"}, "BACKUP_TARGET"),
        ({"BACKUP_TARGET": "/mnt/backups"}, "BACKUP_KEY_FILE"),
        ({"BACKUP_KEEP_WEEKS": "-1"}, "BACKUP_KEEP"),
    ],
)
def test_a_bad_setting_stops_the_start_and_is_named(tmp_path: Path, variables: dict[str, str], named: str) -> None:
    done = start(tmp_path, **variables)
    assert done.returncode != 0
    assert "ImproperlyConfigured" in done.stderr.splitlines()[-1]
    assert named in done.stderr.splitlines()[-1]


def test_the_embedded_secret_is_on_the_disk_before_it_has_its_name(tmp_path: Path) -> None:
    """Or a power cut leaves an empty file, and the portal does not start any more."""
    steps: list[str] = []
    fsync, link = os.fsync, Path.hardlink_to

    def note_fsync(descriptor: int) -> None:
        steps.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def note_link(path: Path, target: Path) -> None:
        steps.append("named")
        link(path, target)

    with mock.patch.object(os, "fsync", note_fsync), mock.patch.object(Path, "hardlink_to", note_link):
        embedded_secret(tmp_path / "key")
    assert [step if step in {"named", tmp_path.name} else "draft" for step in steps] == ["draft", "named", tmp_path.name]
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_the_embedded_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    first, second = (start(tmp_path, "print(settings.SECRET_KEY)").stdout for _ in range(2))
    assert first == second
    assert len(first.strip()) > 50
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


def test_production_makes_no_secret_of_its_own(tmp_path: Path) -> None:
    start(tmp_path, **PRODUCTION)
    assert not (tmp_path / "secret_key").exists()


def test_a_secret_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file" * 6 + "\n")
    done = start(
        tmp_path, "print(settings.SECRET_KEY)", **(PRODUCTION | {"SECRET_KEY_FILE": str(tmp_path / "key"), "SECRET_KEY": ""})
    )
    assert "not both" in done.stderr
    variables = {name: value for name, value in PRODUCTION.items() if name != "SECRET_KEY"}
    done = start(tmp_path, "print(settings.SECRET_KEY)", SECRET_KEY_FILE=str(tmp_path / "key"), **variables)
    assert done.stdout.strip() == "from-a-file" * 6


SECRETS = {  # the setting's name, and where its value ends up
    "DATABASE_URL": 'settings.DATABASES["default"]["NAME"]',
    "REDIS_URL": 'settings.REDIS["password"]',
    "S3_ACCESS_KEY_ID": "settings.S3_ACCESS_KEY_ID",
    "S3_SECRET_ACCESS_KEY": "settings.S3_SECRET_ACCESS_KEY",
    "BACKUP_S3_ACCESS_KEY_ID": "settings.BACKUP_S3_ACCESS_KEY_ID",
    "BACKUP_S3_SECRET_ACCESS_KEY": "settings.BACKUP_S3_SECRET_ACCESS_KEY",
    "EMAIL_HOST_PASSWORD": "settings.EMAIL_HOST_PASSWORD",
    "METRICS_TOKEN": "settings.METRICS_TOKEN",
    "SECRET_KEY": "settings.SECRET_KEY",
    "SECRET_KEY_FALLBACKS": "settings.SECRET_KEY_FALLBACKS[1]",
    "AUDIT_KEY": "settings.AUDIT_KEY",
    "PSEUDONYM_KEY": "settings.PSEUDONYM_KEY",
}
VALUES = {
    "DATABASE_URL": "postgresql://u@h/from-a-file",
    "REDIS_URL": "redis://u:from-a-file@h/0",
    "SECRET_KEY_FALLBACKS": "x, from-a-file",
}


def test_every_secret_is_read_from_a_file_too(tmp_path: Path) -> None:
    variables = {}
    for name in SECRETS:
        (tmp_path / name).write_text(VALUES.get(name, "from-a-file") + "\n")
        variables[f"{name}_FILE"] = str(tmp_path / name)
    code = "".join(f"print({value!r}, {value})\n" for value in SECRETS.values()) + "print(sorted(settings.SECRET_FILES))"
    done = start(tmp_path, code, **variables)
    assert done.stdout.count(" from-a-file\n") == len(SECRETS), done.stdout + done.stderr
    assert str(sorted(SECRETS)) in done.stdout


def test_every_starred_setting_of_the_documentation_is_one_of_them() -> None:
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`([A-Z0-9_]+)` \*", text)) == set(SECRETS)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
def test_a_secrets_file_that_holds_no_text_stops_the_start_and_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with (
        mock.patch.dict(os.environ, {f"{name}_FILE": str(tmp_path / "file")}),
        pytest.raises(ImproperlyConfigured, match=f"^{name}_FILE names .*, which"),
    ):
        read_secret(name)


def test_the_check_for_deployment_is_silent_with_production_settings(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "VAR_DIR": str(tmp_path), **PRODUCTION}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_passwords_in_urls_are_unquoted() -> None:
    settings = database_from_url("postgresql://portal:p%40ss%2Fword@db.example:5433/films")
    assert (settings["PASSWORD"], settings["HOST"], settings["PORT"]) == ("p@ss/word", "db.example", 5433)
    redis = redis_from_url("rediss://rq:p%40ss@cache.example:6380/2", var_dir=Path("/x"))
    assert redis == {"host": "cache.example", "port": 6380, "db": 2, "username": "rq", "password": "p@ss", "ssl": True}


def test_the_embedded_redis_has_a_socket_and_no_port(tmp_path: Path) -> None:
    arguments = server_arguments(tmp_path)
    assert arguments[arguments.index("--port") + 1] == "0"
    assert arguments[arguments.index("--unixsocketperm") + 1] == "600"


def test_a_long_path_gets_a_short_socket() -> None:
    socket = embedded_socket(Path("/" + "x" * 120))
    assert len(bytes(socket)) <= SOCKET_PATH_MAX
