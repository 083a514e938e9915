"""Eight clients that upload with idempotency keys, try again after every failure, and keep their own log of each 2xx.

The log is the truth that the portal is held against.
"""

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.faults.films import Film
from tests.faults.marks import CANARY

THREADS = 8
REQUEST_SECONDS = 60.0
PAUSE_SECONDS = (0.1, 0.5)  # before a request is tried again
BODIES_KEPT = 400
TRICKLE = 4.0  # films a second
RESERVE = 6  # films that come one by one, when a script waits for a process to come by


@dataclass(frozen=True, slots=True)
class Accepted:
    """One upload that was answered with 2xx: when (monotonic), after how long, at which try."""

    film: Film
    case_id: str
    at: float
    seconds: float
    tries: int


@dataclass
class Client:
    """Uploads `count` films, at most `rate` a second; `done` is set when each is accepted or given up.

    The last third comes in a trickle until `release` is called, and the last few only when they are asked for: faults go on for
    longer than a small number of films. With `spread_over` so many seconds all of them trickle.
    """

    url: str
    token: str
    run: str
    make: Callable[[int], Film]
    count: int
    rate: float
    patience: float
    spread_over: float = 0.0
    accepted: dict[str, Accepted] = field(default_factory=dict)
    answers: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    bodies: list[str] = field(default_factory=list)
    second_ids: list[str] = field(default_factory=list)
    given_up: int = 0

    def __post_init__(self) -> None:
        self.done, self._released = threading.Event(), threading.Event()
        self.first = 0 if self.spread_over else self.count * 2 // 3
        self._last = self.count if self.spread_over else max(self.first, self.count - RESERVE)
        self._wanted = threading.Semaphore(0)
        self._trickle = self.count / self.spread_over if self.spread_over else TRICKLE
        self._lock = threading.Lock()
        self._numbers: Iterator[int] = iter(range(self.count))
        self._begun, self._taken = 0.0, 0
        self._left = THREADS

    def start(self) -> None:
        self._begun = time.monotonic()
        for number in range(THREADS):
            threading.Thread(target=self._work, name=f"client {number}", daemon=True).start()

    @property
    def trickles(self) -> bool:
        """Whether the films at full speed are all on their way."""
        return self._taken >= self.first

    def release(self) -> None:
        self._released.set()

    def send_one(self) -> None:
        """One film of the reserve, if there is any left."""
        self._wanted.release()

    def key(self, film: Film) -> str:
        return f"{self.run}/{film.number}"

    def send_again(self, share: float) -> None:
        """Repeat a share of the accepted uploads with their keys: each must bring the first case back."""
        with requests.Session() as session:
            for one in list(self.accepted.values()):
                if random.Random(one.case_id).random() < share:
                    self._note(one.film, self._send(session, one.film), 1)

    def _work(self) -> None:
        with requests.Session() as session:
            while (number := self._next()) is not None:
                film = self.make(number)
                self._wait_turn(number)
                self._deliver(session, film)
        with self._lock:
            self._left -= 1
            if not self._left:
                self.done.set()

    def _next(self) -> int | None:
        with self._lock:
            self._taken += 1
            return next(self._numbers, None)

    def _wait_turn(self, number: int) -> None:
        turn = self._begun + min(number, self.first) / self.rate + max(0, number - self.first) / self._trickle
        while (left := turn - time.monotonic()) > 0 and not (number >= self.first and self._released.is_set()):
            time.sleep(min(left, 0.05))
        while number >= self._last and not (self._released.is_set() or self._wanted.acquire(timeout=0.05)):
            pass

    def _deliver(self, session: requests.Session, film: Film) -> None:
        end = time.monotonic() + self.patience
        tries = 0
        while time.monotonic() < end:
            tries += 1
            answer = self._send(session, film)
            if self._note(film, answer, tries):
                return
            time.sleep(random.uniform(*PAUSE_SECONDS))
        with self._lock:
            self.given_up += 1

    def _send(self, session: requests.Session, film: Film) -> requests.Response | Exception:
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": self.key(film)}
        form = {
            "patient_mrn": f"{CANARY}MRN{film.number % 50}",
            "patient_name": f"{CANARY}NAME",
            "clinical_note": f"{CANARY}NOTE",
            "accession_number": f"{CANARY}ACC",
        }
        try:
            return session.post(
                f"{self.url}/api/v1/cases",
                files={"file": (film.name, film.content)},
                data=form,
                headers=headers,
                timeout=REQUEST_SECONDS,
            )
        except requests.RequestException as error:
            return error

    def _note(self, film: Film, answer: requests.Response | Exception, tries: int) -> bool:
        """Write the answer down; true where the upload is through."""
        with self._lock:
            if isinstance(answer, Exception):
                self.errors[type(answer).__name__] += 1
                return False
            self.answers[answer.status_code] += 1
            if answer.status_code not in {200, 201}:
                if len(self.bodies) < BODIES_KEPT:
                    self.bodies.append(answer.text)
                return False
            self._enter(film, str(answer.json()["id"]), answer.elapsed.total_seconds(), tries)
            return True

    def _enter(self, film: Film, case_id: str, seconds: float, tries: int) -> None:
        first = self.accepted.get(self.key(film))
        if first is None:
            self.accepted[self.key(film)] = Accepted(film, case_id, time.monotonic(), seconds, tries)
        elif first.case_id != case_id:
            self.second_ids.append(case_id)


class Reader:
    """A clinician who looks at pages all the while; what matters is that none is a 500."""

    def __init__(self, url: str, login: dict[str, str], client: Client, pause: float) -> None:
        self.answers: Counter[int] = Counter()
        self.bodies: list[str] = []
        self._url, self._login, self._client, self._pause = url, login, client, pause
        self._stopping = threading.Event()
        self._session = requests.Session()
        self._thread = threading.Thread(target=self._read, name="reader", daemon=True)

    def start(self) -> None:
        """Log in; a web process that the fault before this one hurt may still be on its way out."""
        for tries_left in (2, 1, 0):
            try:
                self._log_in()
                break
            except (requests.RequestException, IndexError):
                if not tries_left:
                    raise
                time.sleep(1)
        self._thread.start()

    def _log_in(self) -> None:
        page = self._session.get(f"{self._url}/accounts/login/", timeout=REQUEST_SECONDS).text
        token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[0]
        form = {"login": self._login["email"], "password": self._login["password"], "csrfmiddlewaretoken": token}
        answer = self._session.post(f"{self._url}/accounts/login/", data=form, timeout=REQUEST_SECONDS)
        if not answer.url.endswith("/cases/"):
            raise RuntimeError(f"the reader could not log in: {answer.status_code} {answer.url}")

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(REQUEST_SECONDS)
        self._session.close()

    def _read(self) -> None:
        chance = random.Random(1)
        while not self._stopping.wait(self._pause):
            path = self._choose(chance)
            try:
                answer = self._session.get(f"{self._url}{path}", timeout=REQUEST_SECONDS)
            except requests.RequestException:
                continue
            self.answers[answer.status_code] += 1
            if answer.status_code >= 400 and len(self.bodies) < BODIES_KEPT:
                self.bodies.append(answer.text)

    def _choose(self, chance: random.Random) -> str:
        accepted = list(self._client.accepted.values())
        if not accepted or chance.random() < 0.2:
            return chance.choice(("/cases/", "/readyz", "/metrics", "/accounts/login/"))
        case_id = chance.choice(accepted).case_id
        return f"/cases/{case_id}/{chance.choice(('', 'status/', 'display/', 'original/'))}"


def statuses(counter: "Counter[Any]") -> dict[str, int]:
    return {str(status): number for status, number in sorted(counter.items())}
