"""JPEG 2000 and HTJ2K headers (ISO/IEC 15444-1 annexes A and I): the SIZ segment, bare or inside a JP2 file."""

import struct

from mlmodel.headers.jpeg import CodestreamError, Frame

JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
CODESTREAM_START = b"\xff\x4f\xff\x51"  # SOC, then SIZ
MAX_BOXES = 64

_SIZ = struct.Struct(">4xHHIIIIIIIIHB")  # from SOC to the first component's depth
_BOX = struct.Struct(">I4s")


def find_size(data: bytes) -> Frame:
    """The dimensions in a JPEG 2000 header, in pixels and bits. Raises `CodestreamError`.

    DICOM wants the bare codestream (PS3.5 section A.4.4), but archives hold JP2 files too, and decoders read them.
    """
    start = _find_codestream(data) if data.startswith(JP2_SIGNATURE) else 0
    if data[start : start + 4] != CODESTREAM_START or start + _SIZ.size > len(data):
        raise CodestreamError("no SIZ segment")
    _, _, right, bottom, left, top, _, _, _, _, components, depth = _SIZ.unpack_from(data, start)
    if right <= left or bottom <= top:
        raise CodestreamError("a dimension is zero")
    return Frame(0x51, (depth & 0x7F) + 1, bottom - top, right - left, components)


def _find_codestream(data: bytes) -> int:
    """Where the contiguous codestream box's content starts."""
    position = 0
    for _ in range(MAX_BOXES):
        if position + _BOX.size > len(data):
            break
        length, kind = _BOX.unpack_from(data, position)
        if kind == b"jp2c":
            return position + (16 if length == 1 else 8)
        if length < _BOX.size:
            break
        position += length
    raise CodestreamError("no codestream box")
