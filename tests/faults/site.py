"""A portal of parts: the large one (PostgreSQL, Redis, S3) behind what can fail, or the embedded one (SQLite, files)."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import boto3
import requests
from redis import Redis as RedisClient

from pneumo_site.databases import embedded_socket
from tests.faults import failpoints
from tests.faults.disks import mounted_tmpfs
from tests.faults.parts import FaultyS3, Part, Postgres, Redis
from tests.faults.proxy import Proxy
from tests.faults.records import BucketObjects, FileObjects, Objects, Records
from tests.portal import ROOT, Portal
from tests.servers import S3_BUCKET, free_port, wait_until

TMPFS_MB = 400
PREPARE = """
import os, django
os.environ["DJANGO_SETTINGS_MODULE"] = "pneumo_site.settings"
django.setup()
from django.conf import settings
from django.core.management import call_command
from diagnostics.demo import seed_logins
call_command("prepare")
seed_logins(settings.VAR_DIR / "demo-logins.json")
"""  # the demo's users without its films


NO_QUOTA = dict.fromkeys(("UPLOADS_PER_MINUTE", "UPLOAD_DAILY_FILES", "UPLOAD_DAILY_BYTES"), "0")  # one doctor sends them all


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the portal looks after itself; `PRODUCTION` is what it ships with, `QUICK` is for `make test`."""

    name: str
    lease: int
    tick: float
    beat: float
    poll: float
    rate: float  # uploads a second
    stretch: float  # of the time between faults, 1 in production
    allowance: float  # seconds for a busy machine to start a process
    reading: float  # seconds between two pages that a clinician looks at
    soak: float = 0.0  # seconds of F24, over which its uploads are spread; 0 for as long as they come

    def environment(self) -> dict[str, str]:
        return {
            "WORKER_LEASE_SECONDS": str(self.lease),
            "FAULTS_BEAT_SECONDS": str(self.beat),
            "WORKER_POLL_SECONDS": str(self.poll),
            "REQUEUE_AFTER_SECONDS": str(max(2, int(20 * self.stretch))),
        }

    @property
    def recovery(self) -> float:
        """A worker that is gone is noticed when its lease is over, by the next pass of the reconciler."""
        return self.lease + self.tick + self.allowance


PRODUCTION = Pace("production", lease=30, tick=10.0, beat=5.0, poll=2.0, rate=1000.0, stretch=1.0, allowance=0.0, reading=0.15)
QUICK = Pace("quick", lease=4, tick=1.0, beat=0.6, poll=0.5, rate=15.0, stretch=0.15, allowance=40.0, reading=0.8)


@dataclass
class Site:
    """The running parts, and the ways to look behind them."""

    kind: str
    directory: Path
    pace: Pace
    environment: dict[str, str]
    portal: Portal
    records: Records
    objects: Objects
    web: Part
    workers: list[Part] = field(default_factory=list)
    reconcilers: list[Part] = field(default_factory=list)
    redis: Part | None = None
    redis_proxy: Proxy | None = None
    postgres: Postgres | None = None
    s3: FaultyS3 | None = None
    starts_before: int = 0  # of workers that are no longer here
    points: Path = Path()
    logs: Path = Path()

    @property
    def large(self) -> bool:
        return self.kind == "large"

    @property
    def worker_starts(self) -> int:
        return self.starts_before + sum(worker.starts for worker in self.workers)

    def parts(self) -> list[Part]:
        servers = [part for part in (self.redis, self.postgres, self.s3) if part is not None]
        return [self.web, *self.workers, *self.reconcilers, *servers]

    def add_worker(self, **more: str) -> Part:
        """One more worker, which `settle` takes away again."""
        number = len(self.workers)
        worker = Part(
            f"worker{number}",
            [sys.executable, "-m", "tests.faults.worker"],
            log=self.logs / f"worker{number}.log",
            environment=self.environment | more,
            supervised=True,
        )
        self.workers.append(worker)
        worker.start()
        return worker

    def add_reconciler(self) -> Part:
        number = len(self.reconcilers)
        command = [sys.executable, "manage.py", "reconcile", "--interval", str(self.pace.tick)]
        log = self.logs / f"reconcile{number}.log"
        part = Part(f"reconcile{number}", command, log=log, environment=self.environment, supervised=True)
        self.reconcilers.append(part)
        part.start()
        return part

    def is_warm(self, worker: Part) -> bool:
        """The worker's own heartbeat says that it has begun."""
        query = "SELECT count(*) FROM diagnostics_worker WHERE name LIKE %s AND stopped_at IS NULL"
        with contextlib.suppress(Exception):
            return bool(worker.pid) and bool(self.records.ask(query, f"%:{worker.pid}")[0][0])
        return False

    def wait_warm(self, worker: Part) -> None:
        wait_until(lambda: self.is_warm(worker), f"the start of {worker.name} (see {worker.log})")

    def heal(self) -> None:
        """Everything that a fault took away is back, and the site is as it began: one worker, at most one reconciler."""
        if self.redis_proxy is not None:
            self.redis_proxy.set_mode("pass")
        for part in (self.redis, self.postgres):
            if part is not None:
                part.start()
        if self.s3 is not None:
            self.set_s3_faults()
        failpoints.disarm(self.points)
        while len(self.workers) > 1:
            gone = self.workers.pop()
            gone.close()
            self.starts_before += gone.starts
        while len(self.reconcilers) > 1:
            self.reconcilers.pop().close()
        for part in (*self.workers, *self.reconcilers, self.web):
            part.start()

    def set_s3_faults(self, **plan: object) -> dict[str, int]:
        """How often each fault of the plan before was met."""
        assert self.s3 is not None
        answer = requests.put(f"http://127.0.0.1:{self.s3.port}/_faults", data=json.dumps(plan), timeout=30)
        answer.raise_for_status()
        met: dict[str, int] = answer.json()
        return met

    def redis_client(self) -> RedisClient:
        """Past the proxy."""
        if isinstance(self.redis, Redis):
            return RedisClient(port=self.redis.port, socket_timeout=5)
        return RedisClient(unix_socket_path=str(embedded_socket(self.directory)), socket_timeout=5)

    def arm(self, name: str, *, action: str = "kill") -> None:
        failpoints.arm(self.points, name, action=action)

    def forget_hits(self) -> None:
        failpoints.forget(self.points)

    def hits(self, name: str) -> int:
        return failpoints.hits(self.points, name)

    def close(self) -> None:
        self.records.close()
        for part in self.parts():
            part.close()
        if self.redis_proxy is not None:
            self.redis_proxy.close()


def _base_environment(directory: Path, port: int, pace: Pace, points: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    dropped = {"DJANGO_SETTINGS_MODULE", "VAR_DIR", "DATABASE_URL", "REDIS_URL"}
    inherited = {name: value for name, value in os.environ.items() if name not in dropped}
    own = {
        "PATH": path,
        "VAR_DIR": str(directory),
        "PORTAL_PORT": str(port),
        "PYTHONUNBUFFERED": "1",
        "FAULT_POINTS": str(points),
        **NO_QUOTA,
    }
    return {**inherited, **own, **pace.environment()}


@contextlib.contextmanager
def large_site(pace: Pace) -> Iterator[Site]:
    """gunicorn, worker and reconciler over PostgreSQL, Redis behind a proxy, and S3 behind a layer that fails."""
    directory = Path(mkdtemp(prefix="faults-large-"))
    directory.chmod(0o711)  # PostgreSQL's own user must come through
    (directory / "points").mkdir()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        stack.enter_context(mounted_tmpfs(directory / "postgres", TMPFS_MB))
        port = free_port()
        environment = _base_environment(directory, port, pace, directory / "points")
        postgres = Postgres(directory / "postgres", environment)
        (directory / "redis").mkdir()
        server = Redis(directory / "redis", environment)
        s3 = FaultyS3(directory, environment, sys.executable)
        for part in (postgres, server, s3):
            stack.callback(part.close)
        postgres.create()
        server.start()
        s3.start()
        proxy = Proxy(server.port)
        environment |= {"DATABASE_URL": postgres.url, "REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0", **_bucket(s3.port)}
        objects = BucketObjects(_s3_client(s3.port), S3_BUCKET)
        site = _site("large", directory, pace, environment, Records(postgres.url), objects)
        site.redis, site.redis_proxy, site.postgres, site.s3 = server, proxy, postgres, s3
        stack.callback(site.close)
        _open(site)
        site.add_reconciler()
        yield site


@contextlib.contextmanager
def embedded_site(pace: Pace, directory: Path) -> Iterator[Site]:
    """The embedded set-up's parts over `directory`: SQLite, files, private Redis, one worker that reconciles."""
    points = directory.parent / f"{directory.name}-points"
    points.mkdir(exist_ok=True)
    environment = _base_environment(directory, free_port(), pace, points)
    site = _site("embedded", directory, pace, environment, Records(f"sqlite://{directory / 'portal.sqlite3'}"), None)
    command = [sys.executable, "-m", "pneumo_site.embedded_redis"]
    site.redis = Part("redis", command, log=points / "redis.log", environment=environment, supervised=True)
    try:
        _open(site)
        yield site
    finally:
        site.close()
        shutil.rmtree(points, ignore_errors=True)


def _site(
    kind: str, directory: Path, pace: Pace, environment: dict[str, str], records: Records, objects: Objects | None
) -> Site:
    portal = Portal(f"http://127.0.0.1:{environment['PORTAL_PORT']}", directory, environment)
    gunicorn = [sys.executable, "-m", "tests.faults.web", "--config", "deploy/gunicorn/embedded.py", "tests.faults.wsgi"]
    points = Path(environment["FAULT_POINTS"])
    logs = points if kind == "embedded" else directory
    web = Part("web", gunicorn, log=logs / "web.log", environment=environment, supervised=True)
    films = objects or FileObjects(directory / "media")
    return Site(kind, directory, pace, environment, portal, records, films, web, points=points, logs=logs)


def _open(site: Site) -> None:
    subprocess.run([sys.executable, "-c", PREPARE], cwd=ROOT, env=site.environment, check=True, capture_output=True)
    site.portal.logins = json.loads((site.directory / "demo-logins.json").read_text(encoding="utf-8"))
    if site.redis is not None:
        site.redis.start()
    site.web.environment |= {"MALLOC_ARENA_MAX": "2"}
    site.web.start()
    worker = site.add_worker()
    wait_until(site.portal.answers, f"the portal's answer (see {site.web.log})")
    site.wait_warm(worker)


def _bucket(port: int) -> dict[str, str]:
    return {
        "STORAGE_BACKEND": "s3",
        "S3_BUCKET": S3_BUCKET,
        "S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "S3_REGION": "eu-central-1",
        "S3_ACCESS_KEY_ID": "test",
        "S3_SECRET_ACCESS_KEY": "test",
    }


def _s3_client(port: int) -> Any:
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="eu-central-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket=S3_BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return client
