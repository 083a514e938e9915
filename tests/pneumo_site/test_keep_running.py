"""The embedded set-up's supervisor: it restarts, it stops, and nothing outlives it."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.portal import ROOT
from tests.servers import wait_until


def start(*command: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "pneumo_site.keep_running", *command], cwd=ROOT, stderr=subprocess.DEVNULL)


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_a_process_that_ends_is_started_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with start("sh", "-c", f"echo x >> {log}") as keeper:
        wait_until(lambda: len(lines(log)) >= 2, "a second start", seconds=20)
        keeper.terminate()
        assert keeper.wait(10) == 0


def test_asked_to_stop_it_stops_its_process_too(tmp_path: Path) -> None:
    log = tmp_path / "pid"
    with start("sh", "-c", f"echo $$ > {log}; exec sleep 60") as keeper:
        wait_until(lambda: bool(lines(log)), "the start", seconds=20)
        keeper.send_signal(signal.SIGINT)
        keeper.wait(10)
    assert not is_alive(int(lines(log)[0]))


def test_killed_outright_it_leaves_no_orphan(tmp_path: Path) -> None:
    log = tmp_path / "pid"
    with start("sh", "-c", f"echo $$ > {log}; exec sleep 60") as keeper:
        wait_until(lambda: bool(lines(log)), "the start", seconds=20)
        keeper.kill()
    wait_until(lambda: not is_alive(int(lines(log)[0])), "the end of the orphan", seconds=10)
