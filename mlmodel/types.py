"""What crosses the model's door: plain frozen values and the errors of the room."""

import mmap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ImageBytes: TypeAlias = bytes | mmap.mmap
ImageFormat = Literal["JPEG", "PNG", "DICOM"]
Label = Literal["PNEUMONIA", "NORMAL"]


class ModelError(Exception):
    """Base of what the model's room raises. The text is for logs and operators, never for a doctor."""


class RejectedImageError(ModelError):
    """The image cannot or must not be read. `code` is one of `mlmodel.codes`; `message` is a fixed sentence for the user."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class NoVersionInServiceError(ModelError):
    """The stop rule took the version out of service and none is back. The text is one line for an operator."""


class ArtifactMissingError(ModelError):
    """No such version."""


class ArtifactCorruptError(ModelError):
    """A file of the artifact is missing or has another SHA-256 than its metadata say."""


class ArtifactIncompatibleError(ModelError):
    """The artifact is whole, but of a format version or with preprocessing that this code does not serve."""


class DecoderUnavailableError(ModelError):
    """The decoding child could not be started. Transient: the film is not to blame."""


@dataclass(frozen=True, slots=True)
class DicomFacts:
    """Header values of a DICOM file as text, empty where absent; dates are ISO 8601, sex is F, M, O or empty."""

    transfer_syntax: str = ""
    modality: str = ""
    view_position: str = ""
    body_part: str = ""
    photometric_interpretation: str = ""
    patient_id: str = ""
    patient_name: str = ""
    patient_birth_date: str = ""
    patient_age_years: float | None = None
    patient_sex: str = ""
    accession_number: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    study_date: str = ""
    manufacturer: str = ""
    device_model: str = ""
    burned_in_annotation: str = ""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the headers say of an image: pixels wide and high, bits per sample, samples per pixel."""

    format: ImageFormat
    width: int
    height: int
    bits: int
    samples: int
    size_bytes: int
    dicom: DicomFacts | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DecodedFilm:
    """A film ready for the network, as a decoding child hands it over. `model_input` is (size, size) uint8; bits are the film's
    own; `study_date` is ISO 8601, empty where the file tells none; `overridden` are the gate's codes that a radiologist has set
    aside for it."""

    model_input: "NDArray[np.uint8]"
    bits: int
    age_years: float | None
    decode_milliseconds: float
    study_date: str = ""
    overridden: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class DisplayPicture:
    """The film as a browser shows it: PNG, 8-bit grey, full size. `pixel_sha256` is over the film's grey values as stored, so
    that the same film in another container has the same one."""

    png: bytes
    pixel_sha256: str


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds spent on one film; `infer` and `heatmap` are the film's share of its batch."""

    decode: float = 0.0
    infer: float = 0.0
    heatmap: float = 0.0


@dataclass(frozen=True, slots=True)
class IntendedUse:
    """For whom the version was made, in words and as limits that the gate enforces. Ages in years, `max` inclusive of that
    year."""

    statement: str
    min_age_years: float
    max_age_years: float
    views: tuple[str, ...] = ("AP", "PA")

    def covers_age(self, years: float) -> bool:
        """The upper bound includes the whole of that year of life, as in "children of 1 to 5"."""
        return self.min_age_years <= years < self.max_age_years + 1


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a version without loading any tensor library. `input_shape` is (height, width, channels)."""

    version: str
    sha256: str
    threshold: float
    input_shape: tuple[int, int, int]
    calibration: dict[str, Any]
    intended_use: IntendedUse
    metrics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """A probability with all that gives it meaning. `heatmap_png` is laid over the whole film, transparent where nothing is;
    `display_png` is the film as a browser shows it, or None where it was not asked for. `heat_in_lung` is the share (0 to 1) of
    the heat inside the lung field, None where there is no heat; `flags` are codes of `mlmodel.codes` that warn of the film
    without refusing it."""

    probability: float
    label: Label
    threshold: float
    model_version: str
    heatmap_png: bytes
    display_png: bytes | None
    timings: Timings
    heat_in_lung: float | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model declines to read the film: a code of `mlmodel.codes` and its fixed sentence."""

    code: str
    message: str


Outcome: TypeAlias = Finding | Refusal
