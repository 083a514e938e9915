"""`make bench`: speeds as ratios within one run; a table, and JSON under build/.

The films beside the project are used where they are there, drawn ones elsewhere; the table says which.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.films import load_films
from tests.bench.report import write_report
from tests.portal import ROOT, Portal, running_portal

CLIENTS = 8
WARM_UP = 3  # films
ROUNDS, COPIES = 5, 6


def one_after_another(portal: Portal, films: list[tuple[str, bytes]]) -> list[float]:
    """Seconds from the start of the upload to the final state seen by the client, for each film."""
    seconds = []
    for name, content in films:
        started = time.perf_counter()
        answer = portal.upload(content, name)
        portal.wait_for(answer.json()["id"], every=0.01)
        seconds.append(time.perf_counter() - started)
    return seconds


def all_at_once(portal: Portal, films: list[tuple[str, bytes]]) -> tuple[dict[str, int], float]:
    """Final states of films that many clients send at once, and the worker's rate from first claim to last result."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda film: portal.upload(film[1], film[0]), films))
    ids = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    states = count([portal.wait_for(case_id)["state"] for case_id in ids])
    return states | {"sent": len(films), "accepted": len(ids)}, rate_of(portal, ids)


def one_round(portal: Portal, films: list[tuple[str, bytes]]) -> dict[str, Any]:
    """A worker on a backlog that was uploaded before it started, then the bare engine: in turns, so that whatever else the
    machine does touches both alike."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda film: portal.upload(film[1], film[0]), films * COPIES))
    ids = [answer.json()["id"] for answer in answers]
    with portal.worker():
        portal.wait_for(ids[-1], every=1.0)  # the last in the queue: asking for every case would cost the worker its cores
        states = count([portal.wait_for(case_id)["state"] for case_id in ids])
    engine = engine_alone(films)
    rate = rate_of(portal, ids)
    return {"states": states, "backlog": rate, "engine": engine["films_per_second"], "engine_name": engine["engine"]}


def rate_of(portal: Portal, ids: list[str]) -> float:
    """Films per second by the rows' own times."""
    code = f"""
import json
from django.db.models import Max, Min
from diagnostics.models import Case
span = Case.objects.filter(pk__in={ids!r}).aggregate(begin=Min("started_at"), end=Max("finished_at"))
print((span["end"] - span["begin"]).total_seconds())
"""
    return len(ids) / float(portal.manage("shell", "-v", "0", "-c", code).splitlines()[-1])


def count(states: list[str]) -> dict[str, int]:
    return {state: states.count(state) for state in sorted(set(states))}


def engine_alone(films: list[tuple[str, bytes]]) -> dict[str, Any]:
    """The bare engine on decoded films, in a process of its own, in the worker's batches."""
    with tempfile.TemporaryDirectory() as directory:
        paths = []
        for index, (_, content) in enumerate(films):
            path = Path(directory) / f"{index:04}"
            path.write_bytes(content)
            paths.append(str(path))
        command = [sys.executable, "-m", "tests.bench.engine", *paths]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    source, films = load_films()
    report: dict[str, Any] = {"films": source, "count": len(films), "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    with (
        tempfile.TemporaryDirectory(prefix="portal-bench-") as directory,
        running_portal(Path(directory), parts=("redis", "web")) as portal,
    ):
        with portal.worker():
            one_after_another(portal, films[:WARM_UP])
            seconds = one_after_another(portal, films)
            at_once, at_once_rate = all_at_once(portal, films)
        rounds = [one_round(portal, films) for _ in range(ROUNDS)]

    def middle(what: str) -> float:
        return statistics.median(each[what] for each in rounds)

    report |= {
        "upload_to_result_seconds": {
            "median": statistics.median(seconds),
            "p95": statistics.quantiles(seconds, n=20)[-1],
            "max": max(seconds),
        },
        "at_once": at_once | {"films_per_second": at_once_rate},
        "rounds": rounds,
        "backlog_films_per_second": middle("backlog"),
        "engine_films_per_second": middle("engine"),
        "ratio_at_once_to_engine": at_once_rate / middle("engine"),
        "ratio_backlog_to_engine": statistics.median(each["backlog"] / each["engine"] for each in rounds),
    }
    show(report)
    write_report("bench.json", report)


def show(report: dict[str, Any]) -> None:
    table = Table(title=f"{report['count']} films ({report['films']}), {os.cpu_count()} cores")
    for heading in ("what", "measured", "wanted"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    result, at_once = report["upload_to_result_seconds"], report["at_once"]
    lost = at_once["sent"] - sum(at_once.get(state, 0) for state in ("done", "refused", "failed"))
    rows = [
        ("upload to result, one after another: median", f"{result['median']:.3f} s", "< 1 s"),
        ("  95th percentile", f"{result['p95']:.3f} s", ""),
        (f"all at once from {CLIENTS} clients: lost", f"{lost}", "0"),
        ("  worker's rate while uploads come in", f"{at_once['films_per_second']:.1f} films/s", ""),
        ("worker's rate on a backlog", f"{report['backlog_films_per_second']:.1f} films/s", ""),
        (f"engine alone ({report['rounds'][0]['engine_name']})", f"{report['engine_films_per_second']:.1f} films/s", ""),
        (f"worker on a backlog / engine alone, median of {ROUNDS}", f"{report['ratio_backlog_to_engine']:.2f}", "≥ 0.80"),
        ("worker while uploads come in / engine alone", f"{report['ratio_at_once_to_engine']:.2f}", ""),
    ]
    for row in rows:
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
