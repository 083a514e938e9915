"""Real servers for tests, each on its own port or socket in a directory that goes away: PostgreSQL, Redis, S3's protocol."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import requests

from pneumo_site.embedded_redis import find_server

POSTGRES_BIN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
S3_BUCKET = "films"
DEADLINE = 60.0  # seconds for anything to come up on a busy machine


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = DEADLINE) -> None:
    """Raises `TimeoutError` naming what did not happen."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.05)


def port_answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def url_answers(url: str) -> bool:
    """Whether a GET of it is answered with 200."""
    with contextlib.suppress(requests.RequestException):
        return requests.get(url, timeout=5).status_code == 200
    return False


@contextlib.contextmanager
def process(command: list[str], log: Path, **options: object) -> Iterator["subprocess.Popen[bytes]"]:
    """A process in its own group, ended with everything it started."""
    with log.open("ab") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **options)  # type: ignore[call-overload]
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def postgres_is_here() -> bool:
    return bool(POSTGRES_BIN) and (os.geteuid() != 0 or shutil.which("runuser") is not None)


@contextlib.contextmanager
def postgres_server(directory: Path) -> Iterator[str]:
    """A PostgreSQL cluster of its own; yields its DATABASE_URL. As root it runs as the user `postgres`."""
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(directory, "postgres")
        directory.chmod(0o700)
    data, port = directory / "data", free_port()
    binaries = POSTGRES_BIN[-1]
    subprocess.run(
        [*as_user, str(binaries / "initdb"), "-D", str(data), "-U", "portal", "-A", "trust", "-E", "UTF8"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=directory,
    )
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={directory}"
    with process([*as_user, str(binaries / "postgres"), "-D", str(data), *options.split()], directory / "postgres.log"):
        ready = [str(binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
        wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL's start")
        create = [str(binaries / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "portal", "portal"]
        subprocess.run(create, check=True)
        yield f"postgresql://portal@127.0.0.1:{port}/portal"


@contextlib.contextmanager
def redis_server(directory: Path, *, port: int | None = None, config: Path | None = None) -> Iterator[str]:
    """A Redis on loopback, with a configuration file where one is named; yields its REDIS_URL."""
    port = port or free_port()
    command = [find_server(), *([str(config)] if config else []), "--port", str(port), "--save", "", "--dir", str(directory)]
    with process(command, directory / "redis.log"):
        wait_until(lambda: port_answers(port), "Redis' start")
        yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def s3_server(directory: Path) -> Iterator[dict[str, str]]:
    """An S3 protocol server with an empty bucket; yields the settings that point the portal at it."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with process(command, directory / "s3.log"):
        wait_until(lambda: port_answers(port), "the S3 server's start")
        endpoint = f"http://127.0.0.1:{port}"
        s3 = boto3.client(
            "s3", endpoint_url=endpoint, region_name="eu-central-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        s3.create_bucket(Bucket=S3_BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        yield {
            "STORAGE_BACKEND": "s3",
            "S3_BUCKET": S3_BUCKET,
            "S3_ENDPOINT_URL": endpoint,
            "S3_REGION": "eu-central-1",
            "S3_ACCESS_KEY_ID": "test",
            "S3_SECRET_ACCESS_KEY": "test",
        }
