"""Messages between the worker and its decoding children: a length-prefixed JSON head, then bytes."""

import json
import struct
from typing import Any, BinaryIO

_LENGTHS = struct.Struct("<IQ")


def write_message(stream: BinaryIO, head: dict[str, Any], body: bytes = b"") -> None:
    """Raises `OSError` where nobody reads any more."""
    packed = json.dumps(head).encode()
    stream.write(_LENGTHS.pack(len(packed), len(body)))
    stream.write(packed)
    stream.write(body)
    stream.flush()


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """Head and body. Raises `EOFError` where the other side has ended, also in the middle of a message."""
    head_length, body_length = _LENGTHS.unpack(_read(stream, _LENGTHS.size))
    head = json.loads(_read(stream, head_length))
    return head, _read(stream, body_length)


def _read(stream: BinaryIO, length: int) -> bytes:
    content = stream.read(length) if length else b""
    if len(content) != length:
        raise EOFError("The other side has closed the pipe.")
    return content
