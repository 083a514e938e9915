"""DICOM films of every photometric interpretation, depth and compression show what a screen would show."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pytest
from numpy.typing import NDArray
from openjpeg.utils import encode_array
from pydicom import Dataset
from pydicom.pixels import apply_windowing
from pydicom.pixels.encoders import JPEGLSLosslessEncoder, RLELosslessEncoder
from pydicom.uid import UID

from mlmodel.decoding import read_film
from mlmodel.dicom_pixels import apply_window
from mlmodel.headers import inspect_headers
from mlmodel.types import RejectedImageError
from tests.mlmodel.films import dicom, draw_12_bits, draw_film, draw_uint8, jpeg

WINDOW: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 4096}


def values(image: bytes) -> NDArray[np.float64]:
    """The film in 0 to 1."""
    return np.asarray(read_film(image).as_display()) / 255


def test_a_window_over_the_whole_range_shows_the_film_as_it_is() -> None:
    assert np.abs(values(dicom(draw_12_bits(), **WINDOW)) - draw_film()).max() < 0.005


def test_monochrome1_is_inverted() -> None:
    inverted = dicom(4095 - draw_12_bits(), PhotometricInterpretation="MONOCHROME1", **WINDOW)
    plain = dicom(draw_12_bits(), **WINDOW)
    assert np.abs(values(inverted) - values(plain)).max() < 0.01
    assert read_film(inverted).pixels.pixel_sha256 == read_film(plain).pixels.pixel_sha256


def test_a_window_is_applied_after_the_modality_lut() -> None:
    film = dicom(draw_12_bits(), RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=3096, WindowWidth=8192)
    assert np.abs(values(film) - draw_film()).max() < 0.005


def test_signed_values_are_read_as_such() -> None:
    film = dicom((draw_12_bits().astype(int) - 2048).astype(np.int16), WindowCenter=0, WindowWidth=4096)
    assert np.abs(values(film) - draw_film()).max() < 0.005


def test_the_first_of_several_windows_counts() -> None:
    assert np.array_equal(
        values(dicom(draw_12_bits(), WindowCenter=[2048, 100], WindowWidth=[4096, 10])), values(dicom(draw_12_bits(), **WINDOW))
    )


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_are_those_of_pydicom(function: str) -> None:
    dataset = Dataset()
    dataset.PhotometricInterpretation, dataset.BitsStored, dataset.PixelRepresentation = "MONOCHROME2", 12, 0
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = 1500, 900, function
    pixels = draw_12_bits()
    ours = apply_window(pixels.astype(np.float32), 1500, 900, function)
    assert np.abs(ours - apply_windowing(pixels, dataset) / 4095).max() < 0.001


def test_a_voi_lut_goes_before_the_window() -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 16], (65535 - np.arange(4096) * 16).astype(np.uint16).tobytes()
    table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "OW"
    film = dicom(draw_12_bits(), VOILUTSequence=[table], **WINDOW)
    assert np.abs(values(film) - (1 - draw_film())).max() < 0.005


@pytest.mark.parametrize("width", [0, 0.5, None])
def test_a_film_without_a_usable_window_is_shown_between_percentiles(width: float | None) -> None:
    narrow = (1000 + draw_film() * 200).astype(np.uint16)
    shown = values(dicom(narrow, WindowCenter=1100, WindowWidth=width))
    assert shown.min() == 0
    assert shown.max() == 1
    assert np.corrcoef(shown.ravel(), draw_film().ravel())[0, 1] > 0.999


def test_eight_bits_without_a_window_keep_their_full_range() -> None:
    film = (60 + draw_film() * 100).astype(np.uint8)
    assert np.array_equal(np.rint(values(dicom(film, bits=8)) * 255), film)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_move_the_window(photometric: str) -> None:
    film = (1000 + draw_film() * 200).astype(np.uint16)
    plain = values(dicom(film, PhotometricInterpretation=photometric))
    film[:, :20] = 4095
    padded = values(dicom(film, PhotometricInterpretation=photometric, PixelPaddingValue=4095))
    assert padded[:, :20].max() == 0
    assert np.abs(padded[:, 20:] - plain[:, 20:]).max() < 0.1


def _openjpeg(pixels: NDArray[np.uint16]) -> bytes:
    return bytes(encode_array(pixels, bits_stored=12, photometric_interpretation=2, codec_format=0))


def _by(encoder: object) -> Callable[[NDArray[np.uint16]], bytes]:
    def encode(pixels: NDArray[np.uint16]) -> bytes:
        return encoder.encode(  # type: ignore[attr-defined]
            pixels,
            rows=pixels.shape[0],
            columns=pixels.shape[1],
            samples_per_pixel=1,
            bits_allocated=16,
            bits_stored=12,
            pixel_representation=0,
            photometric_interpretation="MONOCHROME2",
            number_of_frames=1,
        )

    return encode


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        ("1.2.840.10008.1.2.4.80", _by(JPEGLSLosslessEncoder)),
        ("1.2.840.10008.1.2.4.90", _openjpeg),
        ("1.2.840.10008.1.2.5", _by(RLELosslessEncoder)),
    ],
)
def test_lossless_compression_changes_no_pixel(syntax: str, encode: Callable[[NDArray[np.uint16]], bytes]) -> None:
    pixels = draw_12_bits()
    compressed = dicom(pixels, stream=encode(pixels), syntax=UID(syntax), **WINDOW)
    assert read_film(compressed).pixels.pixel_sha256 == read_film(dicom(pixels, **WINDOW)).pixels.pixel_sha256


def test_jpeg_baseline_is_read() -> None:
    film = draw_uint8()
    compressed = dicom(film, stream=jpeg(film), syntax=UID("1.2.840.10008.1.2.4.50"), bits=8)
    assert np.abs(values(compressed) * 255 - film).max() <= 4


@pytest.mark.parametrize(
    ("syntax", "gdcm_syntax", "tolerance"),
    [
        ("1.2.840.10008.1.2.4.57", gdcm.TransferSyntax.JPEGLosslessProcess14, 0),
        ("1.2.840.10008.1.2.4.70", gdcm.TransferSyntax.JPEGLosslessProcess14_1, 0),
        ("1.2.840.10008.1.2.4.51", gdcm.TransferSyntax.JPEGExtendedProcess2_4, 40),
    ],
)
def test_lossless_and_extended_jpeg_are_read(syntax: str, gdcm_syntax: int, tolerance: int, tmp_path: Path) -> None:
    pixels = draw_12_bits()
    compressed = _compress_by_gdcm(dicom(pixels, **WINDOW), gdcm_syntax, tmp_path)
    assert inspect_headers(compressed).dicom.transfer_syntax == syntax  # type: ignore[union-attr]
    assert np.abs(values(compressed) * 4095 - pixels).max() <= tolerance + 16


def _compress_by_gdcm(film: bytes, syntax: int, folder: Path) -> bytes:
    (folder / "plain.dcm").write_bytes(film)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(folder / "plain.dcm"))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(folder / "compressed.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return (folder / "compressed.dcm").read_bytes()


def test_colour_pixels_become_luma() -> None:
    film = np.dstack([draw_uint8()] * 3)
    image = dicom(film, bits=8, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    assert np.abs(values(image) * 255 - draw_uint8()).max() <= 1
    assert not read_film(image).pixels.is_coloured


def test_a_coloured_capture_is_told_from_a_film() -> None:
    film = np.dstack([draw_uint8(seed) for seed in (1, 2, 3)])
    image = dicom(film, bits=8, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    assert read_film(image).pixels.is_coloured


@pytest.mark.parametrize("damage", [slice(200, 260), slice(-400, None)])
def test_a_damaged_stream_is_unreadable_and_raises_nothing_else(damage: slice) -> None:
    pixels = draw_12_bits()
    stream = bytearray(_openjpeg(pixels))
    del stream[damage]
    with pytest.raises(RejectedImageError) as caught:
        read_film(dicom(pixels, stream=bytes(stream[: len(stream) // 3]), syntax=UID("1.2.840.10008.1.2.4.90")))
    assert caught.value.code == "UNREADABLE"
