"""Films drawn in code, as files of every kind that the decoder reads."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

WIDTH, HEIGHT = 180, 150


def draw_film(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.float64]:
    """(height, width) in 0 to 1: smooth, with no symmetry, other for every seed."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / [[[height]], [[width]]]
    phases = generator.uniform(0, 6, 4)
    waves = (
        np.sin(5 * x + phases[0])
        + np.sin(7 * y + phases[1])
        + np.sin(4 * x * y + phases[2])
        + np.cos(9 * x - 3 * y + phases[3])
    )
    return (waves - waves.min()) / np.ptp(waves)


def draw_uint8(seed: int = 0, **size: int) -> NDArray[np.uint8]:
    return np.rint(draw_film(seed, **size) * 255).astype(np.uint8)


def encode(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def png(pixels: NDArray[Any]) -> bytes:
    """Grey, 8 or 16 bits, by the type of the pixels."""
    return encode(Image.fromarray(pixels))


def jpeg(pixels: NDArray[Any], quality: int = 95, **options: Any) -> bytes:
    return encode(Image.fromarray(pixels), "JPEG", quality=quality, **options)


def dicom(
    pixels: NDArray[Any], *, stream: bytes | None = None, syntax: UID = ExplicitVRLittleEndian, bits: int = 12, **tags: Any
) -> bytes:
    """A CR film; `stream` is the compressed frame of another transfer syntax than the plain one."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1")
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "CR", "MONOCHROME2", 1
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated = 8 if pixels.dtype.itemsize == 1 else 16
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.PixelData = encapsulate([stream]) if stream is not None else pixels.tobytes()
    dataset["PixelData"].VR = "OB" if stream is not None else "OW"
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def draw_12_bits(seed: int = 0) -> NDArray[np.uint16]:
    return np.rint(draw_film(seed) * 4095).astype(np.uint16)
