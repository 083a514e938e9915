"""The Image Pixel module (PS3.3 section C.7.6.3) against the pixel data that follow it: no lie may reach a decoder."""

import struct
from collections.abc import Mapping
from typing import NamedTuple

from mlmodel.headers.elements import (
    ITEM,
    SEQUENCE_DELIMITER,
    UNDEFINED,
    Element,
    Encoding,
    malformed,
    read_element,
)
from mlmodel.headers.jpeg import CodestreamError, find_frame
from mlmodel.headers.jpeg2000 import find_size
from mlmodel.headers.limits import MAX_STEPS, check_pixel_budget
from mlmodel.headers.syntaxes import Compression
from mlmodel.types import ImageBytes

SAMPLES_PER_PIXEL, ROWS, COLUMNS = 0x0028_0002, 0x0028_0010, 0x0028_0011
BITS_ALLOCATED, BITS_STORED, PIXEL_REPRESENTATION = 0x0028_0100, 0x0028_0101, 0x0028_0103
PIXEL_TAGS = frozenset({SAMPLES_PER_PIXEL, ROWS, COLUMNS, BITS_ALLOCATED, BITS_STORED, PIXEL_REPRESENTATION})

SAMPLES_BY_PHOTOMETRIC = {
    **dict.fromkeys(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"), 1),
    **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"), 3),
}
MAX_CODESTREAM_HEADER = 256 * 1024  # enough for the application segments before any frame header
RLE_HEADER = struct.Struct("<16I")


class PixelModule(NamedTuple):
    """Pixels high and wide, samples per pixel, bits allocated and stored per sample."""

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int


def read_pixel_module(data: ImageBytes, found: Mapping[int, Element], photometric: str, order: str) -> PixelModule:
    """The pixel module, each value in its range and all of them agreeing.

    Raises `RejectedImageError`: TOO_MANY_PIXELS, MALFORMED_DICOM.
    """
    rows, columns, samples, allocated, stored, sign = (
        _read_unsigned(data, found, tag, order)
        for tag in (ROWS, COLUMNS, SAMPLES_PER_PIXEL, BITS_ALLOCATED, BITS_STORED, PIXEL_REPRESENTATION)
    )
    if not (rows and columns):
        raise malformed()
    check_pixel_budget(columns, rows)
    if allocated not in {8, 16} or not 1 <= stored <= allocated or sign not in {0, 1}:
        raise malformed()
    if SAMPLES_BY_PHOTOMETRIC.get(photometric) != samples:
        raise malformed()
    return PixelModule(rows, columns, samples, allocated, stored)


def check_native(module: PixelModule, pixel_data: Element, photometric: str) -> None:
    """Uncompressed pixels fill Pixel Data exactly, but for one byte of padding (PS3.5 section 8.1.1)."""
    samples = 2 if photometric == "YBR_FULL_422" else module.samples
    needed = module.rows * module.columns * samples * module.allocated // 8
    if pixel_data.length != needed + needed % 2:
        raise malformed()


def check_encapsulated(data: ImageBytes, module: PixelModule, pixel_data: Element, compression: Compression) -> None:
    """The fragments are whole (PS3.5 section A.4) and their codestream has the dimensions that the header promises."""
    if pixel_data.length != UNDEFINED:
        raise malformed()
    head = _read_fragments(data, pixel_data.start)
    if compression is Compression.RLE:
        _check_rle(head, module)
    else:
        _check_codestream(head, module, compression)


def _read_unsigned(data: ImageBytes, found: Mapping[int, Element], tag: int, order: str) -> int:
    element = found.get(tag)
    if element is None or element.length != 2 or element.vr not in {b"US", b""}:
        raise malformed()
    return int.from_bytes(data[element.start : element.start + 2], "little" if order == "<" else "big")


def _read_fragments(data: ImageBytes, position: int) -> bytes:
    """The first bytes of the codestream, after a look at every fragment up to the delimiter."""
    head = bytearray()
    for index in range(MAX_STEPS):
        item = read_element(data, position, len(data), Encoding(explicit=False, order="<"))
        if item.tag == SEQUENCE_DELIMITER:
            return bytes(head)
        if item.tag != ITEM or item.length == UNDEFINED:
            raise malformed()
        position = item.start + item.length
        if index > 0:  # the first item is the Basic Offset Table
            head += data[item.start : min(position, item.start + MAX_CODESTREAM_HEADER - len(head))]
    raise malformed()


def _check_codestream(head: bytes, module: PixelModule, compression: Compression) -> None:
    try:
        frame = find_frame(head) if compression is Compression.JPEG else find_size(head)
    except CodestreamError as error:
        raise malformed() from error
    if (frame.height, frame.width, frame.components) != (module.rows, module.columns, module.samples):
        raise malformed()
    if frame.precision > module.allocated:
        raise malformed()


def _check_rle(head: bytes, module: PixelModule) -> None:
    """One segment per byte of a pixel, the first right after the header (PS3.5 annex G.5)."""
    if len(head) < RLE_HEADER.size:
        raise malformed()
    segments, first, *_ = RLE_HEADER.unpack_from(head)
    if segments != module.samples * module.allocated // 8 or first != RLE_HEADER.size:
        raise malformed()
