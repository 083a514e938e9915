"""Every fault, and a run of some or all of them."""

import os
import shutil
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from tests.faults import redis_faults
from tests.faults.database_faults import DATABASE_FAULTS
from tests.faults.embedded_faults import EMBEDDED_FAULTS, site_on
from tests.faults.invariants import verify_audit, verify_storage
from tests.faults.marks import network_runs
from tests.faults.redis_faults import REDIS_FAULTS
from tests.faults.report import BUILD, COLUMNS, commit
from tests.faults.scene import Fault, run_fault
from tests.faults.site import QUICK, Pace, Site, large_site
from tests.faults.storage_faults import STORAGE_FAULTS
from tests.faults.web_faults import WEB_FAULTS
from tests.faults.whole_faults import WHOLE_FAULTS
from tests.faults.worker_faults import WORKER_FAULTS

FILMS_OF_A_SITE = 12_000  # then a new one: they fill memory, and every look at them takes longer
Show = Callable[[dict[str, Any]], None]


def _number(key: str) -> int:
    return int("".join(char for char in key if char.isdigit()))


FAULTS: tuple[Fault, ...] = tuple(
    sorted(
        (*WORKER_FAULTS, *REDIS_FAULTS, *DATABASE_FAULTS, *STORAGE_FAULTS, *WEB_FAULTS, *WHOLE_FAULTS, *EMBEDDED_FAULTS),
        key=lambda fault: (_number(fault.key), fault.key),
    )
)


def open_site(kind: str, pace: Pace) -> AbstractContextManager[Site]:
    return large_site(pace) if kind == "large" else site_on(kind, pace)


def choose(keys: Iterable[str], *, network: bool = False) -> list[Fault]:
    """The named faults, all where none is named; `F5` means F5a and F5b. With the shipped network, those that need the stub are
    left out. Raises `ValueError` for a name that none has."""
    wanted = [key.upper() for key in keys]
    found = [fault for fault in FAULTS if not wanted or any(_is_meant(fault, key) for key in wanted)]
    if unknown := [key for key in wanted if not any(_is_meant(fault, key) for fault in FAULTS)]:
        raise ValueError(f"There is no fault {', '.join(unknown)}; there are {', '.join(fault.key for fault in FAULTS)}")
    return [fault for fault in found if not (network and fault.needs_stub)]


def _is_meant(fault: Fault, key: str) -> bool:
    return fault.key.upper() == key or fault.key.rstrip("abcdefghijklmnopqrstuvwxyz") == key


def run_all(
    faults: Sequence[Fault],
    *,
    count: int,
    seed: int,
    pace: Pace,
    lanes: int = 1,
    note: Callable[[dict[str, Any]], None] = lambda _run: None,
) -> dict[str, Any]:
    """One fault after another on a portal that all of a kind share, or on several such portals side by side.

    Returns the run as it is written down; `note` is given what there is of it after each fault.
    """
    begun = time.monotonic()
    rows: list[dict[str, Any]] = []

    def describe_run() -> dict[str, Any]:
        order = {fault.key: place for place, fault in enumerate(FAULTS)}
        done = sorted(rows, key=lambda row: order[row["fault"]])
        return {
            "commit": commit(),
            "seed": seed,
            "count": count,
            "pace": pace.name + (f" (soak of {pace.soak / 60:g} minutes)" if pace.soak else ""),
            "model": "the shipped network" if network_runs() else "a stub",
            "cores": os.cpu_count(),
            "minutes": round((time.monotonic() - begun) / 60, 1),
            "rows": done,
            "broken": [row["fault"] for row in done if row["broken"]],
        }

    def show(row: dict[str, Any]) -> None:
        rows.append(row)
        print(f"{row['fault']:<5} {row['uploads']:>5} uploads  {row['seconds']:>6.1f} s  {row['verdict']}")
        note(describe_run())

    with ThreadPoolExecutor(lanes + (lanes > 1)) as pool:
        work = [pool.submit(_run_lane, lane, count, seed, pace, show) for lane in split(faults, lanes)]
    for lane in work:
        lane.result()
    return describe_run()


def split(faults: Sequence[Fault], lanes: int) -> list[deque[Fault]]:
    """What each portal takes its next fault from. Those of the large kind share one row, in which the longest come first after
    F0, lest a lane be left alone with one; each other kind has its own."""
    large = deque(
        sorted((fault for fault in faults if fault.site == "large"), key=lambda fault: (fault.key != "F0", not fault.is_long))
    )
    kinds = dict.fromkeys(fault.site for fault in faults if fault.site != "large")
    others = [deque(fault for fault in faults if fault.site == kind) for kind in kinds]
    return [*([large] * min(lanes, len(large))), *others]


def _run_lane(waiting: deque[Fault], count: int, seed: int, pace: Pace, show: Show) -> None:
    at_once = max(1, FILMS_OF_A_SITE // count)
    while (fault := _next(waiting)) is not None:
        with open_site(fault.site, pace) as site:
            rows: list[dict[str, Any]] = []
            while fault is not None:
                rows.append(_run_one(fault, site, count=count, seed=seed, show=show))
                fault = _next(waiting) if len(rows) < at_once else None
            note_commands(rows, site)


def _next(waiting: deque[Fault]) -> Fault | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None


def note_commands(rows: Sequence[dict[str, Any]], site: Site, *, quick: bool = False) -> None:
    """What the portal's own commands say of its audit chain and its storage; with `quick` no stored film is read."""
    said = {"audit": verify_audit(site), "storage": verify_storage(site, quick=quick)}
    for row in rows:
        row.update({name: words for name, words in said.items() if not str(row[name]).startswith("broken")})
        row["broken"] += [f"{name}: {words}" for name, words in said.items() if words.startswith("broken")]
        row["verdict"] = "BROKEN: " + ", ".join(row["broken"]) if row["broken"] else "holds"


def keep_logs(site: Site, key: str) -> None:
    """What the parts wrote, for whoever looks why an invariant is broken."""
    kept = BUILD / "faults" / key
    kept.mkdir(parents=True, exist_ok=True)
    for path in site.logs.rglob("*.log"):
        shutil.copy(path, kept)


def broken_row(fault: Fault, error: Exception) -> dict[str, Any]:
    """The row of a fault that the harness itself did not bring to an end."""
    broken = [f"the harness failed: {type(error).__name__}"]
    empty = dict.fromkeys([name for name, _ in COLUMNS] + ["upload_p99", "seconds"])
    text = {"fault": fault.key, "title": fault.title, "uploads": 0, "seconds": 0.0, "words": [str(error)]}
    return empty | text | {"broken": broken, "verdict": "BROKEN: " + broken[0]}


def _run_one(fault: Fault, site: Site, *, count: int, seed: int, show: Show) -> dict[str, Any]:
    try:
        row = run_fault(fault, site, count=count, seed=seed)
    except Exception as error:  # noqa: BLE001 - the others still have something to say
        row = broken_row(fault, error)
        traceback.print_exc()
    if site.pace.name != QUICK.name:
        note_commands([row], site, quick=True)
    if fault.key == "F0" and row["upload_p99"]:
        redis_faults.remember_normal(site.kind, row["upload_p99"])
    if row["broken"]:
        keep_logs(site, fault.key)
    show(row)
    return row
