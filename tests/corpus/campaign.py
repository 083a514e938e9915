"""Every specimen and many mutants through a running portal: by the API, by the web page, and past the gate to the worker."""

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import requests

from tests.corpus import build_corpus, mutate
from tests.integration.test_isolation import peak_memory_of, processes_of
from tests.portal import FINAL_STATES, ROOT, Portal

CLIENTS = 8
BATCH = 48  # uploads under way: a time is a film's own, and not that of a queue of hundreds
SECONDS_EACH = 30.0
SAMPLE_SECONDS = 0.1
NO_QUOTA = dict.fromkeys(("UPLOADS_PER_MINUTE", "UPLOAD_DAILY_FILES", "UPLOAD_DAILY_BYTES"), "0")
ROUTES = ("api", "page")


@dataclass
class Campaign:
    """What came of all that was sent."""

    answers: Counter[str] = field(default_factory=Counter)  # "route: who answered: code"
    unexpected: list[str] = field(default_factory=list)
    slowest: float = 0.0
    memory_mb: dict[str, float] = field(default_factory=dict)
    worker_lived: bool = False
    files: int = 0

    @property
    def broken(self) -> bool:
        return bool(self.unexpected) or not self.worker_lived or self.slowest > SECONDS_EACH


def run_campaign(portal: Portal, *, mutants: int, seed: int) -> Campaign:
    """Named specimens by both routes and, where the gate turns them away, past it; mutants by the two routes in turn."""
    campaign = Campaign()
    worker = processes_of(portal, "run_worker")
    with watched_memory(portal, campaign), requests.Session() as page:
        token = log_in(portal, page)
        named = {name: (item.file_name, item.data) for name, item in build_corpus().items()}
        expected = {name: item.gate or item.reading for name, item in build_corpus().items()}
        for route in ROUTES:
            send_all(portal, page, token, campaign, route, named, expected)
        mutated = {f"mutant {number}": ("film.dcm", data) for number, data in enumerate(mutate(seed, mutants))}
        for place, route in enumerate(ROUTES):
            send_all(portal, page, token, campaign, route, dict(list(mutated.items())[place :: len(ROUTES)]), {})
        turned_away = {name: item.data for name, item in build_corpus().items() if item.gate and item.data}
        smuggle_all(portal, campaign, turned_away)
    campaign.worker_lived = processes_of(portal, "run_worker") == worker
    return campaign


def send_all(
    portal: Portal,
    page: requests.Session,
    token: str,
    campaign: Campaign,
    route: str,
    files: Mapping[str, tuple[str, bytes]],
    expected: Mapping[str, str],
) -> None:
    """Upload, wait for what was accepted, and note each answer; a name without an expected code may get any."""

    def send(name: str) -> tuple[str, float, requests.Response]:
        file_name, data = files[name]
        begun = time.monotonic()
        answer = portal.upload(data, file_name) if route == "api" else post_page(portal, page, token, file_name, data)
        return name, begun, answer

    names = list(files)
    with ThreadPoolExecutor(CLIENTS) as clients:
        for start in range(0, len(names), BATCH):
            waiting: dict[str, tuple[str, float]] = {}
            for name, begun, answer in clients.map(send, names[start : start + BATCH]):
                campaign.files += 1
                if answer.status_code in {200, 201}:
                    waiting[str(answer.json()["id"])] = (name, begun)
                else:
                    note_refusal(campaign, route, name, answer, expected)
                    campaign.slowest = max(campaign.slowest, answer.elapsed.total_seconds())
            wait_all(portal, campaign, route, waiting, expected)


def note_refusal(campaign: Campaign, route: str, name: str, answer: requests.Response, expected: Mapping[str, str]) -> None:
    try:
        code = str(answer.json()["code"])
    except (ValueError, KeyError):
        code = ""
    campaign.answers[f"{route}: gate: {code or answer.status_code}"] += 1
    if answer.status_code != 422 or not code or expected.get(name, code) != code:
        campaign.unexpected.append(f"{route}: {name}: {answer.status_code} {code}")


def wait_all(
    portal: Portal, campaign: Campaign, route: str, waiting: dict[str, tuple[str, float]], expected: Mapping[str, str]
) -> None:
    """Until every accepted one is final; one that never is counts as the slowest."""
    while waiting:
        for case_id, (name, begun) in list(waiting.items()):
            case = portal.case(case_id)
            seconds = time.monotonic() - begun
            if case["state"] not in FINAL_STATES and seconds < 4 * SECONDS_EACH:
                continue
            del waiting[case_id]
            campaign.slowest = max(campaign.slowest, seconds)
            note_end(campaign, route, name, case, expected)
        time.sleep(0.1)


def note_end(campaign: Campaign, route: str, name: str, case: dict[str, Any], expected: Mapping[str, str]) -> None:
    code = case["code"] or ("read" if case["state"] == "done" else f"no code: {case['state']}")
    campaign.answers[f"{route}: worker: {code}"] += 1
    # A drawn film that can be read may still be refused by the real model's gate: what it looks like is no matter of its bytes.
    odd = case["state"] not in {"done", "refused"} or (name in expected and expected[name] and expected[name] != code)
    if odd:
        campaign.unexpected.append(f"{route}: {name}: {case['state']} {code}")


def smuggle_all(portal: Portal, campaign: Campaign, files: Mapping[str, bytes]) -> None:
    """Past the gate: the worker turns away what it cannot read, with a code, and lives."""
    names = list(files)
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(names):
            (Path(folder) / f"{number:04}").write_bytes(files[name])
        begun = time.monotonic()
        command = [sys.executable, "-m", "tests.corpus.smuggle", folder]
        done = subprocess.run(command, cwd=ROOT, env=portal.environment, check=True, capture_output=True, text=True)
    made: dict[str, str] = json.loads(done.stdout)
    campaign.files += len(made)
    # They are there all at once: each one's own time is not known, only that of all.
    share = {case_id: (names[int(number)], begun) for number, case_id in made.items()}
    before, campaign.slowest = campaign.slowest, 0.0
    wait_all(portal, campaign, "past the gate", share, {})
    campaign.slowest = max(before, campaign.slowest / max(1, len(made)))


def log_in(portal: Portal, page: requests.Session) -> str:
    """The page's CSRF token for the doctor's session."""
    form = portal.logins["doctor"]
    first = page.get(f"{portal.url}/accounts/login/", timeout=60).text
    data = {"login": form["email"], "password": form["password"], "csrfmiddlewaretoken": _token(first)}
    page.post(f"{portal.url}/accounts/login/", data=data, timeout=60).raise_for_status()
    return _token(page.get(f"{portal.url}/cases/upload/", timeout=60).text)


def _token(html: str) -> str:
    return re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', html)[0]


def post_page(portal: Portal, page: requests.Session, token: str, name: str, data: bytes) -> requests.Response:
    """As the upload page's script sends one file."""
    headers = {"Accept": "application/json", "X-CSRFToken": token}
    url = f"{portal.url}/cases/upload/"
    return requests.post(url, files={"file": (name, data)}, headers=headers, cookies=page.cookies, timeout=60)


@contextlib.contextmanager
def watched_memory(portal: Portal, campaign: Campaign) -> Iterator[None]:
    """The most that was ever resident, of web, worker and decoding children, in MB."""
    stopping = threading.Event()
    peaks = {"web": 0.0, "worker": 0.0, "decoder": 0.0}

    def look() -> None:
        for kind, pids in groups_of(portal).items():
            for pid in pids:
                with contextlib.suppress(OSError, StopIteration):
                    peaks[kind] = max(peaks[kind], peak_memory_of(pid))

    def watch() -> None:
        while not stopping.wait(SAMPLE_SECONDS):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        look()
        campaign.memory_mb = {kind: round(peak, 1) for kind, peak in peaks.items()}


def groups_of(portal: Portal) -> dict[str, Sequence[int]]:
    workers = processes_of(portal, "run_worker")
    children: list[int] = []
    for pid in workers:
        with contextlib.suppress(psutil.Error):
            children += [child.pid for child in psutil.Process(pid).children()]
    return {"web": processes_of(portal, "gunicorn"), "worker": workers, "decoder": children}
