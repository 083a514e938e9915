"""The process that decodes films: `python -m mlmodel.decoder_child`, started by `mlmodel.decoder_pool`, some films a message.

It has little memory and little time, may write no file, and ends with its parent. Imports neither Django nor a tensor library.
"""

import os
import resource
import threading
import time
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from mlmodel.decoder_protocol import read_message, write_message
from mlmodel.types import IntendedUse, RejectedImageError

MAX_ADDRESS_SPACE = 1_500_000_000  # bytes
MAX_CPU_SECONDS = 20  # per film
MAX_OPEN_FILES = 64
NICENESS = 19  # the network that waits for the films comes first


def main() -> None:
    """Serve requests from standard input until it is closed."""
    requests, answers = _take_pipes()
    _limit_resources()
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    import mlmodel.dicom_pixels  # noqa: F401 - the libraries are loaded before the first film, and under the limits

    _step_back()  # only now: on a busy machine the imports alone would take a minute at this rank
    write_message(answers, {"ready": True})
    while True:
        try:
            heads, images = read_message(requests)
        except EOFError:
            return
        try:
            performed = _perform_each(heads, images)
        except (MemoryError, RecursionError):
            # What is left of this process is not to be trusted with another film
            write_message(answers, None)
            return
        write_message(answers, [answer for answer, _ in performed], [body for _, body in performed])


def _perform_each(heads: list[dict[str, Any]], images: bytes) -> list[tuple[dict[str, Any], bytes]]:
    """An answer and a body for each film of a message; an answer says how long its body is."""
    performed, start = [], 0
    for head in heads:
        image = images[start : start + head["bytes"]]
        start += head["bytes"]
        _allow_cpu_seconds(MAX_CPU_SECONDS)
        try:
            answer, body = perform(head, image)
        except RejectedImageError as error:
            answer, body = {"code": error.code}, b""
        performed.append(({**answer, "bytes": len(body)}, body))
    return performed


def perform(head: dict[str, Any], image: bytes) -> tuple[dict[str, Any], bytes]:
    """`decode`: facts and the network's input; `display`: the film as PNG. Raises `RejectedImageError`."""
    if head["operation"] == "display":
        return render_display(image)
    return decode(image, int(head["size"]), IntendedUse(**head["use"]), frozenset(head.get("overridden", ())))


def decode(image: bytes, size: int, use: IntendedUse, overridden: frozenset[str] = frozenset()) -> tuple[dict[str, Any], bytes]:
    """Facts of the film and its (size, size) uint8 plane, checked by headers and pixels except for the codes in `overridden`.

    Raises `RejectedImageError`.
    """
    from mlmodel.codes import rejection
    from mlmodel.decoding import check_headers, read_film
    from mlmodel.gate.pixels import find_fault
    from mlmodel.headers import inspect_headers
    from mlmodel.preprocessing import DECODED_SIDES, prepare_film

    started = time.perf_counter()
    info = inspect_headers(image)
    check_headers(info, use, overridden)
    film = read_film(image, info, at_least=DECODED_SIDES * size)
    if film.pixels.is_coloured and "COLOUR_PHOTO" not in overridden:
        raise rejection("COLOUR_PHOTO")
    plane = prepare_film(film.pixels.grey, size)
    fault = find_fault(plane)
    if fault and fault not in overridden:
        raise rejection(fault)
    facts = {
        "bits": film.pixels.bits,
        "age_years": film.age_years,
        "study_date": info.dicom.study_date if info.dicom else "",
        "decode_milliseconds": (time.perf_counter() - started) * 1000,
    }
    return facts, plane.tobytes()


def render_display(image: bytes) -> tuple[dict[str, Any], bytes]:
    """SHA-256 of the film's pixels, and the film as an 8-bit grey PNG at its own size, without metadata.

    Raises `RejectedImageError`.
    """
    from mlmodel.decoding import read_film

    buffer = BytesIO()
    film = read_film(image)
    display = film.as_display()
    display.info.clear()  # or Pillow carries over the original's colour profile and comments
    display.save(buffer, "PNG", compress_level=1)
    return {"pixel_sha256": film.pixels.pixel_sha256}, buffer.getvalue()


def _take_pipes() -> tuple[int, int]:
    """The two pipes as private descriptors; what a C library prints to standard output goes to standard error."""
    requests, answers = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return requests, answers


def _limit_resources() -> None:
    for limit, value in (
        (resource.RLIMIT_AS, MAX_ADDRESS_SPACE),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))


def _step_back() -> None:
    os.nice(NICENESS)
    with suppress(OSError):  # a session of its own is a scheduling group of its own, to whose rank nice says nothing
        Path("/proc/self/autogroup").write_text(str(NICENESS), encoding="ascii")


def _allow_cpu_seconds(seconds: int) -> None:
    """The kernel kills the process that uses more than `seconds` from now on, also inside a C library."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + seconds + 1, hard))


def _end_with_parent(parent: int) -> None:
    # PR_SET_PDEATHSIG fires when the thread that started us ends, not the process: watch the process instead
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    main()
