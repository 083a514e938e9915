"""Files that are no image of ours under an image's name."""

import gzip
import io
import random
import zipfile
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.corpus.drawing import film_pixels
from tests.corpus.specimen import Specimen

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!DOCTYPE html><html><script>alert(1)</script></html>"
NOT_OURS: tuple[tuple[str, str, bytes], ...] = (
    ("one byte", "film.jpg", b"\xff"),
    ("text renamed", "film.jpg", b"Dear colleague, please find the film attached.\n"),
    ("white space", "film.png", b" \r\n\t" * 64),
    ("zeros", "film.dcm", bytes(4096)),
    ("html", "film.jpg", HTML),
    ("html after a byte order mark", "film.jpg", b"\xef\xbb\xbf\n\n  " + HTML),
    ("html in utf-16", "film.jpg", HTML.decode().encode("utf-16")),
    ("svg", "film.png", SVG),
    ("svg after an xml declaration", "film.png", b'\xef\xbb\xbf<?xml version="1.0"?>\n' + SVG),
    ("pdf", "film.jpg", b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF\n"),
    ("eps", "film.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"),
    ("windows program", "film.jpg", b"MZ\x90\x00" + bytes(200)),
    ("elf program", "film.png", b"\x7fELF\x02\x01\x01" + bytes(200)),
    ("shell script", "film.dcm", b"#!/bin/sh\nreboot\n"),
    ("bare jpeg 2000 codestream", "film.jpg", b"\xff\x4f\xff\x51\x00\x29" + bytes(60)),
    ("jp2 file", "film.jpg", b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(60)),
    ("png signature with line ends changed", "film.png", b"\x89PNG\n\x1a\n" + bytes(60)),
    ("mp4", "film.jpg", b"\x00\x00\x00\x18ftypisom" + bytes(60)),
    ("heic photo", "film.jpg", b"\x00\x00\x00\x18ftypheic" + bytes(60)),
    ("nifti volume", "film.dcm", b"\x5c\x01\x00\x00" + bytes(340) + b"n+1\x00"),
)


def build_strangers() -> Iterator[Specimen]:
    """Specimens that the gate turns away by their first bytes."""
    yield Specimen("zero bytes", "film.jpg", b"", gate="EMPTY_FILE")
    for name, file_name, data in (*NOT_OURS, *_made_by_libraries()):
        yield Specimen(name, file_name, data, gate="UNSUPPORTED_FORMAT")


def _made_by_libraries() -> Iterator[tuple[str, str, bytes]]:
    picture = Image.fromarray(film_pixels().astype(np.uint8))
    for file_format in ("TIFF", "GIF", "BMP", "WEBP"):
        buffer = io.BytesIO()
        picture.save(buffer, file_format)
        yield file_format.lower(), "film.jpg", buffer.getvalue()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("film.jpg", b"\xff\xd8\xff")
    yield "zip", "film.png", archive.getvalue()
    yield "gzip", "film.dcm", gzip.compress(bytes(2000), mtime=0)
    yield "random bytes", "film.dcm", b"\x01" + random.Random(4).randbytes(4096)
