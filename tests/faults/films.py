"""Films by number, no two alike, with a patient's data that must turn up in the database and on a clinician's screen alone."""

import hashlib
import io
import itertools
import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from tests.corpus.dicom_writer import EIGHT_BITS, film, pixel_data
from tests.corpus.drawing import film_pixels
from tests.corpus.pictures import chunk
from tests.faults.marks import CANARY, HANGS_THE_ENGINE, POISON

POISONS = ("segv", "oom_", "hang", "deep", "spin")


@dataclass(frozen=True, slots=True)
class Film:
    """What is sent, and what must come of it: `refusal` is the code of a film that cannot be read."""

    number: int
    name: str
    content: bytes
    refusal: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def make_film(run: str, number: int, *, poison: str = "") -> Film:
    """One film of a run: PNG, every fourth a JPEG, every eighth a DICOM file."""
    mark = zlib.crc32(f"{run}/{number}".encode()).to_bytes(4, "big") + number.to_bytes(4, "big")
    name = f"{CANARY}FILE^{number}.png"
    if poison:
        hangs = poison == "engine"
        text = HANGS_THE_ENGINE if hangs else POISON + poison.encode()
        return Film(number, name, _with_text(_png(mark), text), "" if hangs else "UNREADABLE")
    if number % 8 == 3:
        return Film(number, name, _dicom(mark, number))
    return Film(number, name, _jpeg(mark) if number % 4 == 2 else _png(mark))


@cache
def _base() -> "np.ndarray":
    return film_pixels().astype(np.uint8)


def _marked(mark: bytes) -> "np.ndarray":
    """The drawn film with the mark's bits as a row of small squares, large enough to outlive JPEG."""
    pixels = _base().copy()
    for place, bit in enumerate(itertools.chain.from_iterable(f"{byte:08b}" for byte in mark)):
        left = 8 + 2 * place
        pixels[-4:-2, left : left + 2] = 90 if bit == "1" else 30
    return pixels


def _encode(pixels: "np.ndarray", file_format: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()


def _png(mark: bytes) -> bytes:
    return _encode(_marked(mark), "PNG", compress_level=1)


def _jpeg(mark: bytes) -> bytes:
    content = _encode(_marked(mark), "JPEG", quality=92)
    comment = b"\xff\xfe" + (len(mark) + 2).to_bytes(2, "big") + mark
    return content[:2] + comment + content[2:]


def _with_text(png: bytes, text: bytes) -> bytes:
    return png[:33] + chunk(b"tEXt", b"Comment\0" + text) + png[33:]


def _dicom(mark: bytes, number: int) -> bytes:
    tags = {
        0x00080018: ("UI", f"2.25.{int.from_bytes(mark, 'big')}"),
        0x00080050: ("SH", f"{CANARY}A{number}"),
        0x00100010: ("PN", f"{CANARY}NAME^Tag"),
        0x00100020: ("LO", f"{CANARY}ID{number}"),
        0x00101000: ("LO", f"{CANARY}OTHER"),
    }
    return film({**EIGHT_BITS, **tags}, pixels=pixel_data(_marked(mark).tobytes(), vr="OB"))
