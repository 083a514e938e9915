"""One fault from beginning to end: uploads go on, the fault does its work, everything comes back, and the portal is judged."""

import contextlib
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.faults.client import Client, Reader, statuses
from tests.faults.films import Film, make_film
from tests.faults.invariants import Verdict, judge, last_line, unnamed_objects
from tests.faults.site import Pace, Site
from tests.servers import wait_until

WATCH_SECONDS = 0.2
LOOK_SECONDS = 2.0  # a busy machine's watcher may see a final state so much later
MOST_STRIKES = 20
SOAK_EVERY = 15.0  # seconds between two faults of a soak, on average
BATCH = 32  # films of a worker's batch
PATIENCE = 240.0  # for which a client tries one upload again


@dataclass(frozen=True)
class Fault:
    """A row of the matrix. A case is final `bound` seconds after the last fault, or after its upload if that came later."""

    key: str
    title: str
    inject: Callable[["Scene"], None]
    bound: Callable[[Pace], float]
    site: str = "large"
    make: Callable[[str, int], Film] = make_film
    may_fail: bool = False  # whether a case may end as failed with its code
    needs_stub: bool = False  # the network itself cannot be made to do this
    soaks: bool = False  # goes on for the pace's soak
    film_seconds: float = 0.0  # what the mix of films costs for each upload, on top of the bound
    reads_pages: bool = True
    is_long: bool = False  # takes much longer than the others


@dataclass
class Scene:
    """What a fault's script works with."""

    fault: Fault
    site: Site
    run: str
    count: int
    chance: random.Random
    client: Client
    spans: list[tuple[float, float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    aimed_at: set[str] = field(default_factory=set)

    @property
    def pace(self) -> Pace:
        return self.site.pace

    @property
    def calm_at(self) -> float:
        """When the last fault was over (monotonic); the beginning of time where there was none."""
        return max((end for _, end in self.spans), default=0.0)

    @property
    def uploading(self) -> bool:
        return not self.client.done.is_set()

    def pause(self, seconds: float) -> None:
        """Wait that long in production, less in a quick run."""
        time.sleep(seconds * self.pace.stretch)

    @contextlib.contextmanager
    def trouble(self) -> Iterator[None]:
        """What happens in the block is the fault; recovery counts from its end."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.spans.append((begun, time.monotonic()))

    def strike(self) -> None:
        """A fault that takes no time has just happened."""
        self.spans.append((time.monotonic(), time.monotonic()))

    def every(self, seconds: float, act: Callable[[], None], *, least: int = 2) -> None:
        """Act again and again while films come at full speed, and at least so often; then the rest is let through."""
        done = 0
        while done < least or (not self.client.trickles and done < MOST_STRIKES):
            self.pause(seconds)
            act()
            done += 1
        self.facts.setdefault("strikes", done)
        self.client.release()

    def soak(self, act: Callable[[], None]) -> None:
        """Act at random moments for as long as the pace says, then let the rest through."""
        end, done = time.monotonic() + self.pace.soak, 0
        while time.monotonic() < end:
            time.sleep(self.chance.uniform(2.0, 2 * SOAK_EVERY - 2.0))
            act()
            done += 1
        self.facts.setdefault("strikes", done)
        self.client.release()

    def wait_uploads(self, *, share: float = 1.0, seconds: float = PATIENCE) -> None:
        """Until that share of the films is accepted, or all are settled."""
        end = time.monotonic() + seconds
        if share == 1.0:
            self.client.release()
        while time.monotonic() < end and self.uploading:
            if share < 1.0 and len(self.client.accepted) >= share * self.count:
                return
            time.sleep(0.02)


class Watcher:
    """Notes when each case turned out to be final, by the harness's clock: the database's may be wrong on purpose."""

    def __init__(self, site: Site, run: str) -> None:
        self.seen: dict[str, float] = {}
        self._site, self._run = site, run
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(30)

    def look(self) -> None:
        with contextlib.suppress(Exception):  # the database is away: looked at again in a moment
            now = time.monotonic()
            for key in self._site.records.final_keys(self._run) - self.seen.keys():
                self.seen[key] = now

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            self.look()


def run_fault(fault: Fault, site: Site, *, count: int, seed: int) -> dict[str, Any]:
    """One row of the table, as facts."""
    run = f"{fault.key}-{seed}-{random.getrandbits(32):08x}"
    before, starts = unnamed_objects(site, site.objects.keys()), site.worker_starts
    site.forget_hits()
    login = site.portal.logins["doctor"]
    client = Client(
        site.portal.url,
        login["api_token"],
        run,
        lambda number: fault.make(run, number),
        count,
        site.pace.rate,
        PATIENCE,
        spread_over=site.pace.soak if fault.soaks else 0.0,
    )
    scene = Scene(fault, site, run, count, random.Random(f"{fault.key}/{seed}"), client)
    watcher, reader = Watcher(site, run), Reader(site.portal.url, login, client, site.pace.reading)
    begun = time.monotonic()
    wait_until(lambda: site.portal.answers("/accounts/login/"), "the portal's answer before the fault", seconds=120)
    watcher.start()
    if fault.reads_pages:
        reader.start()
    client.start()
    try:
        fault.inject(scene)
        client.release()
        client.done.wait(PATIENCE + 60)
    except Exception as error:  # noqa: BLE001 - a script that fails breaks its row, not the run
        scene.facts["broken"] = [f"{type(error).__name__}: {error} {last_line(getattr(error, 'stderr', None))}"]
        client.release()
    finally:
        site.heal()
        bound = fault.bound(site.pace) + fault.film_seconds * count
        _drain(client, watcher, until=time.monotonic() + bound)
        watcher.stop()
        if fault.reads_pages:
            reader.stop()
    _wait_displays(site, run)
    client.send_again(0.1)
    leftovers = before + explained(scene, site.worker_starts - starts)
    verdict = judge(site, client, reader if fault.reads_pages else None, run=run, leftovers=leftovers)
    verdict.late = len(late_cases(scene, watcher, bound))
    return describe(scene, verdict, watcher, reader, bound=bound, seconds=time.monotonic() - begun)


def explained(scene: Scene, deaths: int) -> Counter[str]:
    """What may lie in storage without a row: a film for each request that got no 2xx, a batch's heatmaps for each worker that
    ended or whose commit was refused again and again, a probe for each process that ended. `cut_off` is what a fault's script
    knows besides."""
    client, more = scene.client, scene.facts.pop("cut_off", 0)
    batches = deaths + scene.facts.pop("batches refused", 0)
    refused = sum(number for status, number in client.answers.items() if status >= 500) + sum(client.errors.values())
    return Counter(cases=refused + more, heatmaps=BATCH * batches + more, probes=refused + deaths + more, displays=more)


def _drain(client: Client, watcher: Watcher, *, until: float) -> None:
    while time.monotonic() < until:
        watcher.look()
        if client.accepted.keys() <= watcher.seen.keys():
            return
        time.sleep(0.1)


def _wait_displays(site: Site, run: str, *, seconds: float = 30.0) -> None:
    """Pictures are drawn when nothing waits: what lies in storage is looked at when they are."""
    query = "SELECT count(*) FROM diagnostics_case WHERE display = 'pending' AND state IN ('done', 'refused')"
    end = time.monotonic() + seconds
    with contextlib.suppress(Exception):
        while time.monotonic() < end and site.records.ask(query)[0][0]:
            time.sleep(0.1)


def never_staged(scene: Scene) -> list[str]:
    """Places where a process was to fall and none did: what holds without its fault holds nothing."""
    return [f"nothing fell at {place}" for place in sorted(scene.aimed_at) if not scene.site.hits(place)]


def recoveries(scene: Scene, watcher: Watcher) -> list[float]:
    """For each case that was accepted and not final when the last fault ended: seconds from then to its final state."""
    calm, accepted = scene.calm_at, scene.client.accepted
    return [final - calm for key, final in watcher.seen.items() if key in accepted and accepted[key].at <= calm <= final]


def waits(scene: Scene, watcher: Watcher) -> list[float]:
    """For each case that was accepted and not final when some fault ended: seconds from the first such end to its final state,
    through all faults that followed."""
    found = []
    for key, one in scene.client.accepted.items():
        final = watcher.seen.get(key)
        ends = [end for _, end in scene.spans if one.at <= end and (final is None or end <= final)]
        if ends and final is not None:
            found.append(final - min(ends))
    return found


def late_cases(scene: Scene, watcher: Watcher, bound: float) -> list[str]:
    """Cases that were final later than the bound after the last fault, or after their upload if that came later."""
    due = {key: max(scene.calm_at, one.at) + bound + LOOK_SECONDS for key, one in scene.client.accepted.items()}
    return [key for key, end in due.items() if watcher.seen.get(key, 0.0) > end]


def percentile(values: list[float], share: float) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)


def describe(
    scene: Scene, verdict: Verdict, watcher: Watcher, reader: Reader, *, bound: float, seconds: float
) -> dict[str, Any]:
    """The row, with the reasons for which it is broken, if it is."""
    fault, client = scene.fault, scene.client
    times, latencies = recoveries(scene, watcher), [one.seconds for one in client.accepted.values()]
    through = waits(scene, watcher)
    counts = {name: value for name, value in asdict(verdict).items() if name != "words"}
    broken = [name for name, value in counts.items() if value and not (name == "failed" and fault.may_fail)]
    if client.given_up:
        broken.append("given_up")
    if not client.accepted:
        broken.append("nothing was uploaded")
    broken += scene.facts.pop("broken", [])
    broken += never_staged(scene)
    return {
        "fault": fault.key,
        "title": fault.title,
        "site": scene.site.kind,
        "uploads": len(client.accepted),
        **counts,
        "audit": "",
        "storage": "",
        "given_up": client.given_up,
        "recovery_p50": round(statistics.median(times), 2) if times else None,
        "recovery_p99": percentile(times, 0.99),
        "waited_out": len(times),
        "wait_p99": percentile(through, 0.99),
        "bound": round(bound, 1),
        "upload_p50": percentile(latencies, 0.5),
        "upload_p99": percentile(latencies, 0.99),
        "strikes": scene.facts.pop("strikes", len(scene.spans)),
        "answers": statuses(client.answers),
        "errors": dict(client.errors),
        "pages": statuses(reader.answers),
        "facts": scene.facts,
        "seconds": round(seconds, 1),
        "words": verdict.words,
        "broken": broken,
        "verdict": "holds" if not broken else "BROKEN: " + ", ".join(broken),
    }
