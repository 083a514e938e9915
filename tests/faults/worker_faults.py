"""F1 to F3, F15 to F17: what befalls a worker."""

import contextlib
import signal
import time

import psutil  # type: ignore[import-untyped]
from rq import Queue
from rq.serializers import JSONSerializer

from diagnostics.jobs import ANALYSE_CASE, AnalysisJob
from tests.faults.films import POISONS, Film, make_film
from tests.faults.parts import Part
from tests.faults.scene import Fault, Scene
from tests.faults.site import Pace

STALL_SECONDS, HANG_ATTEMPTS = 4, 2
FILM_EVERY = 0.5  # seconds, while a place waits for a process
DECODE_SECONDS = 2
POISON_EVERY = 20  # films: 5 %
POISON_SECONDS = DECODE_SECONDS + 3  # of one of two decoding children, which is then started again


def nothing(scene: Scene) -> None:
    """The same uploads with no fault: what the others are compared with."""
    scene.wait_uploads()


def kill_worker(scene: Scene) -> None:
    """At any moment, and every other time with a batch in hand."""

    def strike() -> None:
        if scene.chance.random() < 0.5:
            scene.site.arm("worker.in_hand")
            wait_until_hit(scene, "worker.in_hand")
        else:
            scene.site.workers[0].kill()
        scene.strike()

    scene.every(5.0, strike)
    scene.facts["with a batch in hand"] = scene.site.hits("worker.in_hand")


def terminate_worker(scene: Scene) -> None:
    """As a release does; every other time in the moment between a call's dequeue and its start."""

    def strike() -> None:
        if scene.chance.random() < 0.5:
            scene.site.arm("worker.popped", action="term")
            wait_until_hit(scene, "worker.popped")
        else:
            scene.site.workers[0].kill(signal.SIGTERM)
        scene.strike()

    scene.every(5.0, strike)
    scene.facts["between pop and start"] = scene.site.hits("worker.popped")


def kill_between_pop_and_start(scene: Scene) -> None:
    def strike() -> None:
        scene.site.arm("worker.popped")
        wait_until_hit(scene, "worker.popped")
        scene.strike()

    scene.every(5.0, strike)
    scene.facts["between pop and start"] = scene.site.hits("worker.popped")


def kill_around_store(scene: Scene) -> None:
    """Before the result is written, and after its commit, before the worker knows of it."""
    places = ("worker.before_store", "worker.after_store")

    def strike() -> None:
        place = scene.chance.choice(places)
        scene.site.arm(place)
        wait_until_hit(scene, place)
        scene.strike()

    scene.every(5.0, strike)
    scene.facts |= {place: scene.site.hits(place) for place in places}


def stop_and_continue(scene: Scene) -> None:
    """A worker that is stopped with cases in hand and comes back when another has done them."""
    fenced = scene.site.hits("fenced")
    for _ in range(2):
        scene.site.arm("worker.in_hand", action="stop")
        if not wait_until_hit(scene, "worker.in_hand"):
            continue
        scene.strike()
        if len(scene.site.workers) == 1:
            scene.site.wait_warm(scene.site.add_worker())
        scene.pause(60.0)
        end = time.monotonic() + 3 * scene.pace.recovery
        while scene.site.records.in_work(stopped(scene)) and time.monotonic() < end:
            time.sleep(0.1)  # until the other one has been given what this one holds
        for worker in scene.site.workers:
            worker.kill(signal.SIGCONT)
    scene.wait_uploads()
    end = time.monotonic() + 10
    while scene.site.hits("fenced") == fenced and time.monotonic() < end:
        time.sleep(0.1)
    scene.facts["fenced writes"] = scene.site.hits("fenced") - fenced
    if not scene.facts["fenced writes"]:
        scene.facts["broken"] = ["no write met the fence"]


def stopped(scene: Scene) -> str:
    """The name, as rows have it, of the worker that is stopped."""
    for worker in scene.site.workers:
        with contextlib.suppress(psutil.Error):
            if worker.pid and psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED:
                return f"%:{worker.pid}"
    return "nobody"


def deliver_thrice(scene: Scene) -> None:
    """Every wake-up call comes three more times, to two workers."""
    scene.site.wait_warm(scene.site.add_worker())
    scene.client.release()
    queue = Queue("analysis", connection=scene.site.redis_client(), serializer=JSONSerializer, job_class=AnalysisJob)
    sent: set[str] = set()
    while scene.uploading or len(sent) < len(scene.client.accepted):
        for one in list(scene.client.accepted.values()):
            if one.case_id not in sent:
                sent.add(one.case_id)
                for number in range(3):
                    queue.enqueue_call(
                        ANALYSE_CASE, args=(one.case_id,), job_id=f"again-{number}-{one.case_id}", result_ttl=0, ttl=600
                    )
        time.sleep(0.02)
    scene.strike()
    scene.facts["calls sent again"] = 3 * len(sent)


def poison_films(scene: Scene) -> None:
    """Films that crash, bloat, hang or exhaust their decoding child, among good ones."""
    worker = restart_worker(scene, FAULTS_DECODE_SECONDS=str(DECODE_SECONDS))
    before = worker.pid
    scene.wait_uploads()
    scene.strike()
    wait_until_final(scene)
    if worker.pid != before:
        scene.facts["broken"] = ["the worker died"]
    scene.facts["worker pid unchanged"] = worker.pid == before
    rows = scene.site.records.cases(scene.run).values()
    scene.facts["poison films"] = sum(row.refusal == "UNREADABLE" for row in rows)
    scene.facts["most attempts"] = max((row.attempt for row in rows), default=0)
    restart_worker(scene, FAULTS_DECODE_SECONDS="20")


def poisoned(run: str, number: int) -> Film:
    poison = POISONS[number // POISON_EVERY % len(POISONS)] if number % POISON_EVERY == 7 else ""
    return make_film(run, number, poison=poison)


def hang_engine(scene: Scene) -> None:
    """Native code that never returns: the watchdog ends the worker, and only the film that did it fails, after its attempts."""
    limits = {"WORKER_STALL_SECONDS": str(STALL_SECONDS), "ANALYSIS_MAX_ATTEMPTS": str(HANG_ATTEMPTS)}
    restart_reconciler(scene, **limits)
    worker = restart_worker(scene, **limits)
    starts = worker.starts
    scene.wait_uploads()
    scene.strike()
    wait_until_final(scene, seconds=hang_bound(scene.pace))
    failed = [row for row in scene.site.records.cases(scene.run).values() if row.state == "failed"]
    scene.facts["ended by the watchdog"] = worker.starts - starts
    if worker.starts == starts:
        scene.facts["broken"] = ["the watchdog did not act"]
    if [row.failure for row in failed] != ["WORKER_LOST"]:
        scene.facts["broken"] = [f"failed: {[(row.key, row.failure) for row in failed][:5]}"]
    restart_reconciler(scene, ANALYSIS_MAX_ATTEMPTS="3")
    restart_worker(scene, WORKER_STALL_SECONDS="120", ANALYSIS_MAX_ATTEMPTS="3")


def hanging(run: str, number: int) -> Film:
    return make_film(run, number, poison="engine" if number == 5 else "")


def hang_bound(pace: Pace) -> float:
    return HANG_ATTEMPTS * (STALL_SECONDS + pace.recovery + 8)


# What the scripts share


def wait_until_hit(scene: Scene, place: str, *, seconds: float = 15.0) -> bool:
    """Until a process came to the armed place, which a film now and then may bring; where none did, the place is safe again."""
    scene.aimed_at.add(place)
    begun = film_at = time.monotonic()
    while (scene.site.points / place).exists():
        now = time.monotonic()
        if now > begun + seconds:
            (scene.site.points / place).unlink(missing_ok=True)
            return False
        if now > film_at + FILM_EVERY:
            scene.client.send_one()
            film_at = now
        time.sleep(0.02)
    return True


def wait_until_final(scene: Scene, *, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    wanted = scene.client.accepted.keys()
    while time.monotonic() < end and not wanted <= scene.site.records.final_keys(scene.run):
        time.sleep(0.1)


def restart_reconciler(scene: Scene, **environment: str) -> None:
    reconciler = scene.site.reconcilers[0]
    reconciler.stop()
    reconciler.start(**environment)


def restart_worker(scene: Scene, **environment: str) -> Part:
    worker = scene.site.workers[0]
    worker.stop()
    worker.start(**environment)
    scene.site.wait_warm(worker)
    return worker


WORKER_FAULTS = (
    Fault("F0", "no fault, for comparison", nothing, lambda pace: pace.recovery),
    Fault("F1", "kill -9 of the worker, every 5 s", kill_worker, lambda pace: pace.recovery),
    Fault("F1p", "kill -9 between a call's dequeue and its start", kill_between_pop_and_start, lambda pace: pace.recovery),
    Fault("F1s", "kill -9 just before and just after the result's commit", kill_around_store, lambda pace: pace.recovery),
    Fault("F2", "SIGTERM of the worker, every 5 s", terminate_worker, lambda pace: pace.recovery),
    Fault("F3", "worker stopped with cases in hand, back later", stop_and_continue, lambda pace: pace.recovery, is_long=True),
    Fault("F15", "every wake-up call three more times, two workers", deliver_thrice, lambda pace: pace.recovery),
    Fault(
        "F16",
        "films that crash, bloat or hang their decoder (5 %)",
        poison_films,
        lambda pace: pace.recovery,
        make=poisoned,
        needs_stub=True,
        film_seconds=POISON_SECONDS / POISON_EVERY / 2,
    ),
    Fault(
        "F17",
        "native code that never returns",
        hang_engine,
        hang_bound,
        make=hanging,
        may_fail=True,
        needs_stub=True,
        is_long=True,
    ),
)
