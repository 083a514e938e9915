"""F8, F9 and the database's half of F18: what befalls PostgreSQL."""

import contextlib
import os
import signal
import time

import psycopg

from tests.faults.parts import Postgres
from tests.faults.scene import Fault, Scene


def server_of(scene: Scene) -> Postgres:
    assert scene.site.postgres is not None
    return scene.site.postgres


def restart(scene: Scene) -> None:
    """An immediate shutdown and a start, again and again; then one of ten seconds, as a failover takes."""
    server = server_of(scene)

    def strike() -> None:
        with scene.trouble():
            server.crash()
            server.start()

    scene.every(15.0, strike)
    with scene.trouble():
        server.crash()
        scene.pause(10.0)
        server.start()


def cut_connections(scene: Scene) -> None:
    """Back ends ended, politely and by kill -9 (which makes the server start all of them anew), while cases are in hand."""

    def strike() -> None:
        with contextlib.suppress(psycopg.Error):
            if scene.chance.random() < 0.5:
                scene.site.records.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            else:
                kill_one(scene)
        scene.strike()

    scene.every(5.0, strike)


def kill_one(scene: Scene) -> None:
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    pids = [pid for (pid,) in scene.site.records.ask(query)]
    if pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(scene.chance.choice(pids), signal.SIGKILL)
    time.sleep(0.1)


DATABASE_FAULTS = (
    Fault("F8", "PostgreSQL shut down at once and started, every 15 s; away for 10 s", restart, lambda pace: pace.recovery),
    Fault("F9", "PostgreSQL's back ends ended and killed, every 5 s", cut_connections, lambda pace: pace.recovery),
)
