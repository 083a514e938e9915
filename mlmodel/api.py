"""The only door to the model: bytes and plain values in, frozen dataclasses out.

Importing this module loads no tensor library, no pixel decoder and no numpy; `load` does, in the process that calls it.
"""

from typing import TYPE_CHECKING

from mlmodel.ages import age_in_years
from mlmodel.codes import MESSAGES, OVERRIDABLE, describe_flag, refusal
from mlmodel.documents import ModelDocuments, read_documents, read_figure, reference_scores
from mlmodel.history import (
    EvaluationRun,
    RegisteredVersion,
    ServicePeriod,
    Suspension,
    registered_versions,
    service_periods,
    suspensions,
)
from mlmodel.shadow import ShadowReading, ShadowRun
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
    NoVersionInServiceError,
    Outcome,
    Refusal,
    RejectedImageError,
    Timings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlmodel.decoder_pool import DecoderPool as DecoderPool  # noqa: PLC0414 - for annotations elsewhere
    from mlmodel.predictor import Predictor as Predictor  # noqa: PLC0414 - for annotations elsewhere
    from mlmodel.registry import InService

__all__ = [
    "MESSAGES",
    "OVERRIDABLE",
    "ArtifactCorruptError",
    "ArtifactIncompatibleError",
    "ArtifactMissingError",
    "DecodedFilm",
    "DecoderUnavailableError",
    "DicomFacts",
    "DisplayPicture",
    "EvaluationRun",
    "Finding",
    "ImageBytes",
    "ImageInfo",
    "IntendedUse",
    "Label",
    "ModelDocuments",
    "ModelError",
    "ModelInfo",
    "NoVersionInServiceError",
    "Outcome",
    "Refusal",
    "RegisteredVersion",
    "RejectedImageError",
    "ServicePeriod",
    "ShadowReading",
    "ShadowRun",
    "Suspension",
    "Timings",
    "active_model",
    "active_version",
    "age_in_years",
    "claim_shadow_films",
    "describe_flag",
    "find_labelled_films",
    "inspect",
    "load",
    "locate_artifact",
    "open_decoders",
    "open_shadow_run",
    "read_documents",
    "read_figure",
    "record_shadow_readings",
    "reference_scores",
    "refusal",
    "register_artifact",
    "registered_versions",
    "service_periods",
    "suspend_version",
    "suspensions",
    "verify_version",
    "versions_in_service",
]


def inspect(image: ImageBytes) -> ImageInfo:
    """What the headers say, checked: magic bytes, dimensions, DICOM rules. Cheap and safe in a web process.

    Raises `RejectedImageError` with a code for anything that must not be stored.
    """
    from mlmodel.headers import inspect_headers

    return inspect_headers(image)


def load(version: str | None = None, *, beside: "Predictor | None" = None) -> "Predictor":
    """The version (by default the active one) ready to read films: engine compiled, decoding children started with the first
    film, or shared with the predictor `beside` which it is loaded.

    Raises `ArtifactMissingError`, `ArtifactCorruptError` or `ArtifactIncompatibleError`.
    """
    from mlmodel.predictor import load_predictor

    return load_predictor(version, beside=beside)


def locate_artifact(version: str | None = None) -> "Path":
    """Where a version lies, by default the one in service. Raises `ArtifactMissingError`."""
    from mlmodel.registry import locate_version

    return locate_version(version).path


def register_artifact(directory: "Path") -> None:
    """Enter a trained version as a candidate; one that is entered already stays as it is. Raises as `load` does."""
    from mlmodel.registry import register_version

    register_version(directory)


def find_labelled_films(data: "Path") -> list[tuple[str, str, str]]:
    """(file below `data`, label, patient) of each film of a folder or manifest that can be trained on; loads numpy.

    Raises `ModelError` with one line that names what is wrong.
    """
    from mlmodel.training.dataset import DataError, find_films

    try:
        return [(film.file, film.label, film.patient) for film in find_films(data)]
    except DataError as error:
        raise ModelError(str(error)) from error


def open_decoders(children: int) -> "DecoderPool":
    """Decoding children without a network, for `render_display`; `close` ends them."""
    from mlmodel.decoder_pool import DecoderPool

    return DecoderPool(children)


def verify_version(version: str | None = None) -> ModelInfo:
    """The version, by default the one in service, after every file was compared with its hash; loads no tensor library.

    Raises `ArtifactMissingError`, `ArtifactCorruptError` or `ArtifactIncompatibleError`.
    """
    from mlmodel.artifact import read_info, verify_artifact
    from mlmodel.registry import locate_version

    location = locate_version(version)
    verify_artifact(location.path, location.sha256)
    return read_info(location.path)


def active_model() -> ModelInfo:
    """The version in service, from the registry, or the shipped one where the registry is empty.

    Raises `NoVersionInServiceError` while service is suspended.
    """
    from mlmodel.registry import active_model_info

    return active_model_info()


def active_version() -> str:
    """The name of the version in service; opens no artifact. Raises `DatabaseError`, `NoVersionInServiceError` while service is
    suspended, and `ArtifactMissingError` where no version was ever activated and none is shipped."""
    found = versions_in_service()
    if found.active is None:
        raise NoVersionInServiceError("Service is suspended.")
    return found.active


def versions_in_service() -> "InService":
    """Which version reads films, if any, and which one in shadow, if any; opens no artifact. Raises `DatabaseError`, and
    `ArtifactMissingError` as `active_version` does."""
    from mlmodel import registry

    return registry.versions_in_service()


def suspend_version(*, version: str, reason: str) -> bool:
    """Take the version in service out of it, by nobody's hand; it reads in shadow from now on, and none takes its place.

    False where `version` is not in service any more. Raises `ModelError` where it serves as shipped and cannot be registered.
    """
    from mlmodel.services.errors import LifecycleError
    from mlmodel.services.lifecycle import Act, suspend

    try:
        return suspend(version=version, act=Act(None, reason=reason))
    except LifecycleError as error:
        raise ModelError(str(error)) from error


def open_shadow_run(*, version: str, against: str) -> ShadowRun:
    """The tally of a version in shadow beside the one in service."""
    from mlmodel.services.shadowing import open_run

    return open_run(version=version, against=against)


def claim_shadow_films(*, run: ShadowRun, cursor: str) -> bool:
    """Move the run's bookmark on; false where another worker did, and reads those films."""
    from mlmodel.services.shadowing import claim_films

    return claim_films(run=run, cursor=cursor)


def record_shadow_readings(*, run: ShadowRun, readings: "Sequence[ShadowReading]", refused: int = 0) -> None:
    """Add films to the tally, in the transaction that keeps the readings."""
    from mlmodel.services.shadowing import record_readings

    record_readings(run=run, readings=readings, refused=refused)
