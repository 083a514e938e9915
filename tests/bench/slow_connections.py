"""Slow connections through nginx while doctors work: 500 that never end their request's head, 200 that send a byte a second.

`python -m tests.bench.slow_connections`: what a doctor's requests take with them and without, in turns within one run, and the
ratio of the 95th percentiles.
"""

import os
import resource
import socket
import ssl
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.table import Table

from tests.bench.report import write_report
from tests.deploy.edge import Edge, log_in, nginx, production_portal
from tests.faults.films import make_film
from tests.portal import Portal
from tests.servers import wait_until

HEADS, BODIES, SOURCES = 500, 200, 50
ROUNDS, PAGES, UPLOADS = 3, 60, 15
WANTED = 2.0


class SlowClients:
    """Connections that are kept from being useful, from many addresses; one that is closed is opened again."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.opened = 0
        self._context = ssl.create_default_context(cafile=str(edge.certificate))
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep, args=(number, number >= HEADS), daemon=True) for number in range(HEADS + BODIES)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()
        wait_until(lambda: self.opened >= len(self._threads), "the opening of every slow connection")

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(5)

    def _keep(self, number: int, has_body: bool) -> None:
        while not self._stopping.is_set():
            with suppress(OSError), self._connect(number) as connection:
                connection.sendall(self._head(has_body))
                self.opened += 1
                while not self._stopping.wait(1.0 if has_body else 5.0):
                    connection.sendall(b"x" if has_body else b"X-Slow: 1\r\n")
            self._stopping.wait(0.5)

    def _connect(self, number: int) -> ssl.SSLSocket:
        source = (f"127.0.1.{1 + number % SOURCES}", 0)
        raw = socket.create_connection(("127.0.0.1", self.edge.ports["HTTPS_LISTEN"]), timeout=30, source_address=source)
        return self._context.wrap_socket(raw, server_hostname="localhost")

    def _head(self, has_body: bool) -> bytes:
        if not has_body:
            return b"GET /cases/ HTTP/1.1\r\nHost: localhost\r\n"
        return b"POST /api/v1/cases HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 100000\r\n\r\n"


@contextmanager
def slow_clients(edge: Edge) -> Iterator[SlowClients]:
    clients = SlowClients(edge)
    clients.start()
    try:
        yield clients
    finally:
        clients.stop()


def work(edge: Edge, portal: Portal, session: requests.Session, first: int) -> dict[str, list[float]]:
    """A doctor's requests one after another: seconds of each page and of each upload."""
    seconds: dict[str, list[float]] = {"pages": [], "uploads": []}
    for number in range(PAGES):
        begun = time.perf_counter()
        session.get(f"{edge.url}/cases/", timeout=60).raise_for_status()
        seconds["pages"].append(time.perf_counter() - begun)
        if number % (PAGES // UPLOADS) == 0:
            film = make_film("slow", first + number)
            begun = time.perf_counter()
            files = {"file": ("film.png", film.content)}
            edge.ask("POST", "/api/v1/cases", files=files, headers=portal.bearer("doctor")).raise_for_status()
            seconds["uploads"].append(time.perf_counter() - begun)
    return seconds


def percentile95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def measure(edge: Edge, portal: Portal) -> dict[str, Any]:
    login = portal.logins["doctor"]
    rounds: list[dict[str, dict[str, list[float]]]] = []
    opened = 0
    with log_in(edge.url, edge.certificate, login["email"], login["password"]) as session:
        work(edge, portal, session, 0)  # warm
        for number in range(ROUNDS):
            calm = work(edge, portal, session, 1000 * (number + 1))
            with slow_clients(edge) as clients:
                besieged = work(edge, portal, session, 1000 * (number + 1) + 500)
                opened += clients.opened
            rounds.append({"calm": calm, "besieged": besieged})
    report: dict[str, Any] = {"slow_heads": HEADS, "slow_bodies": BODIES, "opened": opened, "rounds": ROUNDS}
    for what in ("pages", "uploads"):
        for when in ("calm", "besieged"):
            report[f"{what}_{when}_p95"] = percentile95([one for each in rounds for one in each[when][what]])
        report[f"{what}_ratio"] = report[f"{what}_besieged_p95"] / report[f"{what}_calm_p95"]
    return report


def show(report: dict[str, Any]) -> None:
    table = Table(title=f"{HEADS} half-open heads and {BODIES} slow bodies from {SOURCES} addresses, {os.cpu_count()} cores")
    for heading in ("what", "calm, p95", "with them, p95", "ratio", "wanted"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for what in ("pages", "uploads"):
        calm, besieged = report[f"{what}_calm_p95"], report[f"{what}_besieged_p95"]
        table.add_row(what, f"{calm:.3f} s", f"{besieged:.3f} s", f"{report[f'{what}_ratio']:.2f}", f"< {WANTED:g}")
    Console().print(table)


def main() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portal-slow-")))
        (directory / "var").mkdir()
        portal = stack.enter_context(production_portal(directory / "var", UPLOADS_PER_MINUTE="0"))
        edge = stack.enter_context(nginx(portal, directory / "edge"))
        report = measure(edge, portal)
    show(report)
    write_report("bench-slow-connections.json", report)


if __name__ == "__main__":
    main()
