"""A process with a wrong clock: libfaketime by LD_PRELOAD, moved by a file while the process runs."""

import os
import threading
import time
from pathlib import Path
from typing import SupportsFloat

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def wrong_clock(steps: Path) -> dict[str, str]:
    """What to start a process with so that its clock follows the offset in the file within a second."""
    return {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(steps),
        "FAKETIME_CACHE_DURATION": "1",  # seconds; opening the file at each look at the clock costs threads of Python far more
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


def set_clock(steps: Path, offset: str) -> None:
    waiting = steps.with_suffix(".new")
    waiting.write_text(offset, encoding="ascii")
    waiting.chmod(0o644)
    waiting.rename(steps)


def _wait(seconds: SupportsFloat) -> None:
    threading.Event().wait(float(seconds))


def mend_sleep() -> None:
    """libfaketime 0.9.10 refuses clock_nanosleep with an absolute time, which is how Python sleeps; waiting on a lock works."""
    if "faketime" in os.environ.get("LD_PRELOAD", ""):
        time.sleep = _wait  # type: ignore[assignment]
