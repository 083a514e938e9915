"""The portal's parts as processes that can be ended, stopped and started again, each with its log."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from tests.portal import ROOT
from tests.servers import POSTGRES_BIN, free_port, port_answers, wait_until

RESTART_SECONDS = 1.0  # systemd's RestartSec
STOP_SECONDS = 20.0
# As docs/reliability.md asks for: by default PostgreSQL writes the statement and the row of an error into its log.
QUIET = "-c log_min_error_statement=panic -c log_error_verbosity=terse -c max_wal_size=64MB"

EVERY: "weakref.WeakSet[Part]" = weakref.WeakSet()


def end_all() -> None:
    """For a harness that is told to end in the middle of things."""
    for part in list(EVERY):
        children = part.family()
        part.forsake()
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()


class Part:
    """A process; with `supervised` it is started again whenever it ends, as systemd's Restart=always does."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        supervised: bool = False,
        folder: Path = ROOT,
    ) -> None:
        self.name, self.command, self.log, self.environment = name, list(command), log, dict(environment)
        self._folder = folder
        self._supervised = supervised
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self.starts = 0
        EVERY.add(self)
        if supervised:
            threading.Thread(target=self._supervise, name=f"supervise {name}", daemon=True).start()

    @property
    def pid(self) -> int:
        """0 where it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else 0

    def start(self, **more_environment: str) -> None:
        with self._lock:
            self.environment |= more_environment
            self._wanted.set()
            if not self.pid:
                self._spawn()

    def stop(self, *, number: int = signal.SIGTERM) -> None:
        """End it and what it started, for as long as nobody starts it again."""
        with self._lock:
            self._wanted.clear()
            process = self._process
            if process is None:
                return
            children = self.family()
            self._signal(process, number)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._signal(process, signal.SIGKILL)
                process.wait()
            for child in children:
                with contextlib.suppress(psutil.Error):
                    child.kill()

    def kill(self, number: int = signal.SIGKILL) -> bool:
        """Send a signal to the process alone; false where there is none."""
        process = self._process
        if process is None or process.poll() is not None:
            return False
        self._signal(process, number)
        return True

    def family(self) -> list[psutil.Process]:
        """What it started and what those started."""
        with contextlib.suppress(psutil.Error):
            return list(psutil.Process(self.pid).children(recursive=True)) if self.pid else []
        return []

    def close(self) -> None:
        self._closed.set()
        self.stop()

    def forsake(self) -> None:
        """Killed and not started again; waits for nothing."""
        self._closed.set()
        self.kill()

    def _spawn(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                cwd=self._folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.starts += 1

    def _signal(self, process: "subprocess.Popen[bytes]", number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)

    def _supervise(self) -> None:
        while not self._closed.wait(0.1):
            if not self._wanted.is_set() or self.pid:
                continue
            if self._closed.wait(RESTART_SECONDS):
                return
            with self._lock:
                if self._wanted.is_set() and not self.pid:
                    self._spawn()


class Redis(Part):
    """A Redis on loopback, with or without an append-only file."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.port, self.directory = free_port(), directory
        command = ["redis-server", "--port", str(self.port), "--save", "", "--dir", str(directory), "--appendonly", "yes"]
        super().__init__("redis", command, log=directory / "redis.log", environment=environment)

    def start(self, **more_environment: str) -> None:
        super().start(**more_environment)
        wait_until(lambda: port_answers(self.port), "Redis' start")

    def forget(self) -> None:
        """What a server without an append-only file has after a restart."""
        shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)


class FaultyS3(Part):
    """moto behind the layer of `tests.faults.s3_server`."""

    def __init__(self, directory: Path, environment: Mapping[str, str], python: str) -> None:
        self.port = free_port()
        command = [python, "-m", "tests.faults.s3_server", str(self.port)]
        super().__init__("s3", command, log=directory / "s3.log", environment=environment)

    def start(self, **more_environment: str) -> None:
        super().start(**more_environment)
        wait_until(lambda: port_answers(self.port), "the S3 server's start")


class Postgres(Part):
    """A PostgreSQL cluster that can be ended in every way. As root it runs as the user `postgres`."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.port, self.directory, self.data = free_port(), directory, directory / "data"
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self._binaries = POSTGRES_BIN[-1]
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={directory} {QUIET}"
        command = [*self._as_user, str(self._binaries / "postgres"), "-D", str(self.data), *options.split()]
        super().__init__("postgres", command, log=directory / "postgres.log", environment=environment)

    @property
    def url(self) -> str:
        return self.url_of("portal")

    def url_of(self, database: str) -> str:
        return f"postgresql://portal@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """The cluster and the portal's empty database; leaves it running."""
        if self._as_user:
            shutil.chown(self.directory, "postgres")
            self.directory.chmod(0o700)
        initdb = [str(self._binaries / "initdb"), "-D", str(self.data), "-U", "portal", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*self._as_user, *initdb], check=True, stdout=subprocess.DEVNULL, cwd=self.directory)
        self.start()
        self.tool("createdb", "portal")

    def start(self, **more_environment: str) -> None:
        super().start(**more_environment)
        wait_until(self.answers, "PostgreSQL's start")

    def answers(self) -> bool:
        ready = [str(self._binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        return subprocess.run(ready, check=False).returncode == 0

    def tool(self, name: str, *arguments: str) -> bytes:
        """Output of one of PostgreSQL's programs."""
        command = [str(self._binaries / name), "-h", "127.0.0.1", "-p", str(self.port), "-U", "portal", *arguments]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def postmaster(self) -> int:
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int((self.data / "postmaster.pid").read_text(encoding="ascii").split()[0])
        return 0

    def crash(self) -> None:
        """An immediate shutdown: no checkpoint, every connection cut; recovery at the next start."""
        self.stop(number=signal.SIGQUIT)

    def stop(self, *, number: int = signal.SIGINT) -> None:
        if (postmaster := self.postmaster()) and self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(postmaster, number)
            end = time.monotonic() + STOP_SECONDS
            while self.pid and time.monotonic() < end:
                time.sleep(0.05)
        super().stop()
