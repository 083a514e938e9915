"""JPEG and PNG: odd ones that must be read, and bad ones that must not."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from tests.corpus.drawing import HEIGHT, WIDTH, film_pixels
from tests.corpus.specimen import Specimen
from tests.corpus.strangers import HTML

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SOF0, SOS = b"\xff\xc0", b"\xff\xda"


def build_pictures() -> Iterator[Specimen]:
    """Specimens under the names film.jpg and film.png."""
    for name, data, gate, reading in (*_odd_jpegs(), *_bad_jpegs()):
        yield Specimen(f"jpeg {name}", "film.jpg", data, gate, reading)
    for name, data, gate, reading in (*_odd_pngs(), *_bad_pngs()):
        yield Specimen(f"png {name}", "film.png", data, gate, reading)


def encode(mode: str = "L", file_format: str = "JPEG", **options: Any) -> bytes:
    """The small phantom film in a mode of Pillow."""
    picture = Image.fromarray(film_pixels().astype(np.uint8)).convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    """A PNG chunk, with its true checksum unless told another."""
    checksum = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png(*chunks: bytes, width: int = WIDTH, height: int = HEIGHT, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG of a valid IHDR and these chunks."""
    return PNG_SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)) + b"".join(chunks)


def _idat() -> bytes:
    rows = film_pixels().astype(np.uint8)
    return chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))) + chunk(b"IEND", b"")


def _odd_jpegs() -> Iterator[tuple[str, bytes, str, str]]:
    plain = encode()
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    comment = b"\xff\xfe" + struct.pack(">H", len(HTML) + 2) + HTML
    tiny = io.BytesIO()
    Image.new("L", (32, 32)).save(tiny, "JPEG")
    yield "plain", plain, "", ""
    yield "progressive", encode(progressive=True), "", ""
    yield "of three equal channels", encode("RGB"), "", ""
    yield "cmyk", encode("CMYK"), "", ""
    yield "turned by exif", encode(exif=exif), "", ""
    yield "with html after it", plain + HTML, "", ""
    yield "with a zip after it", plain + b"PK\x03\x04" + bytes(60), "", ""
    yield "with html in a comment", plain[:2] + comment + plain[2:], "", ""
    yield "with fill bytes between segments", plain[:2] + b"\xff" * 40 + plain[2:], "", ""
    yield "of 32 pixels a side", tiny.getvalue(), "", "TOO_SMALL"


def _bad_jpegs() -> Iterator[tuple[str, bytes, str, str]]:
    plain = encode()
    frame, scan = plain.index(SOF0), plain.index(SOS)
    yield "cut to its magic bytes", plain[:3], "UNREADABLE", ""
    yield "cut before the frame header", plain[:frame], "UNREADABLE", ""
    yield "cut inside the frame header", plain[: frame + 7], "UNREADABLE", ""
    yield "cut before the scan", plain[:scan], "UNREADABLE", ""
    yield "cut where the scan begins", plain[: scan + 10], "UNREADABLE", ""
    yield "cut in the middle of the scan", plain[: (scan + len(plain)) // 2], "", "UNREADABLE"
    yield "cut before its last quarter", plain[: len(plain) - (len(plain) - scan) // 4], "", "UNREADABLE"
    yield "without a frame header", plain[:frame] + plain[frame + 2 + 11 :], "UNREADABLE", ""
    yield "with two frame headers", plain[:frame] + plain[frame : frame + 13] + plain[frame:], "UNREADABLE", ""
    yield "with a segment of length zero", plain[:2] + b"\xff\xe1\x00\x00" + plain[2:], "UNREADABLE", ""
    yield "with a segment beyond its end", plain[:2] + b"\xff\xe1\xff\xff" + plain[2:400], "UNREADABLE", ""
    yield "of nothing but fill bytes", plain[:2] + b"\xff" * 100_000, "UNREADABLE", ""
    yield "of 100,000 empty segments", plain[:2] + b"\xff\xfe\x00\x02" * 100_000 + plain[2:], "UNREADABLE", ""
    for name, marker in (("lossless", 0xC3), ("arithmetic", 0xC9)):
        yield name, plain[: frame + 1] + bytes([marker]) + plain[frame + 2 :], "UNREADABLE", ""
    yield "of the jpeg-ls kind", plain[: frame + 1] + b"\xf7" + plain[frame + 2 :], "UNSUPPORTED_FORMAT", ""
    yield "of 12 bits", _with_frame(plain, frame, precision=12), "UNREADABLE", ""
    yield "of height zero", _with_frame(plain, frame, height=0), "UNREADABLE", ""
    yield "of 65,500 x 65,500", _with_frame(plain, frame, height=65_500, width=65_500), "TOO_MANY_PIXELS", ""


def _with_frame(data: bytes, frame: int, *, precision: int = 8, height: int = HEIGHT, width: int = WIDTH) -> bytes:
    return data[: frame + 4] + struct.pack(">BHH", precision, height, width) + data[frame + 9 :]


def _odd_pngs() -> Iterator[tuple[str, bytes, str, str]]:
    sixteen = io.BytesIO()
    Image.fromarray(film_pixels(16)).save(sixteen, "PNG")
    yield "plain", encode("L", "PNG"), "", ""
    yield "of 16 bits", sixteen.getvalue(), "", ""
    yield "of 1 bit", encode("1", "PNG"), "", ""
    for name, mode in (("with a palette", "P"), ("in rgb", "RGB"), ("in rgba", "RGBA"), ("grey with alpha", "LA")):
        yield name, encode(mode, "PNG"), "", ""
    yield "with html after it", encode("L", "PNG") + HTML, "", ""
    yield "with animation after its pixels", png(_idat()[:-12], chunk(b"acTL", bytes(8)), chunk(b"IEND", b"")), "", ""
    yield "of 36 million pixels cut short", png(chunk(b"IDAT", b"x"), width=6000, height=6000), "", "UNREADABLE"


def _bad_pngs() -> Iterator[tuple[str, bytes, str, str]]:
    plain = png(_idat())
    bomb = zlib.compress(bytes(20_000_000), 9)
    yield "60,000 x 60,000", png(chunk(b"IDAT", b""), width=60_000, height=60_000), "TOO_MANY_PIXELS", ""
    yield "10,000 x 10,000", png(chunk(b"IDAT", b""), width=10_000, height=10_000), "TOO_MANY_PIXELS", ""
    yield "one pixel high and 2 billion wide", png(_idat(), width=2**31 - 1, height=1), "TOO_MANY_PIXELS", ""
    yield "of width zero", png(_idat(), width=0), "UNREADABLE", ""
    yield "of negative height", png(_idat(), height=2**31), "UNREADABLE", ""
    yield "of depth 3", png(_idat(), depth=3), "UNREADABLE", ""
    yield "of colour type 5", png(_idat(), colour=5), "UNREADABLE", ""
    yield "with a wrong header checksum", PNG_SIGNATURE + chunk(b"IHDR", plain[16:29], crc=1) + _idat(), "UNREADABLE", ""
    yield "with a wrong pixel checksum", png(_idat()[:-16] + b"\0\0\0\0" + chunk(b"IEND", b"")), "", "UNREADABLE"
    yield "animated", png(chunk(b"acTL", struct.pack(">II", 3, 0)), _idat()), "ANIMATED", ""
    yield "without pixels", png(chunk(b"IEND", b"")), "UNREADABLE", ""
    yield "with its palette missing", png(_idat(), colour=3), "UNREADABLE", ""
    yield "with two headers", png(plain[8:33], _idat()), "UNREADABLE", ""
    yield "of its signature alone", PNG_SIGNATURE, "UNREADABLE", ""
    yield "cut inside the header", plain[:24], "UNREADABLE", ""
    yield "cut inside the pixels", plain[: len(plain) // 2], "UNREADABLE", ""
    yield "with a chunk of 2 GB", png(struct.pack(">I", 2**31 - 1) + b"tEXt"), "UNREADABLE", ""
    yield "of 100,000 empty chunks", png(chunk(b"tEXt", b"") * 100_000, _idat()), "UNREADABLE", ""
    yield "with a zTXt bomb", png(chunk(b"zTXt", b"k\0\0" + bomb), _idat()), "", "UNREADABLE"
    yield "with an iTXt bomb", png(chunk(b"iTXt", b"k\0\x01\0\0\0" + bomb), _idat()), "", "UNREADABLE"
