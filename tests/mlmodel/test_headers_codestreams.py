"""The headers of codestreams, rule by rule."""

import struct

import pytest

from mlmodel.headers.jpeg import CodestreamError, find_frame
from mlmodel.headers.jpeg2000 import CODESTREAM_START, JP2_SIGNATURE, MAX_BOXES, find_size
from tests.corpus import codestreams
from tests.corpus.drawing import HEIGHT, WIDTH

FREE_BOX = struct.pack(">I4s", 12, b"free") + bytes(4)


def siz(right: int, bottom: int, left: int = 0, top: int = 0) -> bytes:
    """SOC and a SIZ segment of one component of 12 bits."""
    sizes = struct.pack(">IIIIIIII", right, bottom, left, top, right, bottom, 0, 0)
    return CODESTREAM_START + struct.pack(">HH", 41, 0) + sizes + struct.pack(">HBBB", 1, 11, 1, 1)


def test_real_codestreams_say_their_size() -> None:
    for frame, precision in (
        (find_frame(codestreams.jpeg()), 8),
        (find_frame(codestreams.jpeg_ls()), 12),
        (find_size(codestreams.jpeg_2000()), 12),
        (find_size(codestreams.jp2()), 12),
    ):
        assert (frame.width, frame.height, frame.precision, frame.components) == (WIDTH, HEIGHT, precision, 1)


def test_the_size_is_what_lies_beyond_the_image_offset() -> None:
    frame = find_size(siz(640, 480, left=40, top=80))
    assert (frame.width, frame.height) == (600, 400)


@pytest.mark.parametrize("data", [siz(40, 480, left=40), siz(640, 80, top=81), siz(0, 0), siz(640, 480)[:40], b"", b"\xff\x4f"])
def test_an_impossible_or_torn_size_is_an_error(data: bytes) -> None:
    with pytest.raises(CodestreamError):
        find_size(data)


def test_boxes_before_the_codestream_are_skipped_up_to_a_limit() -> None:
    codestream = struct.pack(">I4s", 0, b"jp2c") + siz(640, 480)
    long_form = struct.pack(">I4sQ", 1, b"jp2c", 99) + siz(640, 480)
    assert find_size(JP2_SIGNATURE + FREE_BOX * 3 + codestream).width == 640
    assert find_size(JP2_SIGNATURE + long_form).width == 640
    with pytest.raises(CodestreamError):
        find_size(JP2_SIGNATURE + FREE_BOX * MAX_BOXES + codestream)


@pytest.mark.parametrize("length", [0, 1, 7])
def test_a_box_that_leads_nowhere_is_an_error(length: int) -> None:
    trap = JP2_SIGNATURE + struct.pack(">I4s", length, b"free") + struct.pack(">I4s", 0, b"jp2c") + siz(640, 480)
    with pytest.raises(CodestreamError):
        find_size(trap)


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xd0\0\0\0\0", b"GIF89a" + bytes(60)]
)
def test_a_jpeg_without_a_frame_is_an_error(data: bytes) -> None:
    with pytest.raises(CodestreamError):
        find_frame(data)
