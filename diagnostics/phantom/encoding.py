"""Films as files: JPEG, PNG of 8 or 16 bits, and DICOM as a digital radiograph."""

import hashlib
import io
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from diagnostics.phantom.canvas import Layer

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

DX_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"  # Digital X-Ray Image Storage - For Presentation (PS3.6 annex A)
STORED_BITS = 12
_UID_SPACE = uuid.UUID("5d6b1f0e-7c39-4f0e-9a54-2f7d0c1b8e63")

Polarity = Literal["MONOCHROME1", "MONOCHROME2"]


@dataclass(frozen=True, slots=True)
class FilmTags:
    """What the DICOM header says. Dates are YYYYMMDD, the age is an Age String, the name is Family^Given."""

    patient_id: str = "PHANTOM-1"
    patient_name: str = "Phantom^Paula"
    patient_birth_date: str = "20220314"
    patient_age: str = "003Y"
    patient_sex: str = "F"
    accession_number: str = "ACC-1"
    study_date: str = "20250402"
    modality: str = "DX"
    view_position: str = "AP"


def encode_jpeg(film: Layer, *, quality: int = 92) -> bytes:
    """A grey baseline JPEG of a film in [0, 1]."""
    return _save(_quantise(film, 8), "JPEG", quality=quality)


def encode_png(film: Layer, *, bits: Literal[8, 16] = 8) -> bytes:
    """A grey PNG of a film in [0, 1] with 8 or 16 bits per sample."""
    return _save(_quantise(film, bits), "PNG", compress_level=1)


def encode_dicom(film: Layer, tags: FilmTags | None = None, *, polarity: Polarity = "MONOCHROME2") -> bytes:
    """A DX object of a film in [0, 1]: 12 bits in 16, explicit VR little endian, a linear window over the whole range.

    Its UIDs follow from tags and pixels: the same film of the same patient gives the same bytes. MONOCHROME1 stores
    bright as low values, as the standard means it (PS3.3 section C.7.6.3.1.2).
    """
    tags = tags or FilmTags()
    pixels = _quantise(1 - film if polarity == "MONOCHROME1" else film, STORED_BITS).astype("<u2").tobytes()
    dataset = _new_dataset(uuid.uuid5(_UID_SPACE, f"{tags}{polarity}{hashlib.sha256(pixels).hexdigest()}"))
    _describe_patient(dataset, tags)
    _describe_pixels(dataset, film.shape, polarity)
    dataset.PixelData = pixels
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _quantise(film: Layer, bits: int) -> "Layer":
    import numpy as np

    whole = np.rint(np.clip(film, 0, 1) * (2**bits - 1))
    return whole.astype(np.uint8 if bits == 8 else np.uint16)


def _save(pixels: Layer, file_format: str, **options: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()


def _new_dataset(seed: uuid.UUID) -> "FileDataset":
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(DX_FOR_PRESENTATION)
    meta.MediaStorageSOPInstanceUID = _uid(seed, "instance")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _uid(seed, "study"), _uid(seed, "series")
    return dataset


def _uid(seed: uuid.UUID, role: str) -> str:
    """A UID from a UUID (PS3.5 annex B.2)."""
    return f"2.25.{uuid.uuid5(seed, role).int}"


def _describe_patient(dataset: "FileDataset", tags: FilmTags) -> None:
    dataset.PatientID, dataset.PatientName = tags.patient_id, tags.patient_name
    dataset.PatientBirthDate, dataset.PatientSex = tags.patient_birth_date, tags.patient_sex
    dataset.PatientAge, dataset.AccessionNumber = tags.patient_age, tags.accession_number
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = tags.study_date, "101500", "1"
    dataset.ReferringPhysicianName, dataset.Manufacturer = "", "Phantom"
    dataset.Modality, dataset.ViewPosition, dataset.BodyPartExamined = tags.modality, tags.view_position, "CHEST"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.BurnedInAnnotation = "NO"


def _describe_pixels(dataset: "FileDataset", shape: tuple[int, ...], polarity: Polarity) -> None:
    dataset.Rows, dataset.Columns = shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, polarity
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, STORED_BITS, STORED_BITS - 1
    dataset.PixelRepresentation = 0
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.WindowCenter, dataset.WindowWidth = 2 ** (STORED_BITS - 1), 2**STORED_BITS
    dataset.PresentationLUTShape = "INVERSE" if polarity == "MONOCHROME1" else "IDENTITY"
    dataset.LossyImageCompression = "00"
