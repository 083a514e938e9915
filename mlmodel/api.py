"""The only door to the model: bytes and plain values in, frozen dataclasses out.

Importing this module loads no tensor library, no pixel decoder and no numpy; `load` does, in the process that calls it.
"""

from typing import TYPE_CHECKING

from mlmodel.codes import MESSAGES, refusal
from mlmodel.types import (
    ArtifactCorruptError,
    ArtifactIncompatibleError,
    ArtifactMissingError,
    DecodedFilm,
    DecoderUnavailableError,
    DicomFacts,
    DisplayPicture,
    Finding,
    ImageBytes,
    ImageInfo,
    IntendedUse,
    Label,
    ModelError,
    ModelInfo,
    Outcome,
    Refusal,
    RejectedImageError,
    Timings,
)

if TYPE_CHECKING:
    from mlmodel.predictor import Predictor as Predictor  # noqa: PLC0414 - for annotations elsewhere

__all__ = [
    "MESSAGES",
    "ArtifactCorruptError",
    "ArtifactIncompatibleError",
    "ArtifactMissingError",
    "DecodedFilm",
    "DecoderUnavailableError",
    "DicomFacts",
    "DisplayPicture",
    "Finding",
    "ImageBytes",
    "ImageInfo",
    "IntendedUse",
    "Label",
    "ModelError",
    "ModelInfo",
    "Outcome",
    "Refusal",
    "RejectedImageError",
    "Timings",
    "active_model",
    "active_version",
    "inspect",
    "load",
    "refusal",
]


def inspect(image: ImageBytes) -> ImageInfo:
    """What the headers say, checked: magic bytes, dimensions, DICOM rules. Cheap and safe in a web process.

    Raises `RejectedImageError` with a code for anything that must not be stored.
    """
    from mlmodel.headers import inspect_headers

    return inspect_headers(image)


def load(version: str | None = None) -> "Predictor":
    """The version (by default the active one) ready to read films: engine compiled, decoding children started.

    Raises `ArtifactMissingError`, `ArtifactCorruptError` or `ArtifactIncompatibleError`.
    """
    from mlmodel.predictor import load_predictor

    return load_predictor(version)


def active_model() -> ModelInfo:
    """The version in service, from the registry, or the shipped one where the registry is empty."""
    from mlmodel.registry import active_model_info

    return active_model_info()


def active_version() -> str:
    """The name of the version in service; opens no artifact. Raises `DatabaseError`, and `ArtifactMissingError` where no
    version was ever activated and none is shipped."""
    from mlmodel.registry import versions_in_service

    return versions_in_service().active
