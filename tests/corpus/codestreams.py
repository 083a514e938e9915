"""The phantom film as the codestreams that DICOM encapsulates."""

import struct

from openjpeg.utils import encode_array
from pydicom.pixels.encoders import JPEGLSLosslessEncoder, RLELosslessEncoder
from pydicom.pixels.encoders.base import Encoder

from tests.corpus.drawing import HEIGHT, WIDTH, film_pixels
from tests.corpus.pictures import encode

JPEG, JPEG_LS, JPEG_2000, RLE = (f"1.2.840.10008.1.2.{end}" for end in ("4.50", "4.80", "4.90", "5"))


def jpeg() -> bytes:
    """8 bits, baseline."""
    return encode()


def jpeg_ls() -> bytes:
    """12 bits, lossless."""
    return _encode_by(JPEGLSLosslessEncoder)


def rle() -> bytes:
    """12 bits in 16: two segments."""
    return _encode_by(RLELosslessEncoder)


def jpeg_2000() -> bytes:
    """12 bits, lossless, the bare codestream."""
    return bytes(encode_array(film_pixels(12), bits_stored=12, photometric_interpretation=2, codec_format=0))


def jp2() -> bytes:
    """The same in its file format."""
    return bytes(encode_array(film_pixels(12), bits_stored=12, photometric_interpretation=2, codec_format=1))


def resize_jpeg_2000(codestream: bytes, width: int, height: int) -> bytes:
    """The codestream with another size in its SIZ segment, for image and tile alike."""
    sizes = struct.pack(">IIIIII", width, height, 0, 0, width, height)
    return codestream[:8] + sizes + codestream[32:]


def _encode_by(encoder: Encoder) -> bytes:
    return encoder.encode(
        film_pixels(12),
        rows=HEIGHT,
        columns=WIDTH,
        samples_per_pixel=1,
        bits_allocated=16,
        bits_stored=12,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
        number_of_frames=1,
    )
