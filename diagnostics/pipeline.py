"""The worker's three stages, each in its own thread: read (claim, fetch, decode), infer, store.

While one batch is in the engine, the next is being read and the last is being stored. The pipeline looks for queued rows by
itself every few seconds; a wake-up call only makes it look at once. So it works with Redis down, flushed or restarted.

Beside the stages one thread follows the registry (`services.serving`), and one reads in shadow while the stages are idle.
"""

import faulthandler
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import Queue
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection

from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError
from diagnostics.models import Case
from diagnostics.querysets import CaseQuerySet
from diagnostics.services import analysis, drawing, heartbeat, inference, serving, shadowing
from diagnostics.services.inference import Batch
from diagnostics.services.reconciliation import MOST_PAUSE, reconcile, seconds_to_next_pass
from diagnostics.services.serving import Held, Serving
from mlmodel.api import DecoderUnavailableError

if TYPE_CHECKING:
    from mlmodel.api import Predictor

DATABASE_DOWN = (OperationalError, InterfaceError)
RETRY_SECONDS = 1.0
DECODERS_RETRY_SECONDS = 5.0
STORE_TRIES = 20
IO_THREADS = 4
LOOK_SECONDS = 0.05

logger = logging.getLogger(__name__)


class Pipeline:
    """Analyses queued cases until it is stopped. Start it once per process.

    It begins with `predictor` and closes it; with `follows` it goes over to whatever version the registry puts in service.
    `suspended` says that none is in service now, and `predictor` the version in shadow.
    """

    def __init__(self, *, predictor: "Predictor", name: str, follows: bool = False, suspended: bool = False) -> None:
        self.name = name
        self.stopping = threading.Event()
        self._finished = threading.Event()
        self._reconciles_at = 0.0  # monotonic
        self._serving = Serving(predictor, worker=name, suspended=suspended)
        self._wake = threading.Event()
        self._hands = threading.Condition()
        self._storage_failed = threading.Event()
        self._in_hand: dict[UUID, Case] = {}
        self._to_infer: Queue[tuple[Batch, Held] | None] = Queue(maxsize=1)
        self._to_store: Queue[Batch | None] = Queue(maxsize=2)
        self._io = ThreadPoolExecutor(IO_THREADS, thread_name_prefix="films")
        self._threads = [
            threading.Thread(target=target, name=target.__name__.strip("_"), daemon=True)
            for target in (self._read_stage, self._infer_stage, self._store_stage)
        ]
        followers = (self._follow_registry, self._read_in_shadow) if follows else ()
        self._followers = [
            threading.Thread(target=target, name=target.__name__.strip("_"), daemon=True) for target in followers
        ]
        self._keeper = threading.Thread(target=self._keep_alive, name="keep_alive", daemon=True)

    def start(self) -> None:
        held = self._serving.take()
        heartbeat.start_worker(name=self.name, model_version=self._serving.version, engine=held.predictor.engine)
        held.give_back()
        for thread in (*self._threads, *self._followers, self._keeper):
            thread.start()

    def wake(self) -> None:
        """Look for queued cases now."""
        self._wake.set()

    def wait_until_idle(self, *, seconds: float) -> None:
        """Return when nothing waits and nothing is in hand, or after that time."""
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end and not self.stopping.wait(LOOK_SECONDS):
                with self._hands:
                    self._hands.wait_for(lambda: not self._in_hand, timeout=seconds)
                if self._serving.is_suspended or not Case.objects.queued().exists():
                    return
        except DATABASE_DOWN as error:
            logger.warning("database unavailable: %s", type(error).__name__)
        finally:
            connection.close()  # or one that broke would fail every later call

    def stop(self) -> None:
        """Finish what is in hand, with its leases renewed until the end, and say goodbye."""
        self.stopping.set()
        self._wake.set()
        for thread in (*self._threads, *self._followers):
            thread.join(timeout=settings.WORKER_STALL_SECONDS)
        self._serving.stop()
        self._finished.set()
        self._keeper.join(timeout=heartbeat.BEAT_SECONDS)
        self._io.shutdown(wait=True, cancel_futures=True)
        faulthandler.cancel_dump_traceback_later()
        self._guarded(self._say_goodbye)

    def _say_goodbye(self) -> bool:
        heartbeat.stop_worker(name=self.name)
        return True

    # Stages

    def _read_stage(self) -> None:
        while not self.stopping.is_set():
            self._wake.clear()
            worked = self._guarded(self._read_next)
            if not worked:
                self._wake.wait(settings.WORKER_POLL_SECONDS)
        self._to_infer.put(None)
        connection.close()

    def _read_next(self) -> bool:
        if not self._storage_answers():
            return False
        with self._hands:
            hands_free, on_trial = not self._in_hand, any(map(analysis.is_last_try, self._in_hand.values()))
        if on_trial:
            return False  # if the worker dies of it, it dies of nothing else
        self._draw(Case.objects.without_display().opened(), hands_free=hands_free)
        if self._serving.is_suspended:
            return not self._in_hand and self._draw_all_there_is()
        cases = analysis.claim_cases(worker=self.name, limit=settings.WORKER_BATCH_SIZE, hands_free=hands_free)
        if not cases:
            # While films are still in the engine, drawing would take its cores; the last one put down wakes this stage.
            return not self._in_hand and self._draw(Case.objects.without_display())
        self._take(cases)
        held = self._serving.take()
        try:
            batch = inference.read_batch(cases=cases, predictor=held.predictor, executor=self._io)
        except DecoderUnavailableError:
            logger.exception("no decoding child can be started: the cases wait")
            held.give_back()
            self._put_down(cases)
            for case in cases:
                analysis.return_case(case=case)
            self.stopping.wait(DECODERS_RETRY_SECONDS)
            return True
        except Exception:  # whatever it is, nobody works on these cases now: a lease that is renewed would hold them for ever
            held.give_back()
            self._put_down(cases)
            raise
        self._note_storage(batch)
        self._to_infer.put((batch, held))
        return True

    def _note_storage(self, batch: Batch) -> None:
        if batch.storage_failed:
            self._storage_failed.set()

    def _storage_answers(self) -> bool:
        """After a failure nothing is claimed until a probe passes: an outage costs one attempt, not all of them at once."""
        if self._storage_failed.is_set():
            try:
                storage.check_storage()
            except StorageUnavailableError:
                return False
            self._storage_failed.clear()
        return True

    def _draw(self, cases: CaseQuerySet, *, hands_free: bool = True) -> bool:
        """Pictures of films that are through: of those on a screen at once, of the others when nothing waits for analysis.

        Guarded by itself: a picture that fails keeps no case from being claimed.
        """
        limit, held = settings.WORKER_DECODERS, self._serving.take()
        draw = partial(drawing.draw_displays, limit=limit, predictor=held.predictor, executor=self._io)
        try:
            return self._guarded(lambda: bool(draw(cases=cases, hands_free=hands_free)))
        finally:
            held.give_back()

    def _draw_all_there_is(self) -> bool:
        """While no version is in service, of films that wait for one too: they are read without it, and may wait for days."""
        return self._draw(Case.objects.without_display()) or self._draw(Case.objects.waiting_without_display())

    def _infer_stage(self) -> None:
        while (work := self._to_infer.get()) is not None:
            batch, held = work
            self._show_progress()
            # What fails half-way goes on with what it has; the rest is put down behind it, and its leases run out.
            self._guarded(partial(self._infer, batch, held))
            held.give_back()
            self._to_store.put(batch)
        self._to_store.put(None)
        connection.close()

    def _infer(self, batch: Batch, held: Held) -> bool:
        inference.infer_batch(batch=batch, predictor=held.predictor)
        return True

    def _store_stage(self) -> None:
        while (batch := self._to_store.get()) is not None:
            for _ in range(STORE_TRIES):
                self._show_progress()  # each try is one: waiting for a database is no stall
                if self._guarded(partial(self._store, batch)):
                    break
            self._put_down(batch.cases)
        connection.close()

    def _store(self, batch: Batch) -> bool:
        inference.store_batch(batch=batch, executor=self._io)
        self._note_storage(batch)
        return True

    def _guarded(self, step: Callable[[], bool]) -> bool:
        """Run a step; a database that is down is waited for; any other fault is logged and costs a lease, not the worker."""
        try:
            close_old_connections()
            return step()
        except DATABASE_DOWN as error:
            logger.warning("database unavailable: %s", type(error).__name__)
        except Exception:  # the stage must live on; the rows' leases bring the cases back
            logger.exception("a stage of the pipeline failed")
        connection.close()
        self.stopping.wait(RETRY_SECONDS)
        return False

    # The versions

    def _follow_registry(self) -> None:
        while not self.stopping.wait(serving.FOLLOW_SECONDS):
            self._guarded(self._look)
        connection.close()

    def _look(self) -> bool:
        self._serving.look()
        return True

    def _read_in_shadow(self) -> None:
        worked = False
        while not self.stopping.wait(0 if worked else settings.WORKER_POLL_SECONDS):
            worked = self._guarded(self._read_next_in_shadow)
        connection.close()

    def _read_next_in_shadow(self) -> bool:
        """One film, and only while no case is in hand or waits: what a doctor waits for comes first.

        While no version is in service nobody waits for it, and it reads the films that do, once their pictures are drawn.
        """
        against = self._serving.version
        if self._in_hand or (held := self._serving.take_shadow()) is None:
            return False
        try:
            if not against:
                if Case.objects.waiting_without_display().exists():
                    return False
                return shadowing.read_next_waiting(predictor=held.predictor)
            if Case.objects.queued().exists():
                return False
            return shadowing.read_next_in_shadow(predictor=held.predictor, against=against)
        finally:
            held.give_back()

    # What is in hand, and the signs of life

    def _take(self, cases: list[Case]) -> None:
        with self._hands:
            self._in_hand.update((case.pk, case) for case in cases)
        self._show_progress()

    def _put_down(self, cases: list[Case]) -> None:
        with self._hands:
            for case in cases:
                if self._in_hand.get(case.pk) is case:  # and not a later claim of the same row
                    del self._in_hand[case.pk]
            self._hands.notify_all()
            if not self._in_hand:
                self._wake.set()
        self._show_progress()

    def _show_progress(self) -> None:
        """Wind the watchdog up, or put it away when nothing is in hand.

        It ends the process, with every thread's traceback in the log, even if native code holds the interpreter for ever;
        the supervisor starts a new one, and the leases bring the cases back.
        """
        with self._hands:
            if self._in_hand:
                faulthandler.dump_traceback_later(settings.WORKER_STALL_SECONDS, exit=True)
            else:
                faulthandler.cancel_dump_traceback_later()

    def _keep_alive(self) -> None:
        while not self._finished.wait(heartbeat.BEAT_SECONDS):
            self._guarded(self._beat)
            if settings.WORKER_RECONCILES and time.monotonic() >= self._reconciles_at:
                self._guarded(self._reconcile)
        connection.close()

    def _reconcile(self) -> bool:
        self._reconciles_at = time.monotonic() + MOST_PAUSE
        reconcile()
        self._reconciles_at = time.monotonic() + seconds_to_next_pass()
        return True

    def _beat(self) -> bool:
        with self._hands:
            cases = list(self._in_hand.values())
        heartbeat.beat(name=self.name)
        analysis.renew_leases(cases=cases)
        return True
