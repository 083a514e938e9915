"""PNG headers (W3C Portable Network Graphics, Third Edition, sections 5 and 11): chunks up to the first IDAT."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from mlmodel.codes import rejection
from mlmodel.headers.limits import MAX_STEPS, check_pixel_budget
from mlmodel.types import ImageBytes, ImageInfo, RejectedImageError

# Colour type -> (samples per pixel, allowed bit depths): section 11.2.1, table 12
COLOUR_TYPES = {0: (1, {1, 2, 4, 8, 16}), 2: (3, {8, 16}), 3: (1, {1, 2, 4, 8}), 4: (2, {8, 16}), 6: (4, {8, 16})}
PALETTE = 3
MAX_SIDE = 2**31 - 1

_CHUNK = struct.Struct(">I4s")
_IHDR = struct.Struct(">IIBBBBB")


class Chunk(NamedTuple):
    """A chunk's type and where its data lie."""

    kind: bytes
    start: int
    end: int


def inspect_png(image: ImageBytes) -> ImageInfo:
    """What a PNG's headers say, in pixels and bits. A palette counts as one sample.

    Raises `RejectedImageError`: UNREADABLE for broken headers, TOO_MANY_PIXELS, ANIMATED.
    """
    chunks = _chunks(image)
    header = next(chunks)
    if header.kind != b"IHDR" or header.end - header.start != _IHDR.size:
        raise _unreadable()
    width, height, depth, colour, *methods = _IHDR.unpack_from(image, header.start)
    _check_crc(image, header)
    samples, depths = COLOUR_TYPES.get(colour, (0, set()))
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and depth in depths and methods in ([0, 0, 0], [0, 0, 1])):
        raise _unreadable()
    check_pixel_budget(width, height)
    _check_up_to_pixels(chunks, needs_palette=colour == PALETTE)
    return ImageInfo("PNG", width, height, depth, samples, len(image))


def _check_up_to_pixels(chunks: Iterator[Chunk], *, needs_palette: bool) -> None:
    has_palette = False
    for chunk in chunks:
        if chunk.kind == b"acTL":
            raise rejection("ANIMATED")
        if chunk.kind == b"IHDR":
            raise _unreadable()
        has_palette = has_palette or chunk.kind == b"PLTE"
        if chunk.kind == b"IDAT":
            break
    if needs_palette and not has_palette:
        raise _unreadable()


def _chunks(image: ImageBytes) -> Iterator[Chunk]:
    """The chunks up to and with the first IDAT; UNREADABLE where there is none within the file."""
    position = 8
    for _ in range(MAX_STEPS):
        if position + 12 > len(image):
            raise _unreadable()
        length, kind = _CHUNK.unpack_from(image, position)
        start = position + _CHUNK.size
        position = start + length + 4
        if position > len(image):
            raise _unreadable()
        yield Chunk(kind, start, start + length)
        if kind == b"IDAT":
            return
    raise _unreadable()


def _check_crc(image: ImageBytes, chunk: Chunk) -> None:
    expected = int.from_bytes(image[chunk.end : chunk.end + 4], "big")
    if zlib.crc32(image[chunk.start - 4 : chunk.end]) != expected:
        raise _unreadable()


def _unreadable() -> RejectedImageError:
    return rejection("UNREADABLE")
