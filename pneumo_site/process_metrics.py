"""The counters of several web processes: each keeps its own in files, and whoever is scraped adds them up.

For gunicorn's configuration. prometheus_client looks for the variable when it is imported, so it is not imported here before.
"""

import os
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def share_counters(directory: Path) -> None:
    """Before the first process starts: an empty directory, named to the processes to come."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in directory.glob("*.db"):
        old.unlink()
    os.environ[VARIABLE] = str(directory)


def forget_process(pid: int) -> None:
    """A web process has ended: its live gauges go, what it counted stays."""
    if os.environ.get(VARIABLE):
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
