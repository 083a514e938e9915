"""DICOM: odd films that must be read, bad ones that must not, and attacks."""

import struct
import zlib
from collections.abc import Iterator
from itertools import chain

import numpy as np

from tests.corpus import codestreams
from tests.corpus.dicom_writer import (
    BIG_ENDIAN,
    DEFLATED,
    EIGHT_BITS,
    EXPLICIT,
    IMPLICIT,
    UNDEFINED,
    data_set,
    dicom_file,
    element,
    encapsulated,
    film,
    item,
    meta,
    pixel_data,
)
from tests.corpus.drawing import HEIGHT, WIDTH, film_pixels
from tests.corpus.specimen import Specimen

XSS = '"><script>alert(1)</script>'
ROWS, COLUMNS = 0x00280010, 0x00280011
ODD_SIZE = {ROWS: ("US", 201), COLUMNS: ("US", 199)}
DELIMITERS = item(tag=0xFFFEE00D) + item(tag=0xFFFEE0DD)

Row = tuple[str, bytes, str, str]


def build_films() -> Iterator[Specimen]:
    """Specimens under the name film.dcm."""
    groups = (_odd_films(), _compressed_films(), _other_kinds(), _not_quite_dicom(), _bad_headers(), _lies(), _attacks())
    for name, data, gate, reading in chain(*groups):
        yield Specimen(f"dicom {name}", "film.dcm", data, gate, reading)


def nested(levels: int, *, defined: bool = False, syntax: str = EXPLICIT) -> bytes:
    """Sequences within sequences, of undefined or of defined length."""
    if not defined:
        opening = element(0x00081140, "SQ", b"", length=UNDEFINED) + item(length=UNDEFINED)
        return opening * levels + DELIMITERS * levels
    body = b""
    for _ in range(levels):
        body = element(0x00081140, "SQ", item(body), syntax=syntax)
    return body


def _odd_films() -> Iterator[Row]:
    grey = film_pixels().astype(np.uint8).tobytes()
    inverted = (4095 - film_pixels(12)).astype("<u2").tobytes()
    signed = (film_pixels(12).astype(np.int32) - 2048).astype("<i2").tobytes()
    yield "explicit little endian", film(), "", ""
    yield "implicit little endian", film(syntax=IMPLICIT), "", ""
    yield "explicit big endian", film(syntax=BIG_ENDIAN), "", ""
    yield "of 8 bits", film(EIGHT_BITS, pixels=pixel_data(grey, vr="OB")), "", ""
    yield "of an odd number of bytes", film({**EIGHT_BITS, **ODD_SIZE}, pixels=pixel_data(grey[: 201 * 199], vr="OB")), "", ""
    subsampled = np.stack([film_pixels().ravel(), np.full(WIDTH * HEIGHT, 128)], 1).astype(np.uint8)
    ybr = {**EIGHT_BITS, 0x00280002: ("US", 3), 0x00280004: ("CS", "YBR_FULL_422"), 0x00280006: ("US", 0)}
    yield "of subsampled colour", film(ybr, pixels=pixel_data(_pair_up(subsampled), vr="OB")), "", ""
    yield "with a patient ID of 3 MB", film({0x00100020: ("UT", "P" * 3_000_000)}), "", ""
    yield "monochrome1", film({0x00280004: ("CS", "MONOCHROME1")}, pixels=pixel_data(inverted)), "", ""
    yield "of signed values", film({0x00280103: ("US", 1)}, pixels=pixel_data(signed)), "", ""
    yield "with a tiff preamble", film(preamble=b"II*\0\x08\0\0\0"), "", ""
    yield "without a modality", film({0x00080060: None}), "", ""
    yield "without anything about the patient", film(dict.fromkeys((0x00100010, 0x00100020, 0x00100030, 0x00101010))), "", ""
    yield "with markup in its names", film({0x00100010: ("PN", XSS), 0x00100020: ("LO", XSS), 0x00080050: ("SH", XSS)}), "", ""
    yield "with control characters in its names", film({0x00100010: ("PN", "A\0\x1b[31m\u202eB^C\r\nD")}), "", ""
    yield "with a name of 3,000 characters", film({0x00100010: ("PN", "N" * 3000)}), "", ""
    yield "with a charset of nonsense", film({0x00080005: ("CS", "ISO_IR 9999\\\xff")}), "", ""
    yield "with text that its charset cannot say", film({0x00100010: ("PN", b"M\xfc\xfe\xffller^Zo\xeb")}), "", ""
    yield "with impossible dates and age", film({0x00100030: ("DA", "20251399"), 0x00101010: ("AS", "999X")}), "", ""
    yield "with a UID of letters", film({0x0020000D: ("UI", "../../etc/passwd")}), "", ""
    yield "with sequences ten deep", film_with(nested(10)), "", ""
    yield "with sequences ten deep of defined length", film_with(nested(10, defined=True)), "", ""
    yield "with an icon", film_with(b"", after=icon(pixel_data(bytes(64)))), "", ""
    yield "with an icon in fragments", film_with(b"", after=icon(encapsulated(codestreams.jpeg()))), "", ""
    yield "with padding after its pixels", film(pixels=pixel_data() + element(0xFFFCFFFC, "OB", bytes(100))), "", ""
    yield "with html after its pixels", film() + b"<html><script>alert(1)</script>", "", ""


def _pair_up(luma_and_chroma: np.ndarray) -> bytes:
    """(pixels, 2) -> Y1 Y2 Cb Cr for each pair of pixels (PS3.3 section C.7.6.3.1.2)."""
    pairs = luma_and_chroma.reshape(-1, 2, 2)
    return np.stack([pairs[:, 0, 0], pairs[:, 1, 0], pairs[:, 0, 1], pairs[:, 1, 1]], 1).tobytes()


def film_with(elements: bytes, *, after: bytes = b"", syntax: str = EXPLICIT) -> bytes:
    """A film with more elements before and after its header."""
    return dicom_file(elements + data_set(syntax=syntax) + after + pixel_data(syntax=syntax), syntax=syntax)


def icon(pixels: bytes) -> bytes:
    """An Icon Image Sequence: a small image, with pixels of its own, within the header."""
    return element(0x00880200, "SQ", b"", length=UNDEFINED) + item(element(ROWS, "US", 64) + pixels) + item(tag=0xFFFEE0DD)


def _compressed_films() -> Iterator[Row]:
    yield "rle", film(syntax=codestreams.RLE, pixels=encapsulated(codestreams.rle())), "", ""
    yield "jpeg baseline", film(EIGHT_BITS, syntax=codestreams.JPEG, pixels=encapsulated(codestreams.jpeg())), "", ""
    half = len(codestreams.jpeg()) // 4 * 2
    halves = encapsulated(codestreams.jpeg()[:half], codestreams.jpeg()[half:])
    yield "jpeg baseline in two fragments", film(EIGHT_BITS, syntax=codestreams.JPEG, pixels=halves), "", ""
    yield "jpeg-ls", film(syntax=codestreams.JPEG_LS, pixels=encapsulated(codestreams.jpeg_ls())), "", ""
    yield "jpeg 2000", film(syntax=codestreams.JPEG_2000, pixels=encapsulated(codestreams.jpeg_2000())), "", ""
    yield "jpeg 2000 in a jp2", film(syntax=codestreams.JPEG_2000, pixels=encapsulated(codestreams.jp2())), "", ""


def _other_kinds() -> Iterator[Row]:
    """Whole files of what is not read: other modalities and views, films of adults, cine loops."""
    two_frames = pixel_data(film_pixels(12).astype("<u2").tobytes() * 2)
    yield "ct", film({0x00080060: ("CS", "CT")}), "MODALITY_NOT_SUPPORTED", ""
    yield "fluoroscopy", film({0x00080060: ("CS", "RF")}), "MODALITY_NOT_SUPPORTED", ""
    yield "ct of 20,000 elements", film({0x00080060: ("CS", "CT"), **_many()}), "MODALITY_NOT_SUPPORTED", ""
    yield "lateral", film({0x00185101: ("CS", "LL")}), "", "LATERAL_VIEW"
    yield "of an adult", film({0x00101010: ("AS", "070Y")}), "", "AGE_OUT_OF_RANGE"
    yield "of two frames", film({0x00280008: ("IS", "2")}, pixels=two_frames), "MULTI_FRAME", ""
    yield "of frames without number", film({0x00280008: ("IS", "many")}), "MALFORMED_DICOM", ""
    yield "of zero frames", film({0x00280008: ("IS", "0")}), "MALFORMED_DICOM", ""


def _many() -> dict[int, tuple[str, bytes]]:
    return {0x00091001 + index: ("LO", b"") for index in range(20_000)}


def _not_quite_dicom() -> Iterator[Row]:
    whole = film()
    yield "without preamble", whole[132:], "MALFORMED_DICOM", ""
    yield "without preamble and meta information", data_set() + pixel_data(), "MALFORMED_DICOM", ""
    yield "without preamble, magic first", whole[128:], "MALFORMED_DICOM", ""
    for name, start in (
        ("windows program", b"MZ\x90\0"),
        ("elf program", b"\x7fELF\x02\x01\x01"),
        ("shell script", b"#!/bin/sh\n"),
    ):
        yield f"in a {name}", film(preamble=start), "UNSAFE_PREAMBLE", ""
    yield "in html", film(preamble=b"<html><script>alert(1)</script>"), "UNSAFE_PREAMBLE", ""
    yield "with its program late in the preamble", film(preamble=bytes(60) + b"PE\0\0"), "UNSAFE_PREAMBLE", ""
    yield "behind a jpeg's magic", film(preamble=b"\xff\xd8\xff\xe0\0\x10JFIF"), "UNSAFE_PREAMBLE", ""
    yield "without a transfer syntax", dicom_file(data_set() + pixel_data(), syntax=None), "MALFORMED_DICOM", ""
    twice = meta(IMPLICIT) + element(0x00020010, "UI", EXPLICIT)
    yield "of two transfer syntaxes", bytes(128) + b"DICM" + twice + data_set() + pixel_data(), "MALFORMED_DICOM", ""
    late = b"".join(element(0x00020100 + index, "OB", b"") for index in range(100)) + meta()
    yield (
        "with its transfer syntax after 100 elements",
        bytes(128) + b"DICM" + late + data_set() + pixel_data(),
        "MALFORMED_DICOM",
        "",
    )
    for name, syntax in (("unknown", "1.2.3.4.5"), ("mpeg-2", "1.2.840.10008.1.2.4.100"), ("nonsense", "\x1b]0;")):
        yield (
            f"of {name} transfer syntax",
            dicom_file(data_set() + pixel_data(), syntax=syntax),
            "TRANSFER_SYNTAX_NOT_SUPPORTED",
            "",
        )


def _bad_headers() -> Iterator[Row]:
    whole = film()
    yield "without pixels", dicom_file(data_set()), "NO_PIXELS", ""
    yield "with floating-point pixels", film(pixels=element(0x7FE00008, "OF", bytes(400))), "NO_PIXELS", ""
    for cut in (132, 140, 200, 300, 400):
        yield f"cut after {cut} bytes", whole[:cut], "MALFORMED_DICOM", ""
    yield "cut inside its pixels", whole[: len(whole) // 2], "MALFORMED_DICOM", ""
    for name, tag in (("rows", ROWS), ("columns", COLUMNS), ("bits", 0x00280100), ("photometric interpretation", 0x00280004)):
        yield f"without {name}", film({tag: None}), "MALFORMED_DICOM", ""
    yield "of no rows", film({ROWS: ("US", 0)}, pixels=pixel_data(b"")), "MALFORMED_DICOM", ""
    yield "with rows of 32 bits", film({ROWS: ("UL", struct.pack("<I", HEIGHT))}), "MALFORMED_DICOM", ""
    yield "with signed rows", film({ROWS: ("SS", HEIGHT)}), "MALFORMED_DICOM", ""
    yield "with two numbers of rows", film({ROWS: ("US", struct.pack("<HH", HEIGHT, 5))}), "MALFORMED_DICOM", ""
    yield "with pixels of unknown VR", film(pixels=pixel_data(vr="UN")), "MALFORMED_DICOM", ""
    yield "of 64 bits", film({0x00280100: ("US", 64)}, pixels=pixel_data(bytes(8 * WIDTH * HEIGHT))), "MALFORMED_DICOM", ""
    yield "of 24 bits stored in 16", film({0x00280101: ("US", 24)}), "MALFORMED_DICOM", ""
    yield "monochrome of three samples", film({0x00280002: ("US", 3)}), "MALFORMED_DICOM", ""
    yield "of unknown photometric interpretation", film({0x00280004: ("CS", "HSV")}), "MALFORMED_DICOM", ""
    yield "with an unknown VR", film_with(b"\x08\0\x08\0??\x04\0ABCD"), "MALFORMED_DICOM", ""
    yield "implicit under an explicit syntax", dicom_file(data_set(syntax=IMPLICIT) + pixel_data()), "MALFORMED_DICOM", ""
    fragments = encapsulated(codestreams.jpeg())
    yield (
        "with fragments that never end",
        film(EIGHT_BITS, syntax=codestreams.JPEG, pixels=fragments[:-8]),
        "MALFORMED_DICOM",
        "",
    )
    yield "without fragments", film(EIGHT_BITS, syntax=codestreams.JPEG, pixels=encapsulated()), "MALFORMED_DICOM", ""
    yield "compressed without fragments' structure", film(syntax=codestreams.JPEG, pixels=pixel_data()), "MALFORMED_DICOM", ""
    items = element(0x7FE00010, "OB", item() + item(codestreams.jpeg()) + item(tag=0xFFFEE0DD))
    yield "with fragments of a stated length", film(EIGHT_BITS, syntax=codestreams.JPEG, pixels=items), "MALFORMED_DICOM", ""
    yield "uncompressed in fragments", film(pixels=encapsulated(bytes(400))), "MALFORMED_DICOM", ""


def _lies() -> Iterator[Row]:
    """Rows and Columns that the pixels do not bear out."""
    yield "native of 65,535 x 65,535", film({ROWS: ("US", 65_535), COLUMNS: ("US", 65_535)}), "TOO_MANY_PIXELS", ""
    for side in (46_341, 50_000):  # the least whose square is beyond 31 bits, and one that is beyond 32 in bytes
        yield f"native of {side:,} x {side:,}", film({ROWS: ("US", side), COLUMNS: ("US", side)}), "TOO_MANY_PIXELS", ""
    palette = {**EIGHT_BITS, 0x00280004: ("CS", "PALETTE COLOR")}
    grey = film_pixels().astype(np.uint8).tobytes()
    yield "of palette colours without a palette", film(palette, pixels=pixel_data(grey, vr="OB")), "", "UNREADABLE"
    yield "native with rows doubled", film({ROWS: ("US", 2 * HEIGHT)}), "MALFORMED_DICOM", ""
    yield "native with rows halved", film({ROWS: ("US", HEIGHT // 2)}), "MALFORMED_DICOM", ""
    streams = {
        "jpeg": (codestreams.JPEG, codestreams.jpeg(), EIGHT_BITS),
        "jpeg-ls": (codestreams.JPEG_LS, codestreams.jpeg_ls(), {}),
        "jpeg 2000": (codestreams.JPEG_2000, codestreams.jpeg_2000(), {}),
    }
    for name, (syntax, stream, tags) in streams.items():
        lie = {**tags, ROWS: ("US", 6000), COLUMNS: ("US", 6000)}
        yield (
            f"{name} of 6,000 x 6,000 by the header alone",
            film(lie, syntax=syntax, pixels=encapsulated(stream)),
            "MALFORMED_DICOM",
            "",
        )
    huge = codestreams.resize_jpeg_2000(codestreams.jpeg_2000(), 60_000, 60_000)
    lie = {ROWS: ("US", 60_000), COLUMNS: ("US", 60_000)}
    yield (
        "jpeg 2000 of 60,000 x 60,000",
        film(lie, syntax=codestreams.JPEG_2000, pixels=encapsulated(huge)),
        "TOO_MANY_PIXELS",
        "",
    )
    yield (
        "jpeg 2000 of 60,000 x 60,000 in the codestream alone",
        (film(syntax=codestreams.JPEG_2000, pixels=encapsulated(huge))),
        "MALFORMED_DICOM",
        "",
    )
    stream = encapsulated(codestreams.jpeg_ls())
    yield "jpeg-ls of 12 bits in 8", film(EIGHT_BITS, syntax=codestreams.JPEG_LS, pixels=stream), "MALFORMED_DICOM", ""
    garbage = b"\xff\x4f\xff\x51" + bytes(range(256)) * 4
    yield "jpeg 2000 of garbage", film(syntax=codestreams.JPEG_2000, pixels=encapsulated(garbage)), "MALFORMED_DICOM", ""
    torn = codestreams.jpeg_2000()[:200]
    yield "jpeg 2000 torn off", film(syntax=codestreams.JPEG_2000, pixels=encapsulated(torn)), "", "UNREADABLE"
    yield (
        "rle of three segments",
        (film(syntax=codestreams.RLE, pixels=encapsulated(struct.pack("<16I", 3, 64, *[0] * 14) + bytes(64)))),
        "MALFORMED_DICOM",
        "",
    )
    yield "rle torn off", film(syntax=codestreams.RLE, pixels=encapsulated(codestreams.rle()[:200])), "", "UNREADABLE"


def _attacks() -> Iterator[Row]:
    deflate = zlib.compressobj(9, wbits=-15)
    bomb = deflate.compress(data_set() + element(0x00091001, "OB", bytes(50_000_000))) + deflate.flush()
    yield "deflated bomb", dicom_file(bomb, syntax=DEFLATED), "TRANSFER_SYNTAX_NOT_SUPPORTED", ""
    for levels in (17, 300, 10_000):
        yield f"with sequences {levels} deep", film_with(nested(levels)), "MALFORMED_DICOM", ""
    yield "with sequences 300 deep of defined length", film_with(nested(300, defined=True)), "MALFORMED_DICOM", ""
    deep = nested(300, defined=True, syntax=IMPLICIT)
    yield "with sequences 300 deep of defined length, implicit", film_with(deep, syntax=IMPLICIT), "MALFORMED_DICOM", ""
    yield "with a delimiter of nothing", film_with(item(tag=0xFFFEE00D)), "MALFORMED_DICOM", ""
    yield "with sequences 300 deep after its pixels", film() + nested(300), "", "UNREADABLE"
    yield "with a sequence that never ends", film_with(element(0x00081140, "SQ", b"", length=UNDEFINED)), "MALFORMED_DICOM", ""
    yield "with an item longer than its sequence", film_with(element(0x00081140, "SQ", item(length=400))), "MALFORMED_DICOM", ""
    yield "of 20,000 elements", film(_many()), "MALFORMED_DICOM", ""
    yield "with rows given twice", film_with(element(ROWS, "US", 6_000)), "MALFORMED_DICOM", ""
    yield "of pixels claiming 4 GB", film(pixels=pixel_data(bytes(64), length=0xFFFFFFFE)), "MALFORMED_DICOM", ""
    yield "with a text claiming 2 GB", film_with(element(0x00081140, "UT", b"x", length=2**31)), "MALFORMED_DICOM", ""
    yield (
        "of 100,000 empty fragments",
        (film(EIGHT_BITS, syntax=codestreams.JPEG, pixels=encapsulated(codestreams.jpeg(), *[b""] * 100_000))),
        "MALFORMED_DICOM",
        "",
    )
