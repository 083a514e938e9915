"""`python -m pneumo_site.keep_running COMMAND…`: start a command again whenever it ends, until asked to stop.

For the embedded set-up, where no systemd stands behind a process: a worker that its watchdog has ended comes back.
"""

import ctypes
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

PAUSE_SECONDS, PAUSE_MAX = 0.5, 15.0
STEADY_SECONDS = 30.0  # after which an end counts as a new trouble
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Linux: the kernel sends SIGTERM when the parent is gone, even by SIGKILL. Elsewhere: nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def keep_running(command: Sequence[str]) -> int:
    """Run the command for ever; SIGTERM and SIGINT end it and this."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    pause = PAUSE_SECONDS
    while not stopping.is_set():
        started = time.monotonic()
        status = run_once(command, stopping)
        if stopping.is_set():
            break
        pause = PAUSE_SECONDS if time.monotonic() - started > STEADY_SECONDS else min(2 * pause, PAUSE_MAX)
        sys.stderr.write(f"{command[0]} ended with status {status}; again in {pause:.0f} s\n")
        stopping.wait(pause)
    return 0


def run_once(command: Sequence[str], stopping: threading.Event) -> int:
    with subprocess.Popen(command, preexec_fn=die_with_parent) as process:  # noqa: PLW1509, S603 - no threads here; our Procfile
        while process.poll() is None:
            if stopping.wait(0.1):
                process.terminate()
                return wait_or_kill(process)
        return process.returncode


def wait_or_kill(process: "subprocess.Popen[bytes]", *, seconds: float = 20.0) -> int:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


if __name__ == "__main__":
    sys.exit(keep_running(sys.argv[1:]))
