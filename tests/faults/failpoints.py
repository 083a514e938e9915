"""Places in a process where the harness may end it. A file in the directory that FAULT_POINTS names arms one; whoever comes
there first takes the file away and falls.

Reached only from the entry points in this package (`tests.faults.wsgi`, `tests.faults.worker`): the portal's code knows nothing
of it.
"""

import os
import signal
from pathlib import Path
from uuid import uuid4

HIT = "hit"


def directory() -> Path | None:
    named = os.environ.get("FAULT_POINTS")
    return Path(named) if named else None


SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "stop": signal.SIGSTOP}


def reach(name: str) -> None:
    """Fall here if the harness has armed this place: `kill`; `term` asks the process to end and lets it go on; `stop` halts."""
    folder = directory()
    if folder is None:
        return
    taken = folder / f"{HIT}.{name}.{uuid4().hex}"
    try:
        (folder / name).rename(taken)  # one process wins
    except FileNotFoundError:
        return
    os.kill(os.getpid(), SIGNALS[taken.read_text(encoding="ascii")])


def note(name: str, count: int = 1) -> None:
    """Leave a mark that the harness counts."""
    folder = directory()
    if folder is not None and count:
        (folder / f"{HIT}.{name}.{uuid4().hex}").write_text(str(count), encoding="ascii")


def arm(folder: Path, name: str, *, action: str = "kill") -> None:
    waiting = folder / f".{name}"
    waiting.write_text(action, encoding="ascii")
    waiting.rename(folder / name)


def disarm(folder: Path) -> None:
    for path in folder.iterdir():
        if not path.name.startswith(HIT):
            path.unlink(missing_ok=True)


def forget(folder: Path) -> None:
    """The marks of an earlier fault: each is to be judged by its own."""
    for path in folder.glob(f"{HIT}.*"):
        path.unlink(missing_ok=True)


def hits(folder: Path, name: str) -> int:
    return sum(1 for _ in folder.glob(f"{HIT}.{name}.*"))
