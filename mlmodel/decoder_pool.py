"""Decoding children, each with one film at a time: a film that crashes, hangs or bloats its decoder ends that child alone."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np

from mlmodel.codes import rejection
from mlmodel.decoder_protocol import read_message, write_message
from mlmodel.types import DecodedFilm, DecoderUnavailableError, DisplayPicture, ImageBytes, IntendedUse

TIMEOUT_SECONDS = 20.0  # per film, by the clock
START_SECONDS = 60.0  # a loaded machine is slow to import, not broken
ROOT = Path(__file__).resolve().parent.parent
PIPE_BYTES = 1024 * 1024  # most films pass in one go instead of in 64 KB portions
COMMAND = (sys.executable, "-m", "mlmodel.decoder_child")


class DecoderPool:
    """`size` persistent children, started when first needed. Every method may be called from several threads at once."""

    def __init__(self, size: int, *, timeout: float = TIMEOUT_SECONDS, command: Sequence[str] = COMMAND) -> None:
        if size < 1:
            raise ValueError(f"A pool has at least one child. Received: {size}")
        self.size, self._timeout, self._command = size, timeout, command
        self._closed = False
        self._holders, self._holders_lock = 1, threading.Lock()
        self._places: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(size):
            self._places.put(None)

    def share(self) -> "DecoderPool":
        """The same pool for one more holder; it ends with the last one's `close`."""
        with self._holders_lock:
            self._holders += 1
        return self

    def start(self) -> None:
        """Start every child now. Raises `DecoderUnavailableError`."""
        places = [self._places.get() for _ in range(self.size)]
        try:
            places = [child or _Child(self._command, self._timeout) for child in places]
            for child in places:
                cast("_Child", child).wait_ready()
        finally:
            for child in places:
                self._places.put(child)

    def decode(
        self, image: ImageBytes, *, size: int, use: IntendedUse, overridden: frozenset[str] = frozenset()
    ) -> DecodedFilm:
        """The film as the network reads it, (size, size), whatever the codes in `overridden` say against it.

        Raises `RejectedImageError` or `DecoderUnavailableError`.
        """
        head = {"operation": "decode", "size": size, "use": asdict(use), "overridden": sorted(overridden)}
        facts, body = self._ask(head, image)
        return DecodedFilm(model_input=np.frombuffer(body, np.uint8).reshape(size, size), overridden=overridden, **facts)

    def render_display(self, image: ImageBytes) -> DisplayPicture:
        """The film as a browser shows it. Raises as `decode` does."""
        facts, png = self._ask({"operation": "display"}, image)
        return DisplayPicture(png, **facts)

    def close(self) -> None:
        """End every child, for the last holder; those at work are ended when their film is done or out of time."""
        with self._holders_lock:
            self._holders -= 1
            if self._holders > 0:
                return
        self._closed = True
        for child in [self._places.get() for _ in range(self.size)]:
            if child:
                child.end()
            self._places.put(None)  # whoever still waits for a place learns that there is none

    def process_ids(self) -> list[int]:
        """Of the children that are idle now."""
        return [child.process.pid for child in list(self._places.queue) if child]

    def _ask(self, head: dict[str, Any], image: ImageBytes) -> tuple[dict[str, Any], bytes]:
        with self._borrowed_child() as child:
            answer, body = child.ask(head, image)
        if "code" in answer:
            raise rejection(answer["code"])
        return answer, body

    @contextmanager
    def _borrowed_child(self) -> "Iterator[_Child]":
        child = self._places.get()
        try:
            if self._closed:
                raise DecoderUnavailableError("The pool is closed.")
            if child is None or not child.is_alive():
                child = _Child(self._command, self._timeout)
            child.wait_ready()
            yield child
        finally:
            if child and not child.is_alive():
                child.end()
                child = None
            self._places.put(child)


class _Child:
    def __init__(self, command: Sequence[str], timeout: float) -> None:
        self._timeout, self._is_ready, self._is_broken = timeout, False, False
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own module by our own interpreter
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # the libraries quote what they choke on, which may be a patient's name
                cwd=ROOT,
                env=_environment(),
                pipesize=PIPE_BYTES,
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )
        except OSError as error:
            raise DecoderUnavailableError("The decoding child cannot be started.") from error

    def is_alive(self) -> bool:
        return not self._is_broken and self.process.poll() is None

    def wait_ready(self) -> None:
        """Raises `DecoderUnavailableError` where the child ends or hangs before it can take a film."""
        if self._is_ready:
            return
        try:
            with self._killed_after(START_SECONDS):
                read_message(cast("Any", self.process.stdout))
        except (OSError, EOFError, ValueError) as error:
            self.end()
            raise DecoderUnavailableError("The decoding child ended before its first film.") from error
        self._is_ready = True

    def ask(self, head: dict[str, Any], image: ImageBytes) -> tuple[dict[str, Any], bytes]:
        """Raises `RejectedImageError` with UNREADABLE where the film ends the child or takes too long."""
        try:
            with self._killed_after(self._timeout):
                write_message(cast("Any", self.process.stdin), head, cast("bytes", image))
                answer, body = read_message(cast("Any", self.process.stdout))
        except (OSError, EOFError, ValueError) as error:
            self._is_broken = True
            raise rejection("UNREADABLE") from error
        self._is_broken = bool(answer.pop("last", False))
        return answer, body

    def end(self) -> None:
        """Kill and reap."""
        self._is_broken = True
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                cast("Any", pipe).close()
            except OSError:  # what was buffered for the dead child cannot be flushed
                continue

    @contextmanager
    def _killed_after(self, seconds: float) -> Iterator[None]:
        timer = threading.Timer(seconds, self.process.kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _environment() -> dict[str, str]:
    """No secret of the portal, one thread per library, no bytecode to write."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in os.environ}
    single = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # glibc keeps freed film buffers instead of returning them to the kernel after every film: 0.5 ms of 8 saved
    memory = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "67108864"}
    return {**kept, **single, **memory, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "", "PYTHONPATH": str(ROOT)}
