"""JPEG and JPEG-LS headers (ITU-T T.81 annex B, ITU-T T.87 annex C): marker segments up to the frame header."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from mlmodel.codes import rejection
from mlmodel.headers.limits import MAX_STEPS, check_pixel_budget
from mlmodel.types import ImageBytes, ImageInfo

SOI, EOI, SOS, TEM, SOF_JPEG_LS = 0xD8, 0xD9, 0xDA, 0x01, 0xF7
FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), SOF_JPEG_LS} - {0xC4, 0xC8, 0xCC})  # DHT, JPG and DAC lie among them
HUFFMAN_DCT = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended sequential, progressive

_SEGMENT_LENGTH = struct.Struct(">H")
_FRAME = struct.Struct(">BHHB")


class CodestreamError(ValueError):
    """The codestream breaks its own rules."""


class Segment(NamedTuple):
    """A marker and where its parameters lie."""

    marker: int
    start: int
    end: int


class Frame(NamedTuple):
    """A frame header: which process, bits per sample, pixels high and wide, samples per pixel."""

    marker: int
    precision: int
    height: int
    width: int
    components: int


def inspect_jpeg(image: ImageBytes) -> ImageInfo:
    """What a JPEG's headers say, in pixels and bits; the first scan must have begun before the file ends.

    Raises `RejectedImageError`: UNREADABLE for broken headers and for processes that no browser shows (12-bit,
    lossless, arithmetic), UNSUPPORTED_FORMAT for JPEG-LS outside DICOM, TOO_MANY_PIXELS.
    """
    try:
        frame = _frame_before_scan(image)
    except CodestreamError as error:
        raise rejection("UNREADABLE") from error
    if frame.marker == SOF_JPEG_LS:
        raise rejection("UNSUPPORTED_FORMAT")
    if frame.marker not in HUFFMAN_DCT or frame.precision != 8 or frame.components not in {1, 3, 4}:
        raise rejection("UNREADABLE")
    check_pixel_budget(frame.width, frame.height)
    return ImageInfo("JPEG", frame.width, frame.height, frame.precision, frame.components, len(image))


def find_frame(data: ImageBytes) -> Frame:
    """The first frame header of a JPEG or JPEG-LS codestream. Raises `CodestreamError` where there is none."""
    for segment in _segments(data):
        if segment.marker in FRAME_MARKERS:
            return _read_frame(data, segment)
    raise CodestreamError("no frame header")


def _frame_before_scan(data: ImageBytes) -> Frame:
    frame = None
    for segment in _segments(data):
        if segment.marker in FRAME_MARKERS:
            if frame is not None:
                raise CodestreamError("two frame headers")
            frame = _read_frame(data, segment)
        elif segment.marker == SOS and frame is not None and segment.end < len(data):
            return frame
    raise CodestreamError("no scan")


def _read_frame(data: ImageBytes, segment: Segment) -> Frame:
    if segment.end - segment.start < _FRAME.size:
        raise CodestreamError("short frame header")
    frame = Frame(segment.marker, *_FRAME.unpack_from(data, segment.start))
    if segment.end - segment.start < _FRAME.size + 3 * frame.components:
        raise CodestreamError("short frame header")
    if not (frame.width and frame.height and frame.components):
        raise CodestreamError("a dimension is zero")
    return frame


def _segments(data: ImageBytes) -> Iterator[Segment]:
    """The marker segments from the first one after SOI to the first SOS."""
    if data[:2] != b"\xff\xd8":
        raise CodestreamError("no SOI")
    position = 2
    for _ in range(MAX_STEPS):
        if position + 4 > len(data) or data[position] != 0xFF:
            raise CodestreamError("no marker")
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte (T.81 B.1.1.2)
            position += 1
            continue
        if marker == TEM:
            position += 2
            continue
        segment = _read_segment(data, marker, position + 2)
        yield segment
        if marker == SOS:
            return
        position = segment.end
    raise CodestreamError("too many segments")


def _read_segment(data: ImageBytes, marker: int, position: int) -> Segment:
    if marker < 0xC0 or 0xD0 <= marker <= EOI:
        raise CodestreamError("a marker that cannot stand before a scan")
    (length,) = _SEGMENT_LENGTH.unpack_from(data, position)
    if length < 2 or position + length > len(data):
        raise CodestreamError("a segment's length is wrong")
    return Segment(marker, position + 2, position + length)
