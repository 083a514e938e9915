"""Decoding children: a film that crashes, hangs or bloats its decoder ends one child, and no other film is lost with it."""

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from mlmodel.codes import refusal, rejection
from mlmodel.decoder_protocol import read_message, write_message
from mlmodel.types import DecodedFilm, DecoderUnavailableError, DisplayPicture, ImageBytes, IntendedUse, Refusal

TIMEOUT_SECONDS = 20.0  # per film, by the clock
GROUP_FILMS, GROUP_BYTES = 16, 512 * 1024  # at most that many, or that large together, to one child at a time
GROUP_SECONDS = 5.0  # for all of them, by the clock: they take some hundredths
ALONE_SECONDS = 60.0  # after a child was lost
START_SECONDS = 60.0  # a loaded machine is slow to import, not broken
ROOT = Path(__file__).resolve().parent.parent
PIPE_BYTES = 1024 * 1024  # most films pass in one go instead of in 64 KB portions
COMMAND = (sys.executable, "-m", "mlmodel.decoder_child")


_Request = tuple[dict[str, Any], ImageBytes]  # what to do, with what
_Answer = tuple[dict[str, Any], bytes]  # facts or a code, and what was made


class _ChildLostError(Exception):
    """The child ended or hung before it answered."""


class DecoderPool:
    """`size` persistent children, started when first needed. Every method may be called from several threads at once."""

    def __init__(self, size: int, *, timeout: float = TIMEOUT_SECONDS, command: Sequence[str] = COMMAND) -> None:
        if size < 1:
            raise ValueError(f"A pool has at least one child. Received: {size}")
        self.size, self._timeout, self._command = size, timeout, command
        self._closed = False
        self._alone_until = 0.0  # monotonic
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

    def group(
        self, images: Sequence[ImageBytes], overridden: Sequence[frozenset[str]] | None = None
    ) -> list[tuple[list[ImageBytes], list[frozenset[str]]]]:
        """Neighbours that `decode` is best given together: handing over a small film takes as long as decoding it. Where a film
        has just ended its child others may too, and would do it twice: for a while each goes alone."""
        most = 1 if time.monotonic() < self._alone_until else min(GROUP_FILMS, -(-len(images) // self.size))
        groups: list[tuple[list[ImageBytes], list[frozenset[str]]]] = []
        room = 0
        for image, codes in zip(images, overridden or [frozenset()] * len(images), strict=True):
            if not groups or len(groups[-1][0]) == most or len(image) > room:
                groups.append(([], []))
                room = GROUP_BYTES
            room -= len(image)
            groups[-1][0].append(image)
            groups[-1][1].append(codes)
        return groups

    def decode(
        self, images: Sequence[ImageBytes], *, size: int, use: IntendedUse, overridden: Sequence[frozenset[str]] = ()
    ) -> list[DecodedFilm | Refusal]:
        """The films as the network reads them, (size, size), whatever the codes in `overridden`, one set a film, say against
        each; all by one child. Raises `DecoderUnavailableError`."""
        setting_aside = overridden or [frozenset()] * len(images)
        head = {"operation": "decode", "size": size, "use": _as_dict(use)}
        heads = [{**head, "overridden": sorted(codes)} for codes in setting_aside]
        answers = self._ask(list(zip(heads, images, strict=True)))
        return [
            refusal(facts["code"]) if "code" in facts else _decoded(size, codes, facts, body)
            for codes, (facts, body) in zip(setting_aside, answers, strict=True)
        ]

    def render_display(self, image: ImageBytes) -> DisplayPicture:
        """The film as a browser shows it. Raises `RejectedImageError` or `DecoderUnavailableError`."""
        ((facts, png),) = self._ask([({"operation": "display"}, image)])
        if "code" in facts:
            raise rejection(facts["code"])
        return DisplayPicture(png, **facts)

    def close(self) -> None:
        """End every child, for the last holder; those at work are ended when their films are done or out of time."""
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

    def _ask(self, requests: Sequence[_Request]) -> list[_Answer]:
        """An answer each. Films whose child was lost are asked again one by one, so that only those that it chokes on are
        unreadable."""
        try:
            with self._borrowed_child() as child:
                return child.ask(requests)
        except _ChildLostError:
            self._alone_until = time.monotonic() + ALONE_SECONDS
            if len(requests) == 1:
                return [({"code": "UNREADABLE"}, b"")]
        return [answer for request in requests for answer in self._ask([request])]

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
                bufsize=0,
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
        self._requests, self._answers = (cast("Any", pipe).fileno() for pipe in (self.process.stdin, self.process.stdout))
        os.set_blocking(self._requests, False)  # a child that does not read must not hold whoever writes beyond the deadline

    def is_alive(self) -> bool:
        return not self._is_broken and self.process.poll() is None

    def wait_ready(self) -> None:
        """Raises `DecoderUnavailableError` where the child ends or hangs before it can take a film."""
        if self._is_ready:
            return
        try:
            read_message(self._answers, deadline=time.monotonic() + START_SECONDS)
        except (OSError, EOFError, ValueError) as error:
            self.end()
            raise DecoderUnavailableError("The decoding child ended before its first film.") from error
        self._is_ready = True

    def ask(self, requests: Sequence[_Request]) -> list[_Answer]:
        """Raises `_ChildLostError` where a film ends the child or takes too long. Several together have less time: they are
        small, and each has the whole time when it is asked for alone."""
        deadline = time.monotonic() + (self._timeout if len(requests) == 1 else min(self._timeout, GROUP_SECONDS))
        self._is_broken = True  # until all is said: who breaks off here leaves an answer that another film would be given
        try:
            heads = [{**head, "bytes": len(image)} for head, image in requests]
            write_message(self._requests, heads, [image for _, image in requests], deadline=deadline)
            answers = _split(*read_message(self._answers, deadline=deadline), count=len(requests))
        except (OSError, EOFError, TypeError, ValueError) as error:
            raise _ChildLostError from error
        self._is_broken = False
        return answers

    def end(self) -> None:
        """Kill and reap."""
        self._is_broken = True
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            cast("Any", pipe).close()


def _split(answers: Any, bodies: bytes, *, count: int) -> list[_Answer]:
    """The bodies to their answers. Raises `ValueError` for what are not `count` answers, as where the child has given up."""
    if not isinstance(answers, list) or len(answers) != count or not all(isinstance(answer, dict) for answer in answers):
        raise ValueError("The child does not answer each film.")
    found, start = [], 0
    for answer in answers:
        length = int(answer.pop("bytes", 0))
        found.append((answer, bodies[start : start + length]))
        start += length
    return found


@lru_cache(maxsize=8)
def _as_dict(use: IntendedUse) -> dict[str, Any]:
    return asdict(use)


def _decoded(size: int, overridden: frozenset[str], facts: dict[str, Any], body: bytes) -> DecodedFilm | Refusal:
    if len(body) != size * size:
        return refusal("UNREADABLE")
    return DecodedFilm(model_input=np.frombuffer(body, np.uint8).reshape(size, size), overridden=overridden, **facts)


def _environment() -> dict[str, str]:
    """No secret of the portal, one thread per library, no bytecode to write."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in os.environ}
    single = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # glibc keeps freed film buffers instead of returning them to the kernel after every film: 0.5 ms of 8 saved
    memory = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "67108864"}
    return {**kept, **single, **memory, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "", "PYTHONPATH": str(ROOT)}
