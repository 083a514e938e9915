"""DICOM files byte by byte, so that a test can write what no library would."""

import struct
from collections.abc import Mapping
from typing import TypeAlias

from tests.corpus.drawing import HEIGHT, WIDTH, film_pixels

IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
UNDEFINED = 0xFFFFFFFF
PIXEL_DATA = 0x7FE00010
LONG_VRS = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}

Value: TypeAlias = bytes | str | int
Tags: TypeAlias = Mapping[int, tuple[str, Value] | None]

FILM_TAGS: dict[int, tuple[str, Value]] = {
    0x00080005: ("CS", "ISO_IR 192"),
    0x00080016: ("UI", "1.2.840.10008.5.1.4.1.1.1.1"),
    0x00080018: ("UI", "2.25.1003"),
    0x00080020: ("DA", "20250402"),
    0x00080050: ("SH", "ACC-1"),
    0x00080060: ("CS", "DX"),
    0x00100010: ("PN", "Phantom^Paula"),
    0x00100020: ("LO", "PHANTOM-1"),
    0x00100030: ("DA", "20220314"),
    0x00100040: ("CS", "F"),
    0x00101010: ("AS", "003Y"),
    0x00180015: ("CS", "CHEST"),
    0x00185101: ("CS", "AP"),
    0x0020000D: ("UI", "2.25.1001"),
    0x0020000E: ("UI", "2.25.1002"),
    0x00280002: ("US", 1),
    0x00280004: ("CS", "MONOCHROME2"),
    0x00280010: ("US", HEIGHT),
    0x00280011: ("US", WIDTH),
    0x00280100: ("US", 16),
    0x00280101: ("US", 12),
    0x00280102: ("US", 11),
    0x00280103: ("US", 0),
}
EIGHT_BITS: Tags = {0x00280100: ("US", 8), 0x00280101: ("US", 8), 0x00280102: ("US", 7)}


def element(tag: int, vr: str, value: Value, *, syntax: str = EXPLICIT, length: int | None = None) -> bytes:
    """A data element; `length` is what its header says, where that is not the truth."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    data = _pad(struct.pack(order + "H", value) if isinstance(value, int) else value, vr)
    length = len(data) if length is None else length
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return head + struct.pack("<I", length) + data
    if vr in LONG_VRS:
        return head + vr.encode() + b"\0\0" + struct.pack(order + "I", length) + data
    return head + vr.encode() + struct.pack(order + "H", length) + data


def item(data: bytes = b"", *, tag: int = 0xFFFEE000, length: int | None = None) -> bytes:
    """An item or, by its tag, a delimiter."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(data) if length is None else length) + data


def meta(syntax: str | None = EXPLICIT) -> bytes:
    """File meta information of group 0002."""
    elements = element(0x00020001, "OB", b"\0\1") + element(0x00020002, "UI", "1.2.840.10008.5.1.4.1.1.1.1")
    elements += element(0x00020003, "UI", "2.25.1003")
    if syntax is not None:
        elements += element(0x00020010, "UI", syntax)
    return element(0x00020000, "UL", struct.pack("<I", len(elements))) + elements


def data_set(tags: Tags | None = None, *, syntax: str = EXPLICIT) -> bytes:
    """The film's elements without Pixel Data; `tags` replace, add or, being None, leave out."""
    merged = {**FILM_TAGS, **(tags or {})}
    return b"".join(element(tag, *given, syntax=syntax) for tag, given in sorted(merged.items()) if given is not None)


def pixel_data(data: bytes | None = None, *, syntax: str = EXPLICIT, vr: str = "OW", length: int | None = None) -> bytes:
    """Native Pixel Data: by default the phantom film in 12 bits."""
    order = ">u2" if syntax == BIG_ENDIAN else "<u2"
    return element(
        PIXEL_DATA, vr, film_pixels(12).astype(order).tobytes() if data is None else data, syntax=syntax, length=length
    )


def encapsulated(*fragments: bytes) -> bytes:
    """Pixel Data of these fragments, after an empty offset table (PS3.5 section A.4)."""
    items = b"".join(item(fragment + b"\0" * (len(fragment) % 2)) for fragment in fragments)
    return element(PIXEL_DATA, "OB", b"", length=UNDEFINED) + item() + items + item(tag=0xFFFEE0DD)


def dicom_file(body: bytes, *, syntax: str | None = EXPLICIT, preamble: bytes = b"") -> bytes:
    """Preamble, magic, meta information, then the body."""
    return preamble.ljust(128, b"\0") + b"DICM" + meta(syntax) + body


def film(tags: Tags | None = None, *, syntax: str = EXPLICIT, pixels: bytes | None = None, preamble: bytes = b"") -> bytes:
    """A whole film with these tags changed."""
    body = data_set(tags, syntax=syntax) + (pixel_data(syntax=syntax) if pixels is None else pixels)
    return dicom_file(body, syntax=syntax, preamble=preamble)


def _pad(value: bytes | str, vr: str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return data + (b"\0" if vr in {"UI", "OB", "OW", "UN"} else b" ") * (len(data) % 2)
