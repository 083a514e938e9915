"""12-bit lossy JPEG (transfer syntax 1.2.840.10008.1.2.4.51) by gdcm: a plugin for pydicom, whose own ones read 8 bits only.

Imported in the decoding children alone.
"""

import gdcm
from pydicom.pixels.decoders import JPEGExtended12BitDecoder
from pydicom.pixels.decoders.base import DecodeRunner
from pydicom.uid import JPEGExtended12Bit

PLUGIN = "gdcm_12_bit"
DECODER_DEPENDENCIES = {JPEGExtended12Bit: ("gdcm>=3.2.6",)}  # asked for by pydicom


def register() -> None:
    """Make the plugin known to pydicom; again has no effect."""
    if PLUGIN not in JPEGExtended12BitDecoder.available_plugins:
        JPEGExtended12BitDecoder.add_plugin(PLUGIN, (__name__, "decode_frame"))


def is_available(uid: str) -> bool:
    """Asked by pydicom."""
    return uid == JPEGExtended12Bit


def decode_frame(stream: bytes, runner: DecodeRunner) -> bytes:
    """One grey frame as bytes, little-endian, `bits_allocated` each. Raises `ValueError` for a damaged stream or colour."""
    if runner.samples_per_pixel != 1:
        raise ValueError("Extended JPEG is read in grey only.")
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(str(runner.photometric_interpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    bits = runner.bits_stored
    image.SetPixelFormat(gdcm.PixelFormat(1, runner.bits_allocated, bits, bits - 1, runner.pixel_representation))
    # gdcm hands bytes over as a str with surrogates
    frame = bytes(image.GetBuffer().encode("utf-8", "surrogateescape"))
    expected = runner.rows * runner.columns * runner.bits_allocated // 8
    if len(frame) != expected:
        raise ValueError(f"The frame has {len(frame)} bytes instead of {expected}.")
    return frame
