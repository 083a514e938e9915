"""`python -m tests.faults.decoder_child`: the real decoding child, and films that do to it what hostile ones do to C code.

It keeps the rank of its parent: on a machine that runs other tests too, the last rank of all would be measured, not the fault.
"""

import ctypes
import time
from typing import Any

from mlmodel import decoder_child
from tests.faults.marks import POISON

_perform = decoder_child.perform


def perform(head: dict[str, Any], image: bytes) -> tuple[dict[str, Any], bytes]:
    kind = image.partition(POISON)[2][:4]
    if kind == b"segv":
        ctypes.string_at(0)
    elif kind == b"oom_":
        bytearray(decoder_child.MAX_ADDRESS_SPACE)  # more than the child may have
    elif kind == b"hang":
        time.sleep(600)
    elif kind == b"deep":
        raise RecursionError
    elif kind == b"spin":
        while True:
            pass
    return _perform(head, image)


if __name__ == "__main__":
    decoder_child.perform, decoder_child.NICENESS = perform, 0
    decoder_child.main()
