"""Messages between the worker and its decoding children, over pipes: a length-prefixed JSON head, then bytes.

By descriptors and `poll` instead of streams and a timer: a timer is a thread for every film, and starting it takes longer than
handing over the film.
"""

import json
import os
import select
import struct
import time
from collections.abc import Sequence
from typing import Any

from mlmodel.types import ImageBytes

LEAST_READ, MOST_READ = 64 * 1024, 1024 * 1024  # bytes at once: room that is made for more than comes takes time
MAX_HEAD_BYTES, MAX_BODY_BYTES = 1024 * 1024, 1024**3  # far above the largest film and the largest picture
_LENGTHS = struct.Struct("<IQ")


def write_message(pipe: int, head: Any, bodies: Sequence[ImageBytes] = (), *, deadline: float | None = None) -> None:
    """The bodies one after the other. `deadline`, by the monotonic clock, wants a pipe that does not block.

    Raises `OSError` where nobody reads any more, `TimeoutError` where the pipe is still full at the deadline.
    """
    packed = json.dumps(head).encode()
    lengths = _LENGTHS.pack(len(packed), sum(map(len, bodies)))
    left = [memoryview(part) for part in (lengths + packed, *bodies)]
    while left:
        try:
            written = os.writev(pipe, left)
        except BlockingIOError:  # the pipe is full
            if deadline is None:
                raise
            _await(pipe, select.POLLOUT, deadline)
            continue
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left:
            left[0] = left[0][written:]


def read_message(pipe: int, *, deadline: float | None = None) -> tuple[Any, bytes]:
    """Head and bodies. Nothing is written to the pipe before this message was answered.

    Raises `EOFError` where the other side has ended, also in the middle of a message, `ValueError` for what is none of our
    messages, `TimeoutError` after the deadline, by the monotonic clock.
    """
    content = _read(pipe, b"", _LENGTHS.size, deadline)
    head_length, body_length = _LENGTHS.unpack_from(content)
    if head_length > MAX_HEAD_BYTES or body_length > MAX_BODY_BYTES:
        raise ValueError(f"No message is so large. Received: {head_length} and {body_length} bytes")
    start = _LENGTHS.size + head_length
    content = _read(pipe, content, start + body_length, deadline)
    return json.loads(content[_LENGTHS.size : start]), content[start:]


def _read(pipe: int, begun: bytes, length: int, deadline: float | None) -> bytes:
    """What was `begun`, and more until it has at least the `length`. Most messages come whole with the first read."""
    parts, missing = [begun], length - len(begun)
    while missing > 0:
        _await(pipe, select.POLLIN, deadline)
        part = os.read(pipe, min(max(missing, LEAST_READ), MOST_READ))
        if not part:
            raise EOFError("The other side has closed the pipe.")
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _await(pipe: int, event: int, deadline: float | None) -> None:
    if deadline is None:
        return
    left = deadline - time.monotonic()
    poll = select.poll()
    poll.register(pipe, event)
    if left <= 0 or not poll.poll(left * 1000):
        raise TimeoutError("The other side takes too long.")
