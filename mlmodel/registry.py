"""Which version is in service and where it lies. Loads no tensor library, no pixel decoder and no numpy."""

import logging
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlmodel.artifact import METADATA, copy_artifact, hash_file, read_info, verify_artifact
from mlmodel.types import (
    ArtifactCorruptError,
    ArtifactMissingError,
    ModelError,
    ModelInfo,
    NoVersionInServiceError,
)

if TYPE_CHECKING:
    from mlmodel.models import ModelVersion

logger = logging.getLogger(__name__)

SHIPPED_DIR = Path(__file__).parent / "artifacts"


@dataclass(frozen=True, slots=True)
class Location:
    """Where a version's artifact lies; `sha256` is its metadata's hash as registered, None where nobody registered it."""

    path: Path
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class InService:
    """Which versions the workers are to hold: the one whose results are shown, and the one in shadow, if any.

    While service is suspended none is active: `suspended` names the version that was taken out of it, and `since` says when.
    """

    active: str | None
    shadow: str | None = None
    suspended: str | None = None
    since: datetime | None = None

    @property
    def latest(self) -> str:
        """The version in service, or the one that was until it was suspended: what another one is compared with."""
        return self.active or self.suspended or ""


def active_model_info() -> ModelInfo:
    """The version in service. Raises `NoVersionInServiceError`, `ArtifactMissingError`, `ArtifactCorruptError` or
    `ArtifactIncompatibleError`."""
    return read_info(locate_version(None).path)


def locate_version(version: str | None) -> Location:
    """Where `version`, or by default the active one, lies: as registered, else in MODEL_DIR, else among the shipped ones.

    Without a row, a table or a database the newest shipped version is the active one. Raises `ArtifactMissingError`, and
    `NoVersionInServiceError` where none is named while service is suspended.
    """
    row = _registered(version)
    if row and version is None and row.suspended_at:
        raise NoVersionInServiceError(suspension_words(row.version, row.suspended_at))
    if row:
        return Location(_find_registered(row), row.sha256)
    if version is None:
        return Location(newest_shipped())
    if found := _find_on_disk(version):
        return Location(found)
    raise ArtifactMissingError(f"There is no version {version!r}.")


def versions_on_disk() -> list[str]:
    """Names of the versions in MODEL_DIR and among the shipped ones, oldest first, registered or not."""
    folders = [folder for folder in (model_dir(), SHIPPED_DIR) if folder]
    names = {path.parent.name for folder in folders for path in folder.glob(f"*/{METADATA}") if path.parent.name[0] != "."}
    return sorted(names, key=_version_key)


def versions_in_service() -> InService:
    """What the registry says now; opens no artifact.

    Raises `DatabaseError`: unlike `locate_version` it never guesses, or a database that is away for a moment would put the
    shipped version into service. Raises `ArtifactMissingError` where no version is active and none is shipped.
    """
    from django.db.models import Q

    from mlmodel.models import ModelVersion

    states = [ModelVersion.State.ACTIVE, ModelVersion.State.SHADOW]
    # One statement: a version that is activated between two would leave the shipped one in service for a moment
    rows = ModelVersion.objects.filter(Q(state__in=states) | Q(suspended_at__isnull=False))
    found = list(rows.values_list("version", "state", "suspended_at"))
    held = {state: version for version, state, _ in found}
    for version, _, since in found:
        if since and "active" not in held:  # the release before, which knows no suspension, may have activated one since
            return InService(None, held.get("shadow"), version, since)
    return InService(held.get("active") or newest_shipped().name, held.get("shadow"))


def suspension_words(version: str, since: datetime) -> str:
    """One line for an operator."""
    return (
        f"No version is in service: the stop rule took {version} out of it on {since:%Y-%m-%d %H:%M} UTC. "
        "Put one back with activate_model or rollback_model."
    )


def register_version(directory: Path) -> "ModelVersion":
    """Verify an artifact and enter it as a candidate; the row of a version registered before is returned as it is.

    Raises as `verify_artifact` does, and `ModelError` where other files are registered under its name.
    """
    from mlmodel.models import ModelVersion

    verify_artifact(directory)
    info = read_info(directory)
    digest = hash_file(directory / METADATA)
    known = {"path": str(directory.resolve()), "sha256": digest, "threshold": info.threshold, "metrics": info.metrics}
    row, _ = ModelVersion.objects.get_or_create(version=info.version, defaults=known)
    if row.sha256 != digest:
        raise ModelError(f"Version {info.version} is registered already, with other files: those of {row.path}.")
    return row


def register_named(version: str) -> "ModelVersion":
    """The row of a version, entered now as a candidate if it only lies on disk.

    A shipped one is copied to MODEL_DIR first, so that the next release of the software, which may ship another, cannot take it
    away. Raises as `verify_artifact` does, and `OSError` where MODEL_DIR takes no copy.
    """
    from mlmodel.models import ModelVersion

    if row := ModelVersion.objects.filter(version=version).first():
        return row
    directory = locate_version(version).path
    if (named := read_info(directory).version) != version:
        raise ArtifactCorruptError(f"{directory} holds version {named}.")
    kept = model_dir()
    if kept and directory.parent == SHIPPED_DIR:
        directory = copy_artifact(directory, kept / version)
    return register_version(directory)


def model_dir() -> Path | None:
    """Where trained versions are kept, or None where Django is not configured."""
    from django.conf import settings

    return Path(settings.MODEL_DIR) if settings.configured and getattr(settings, "MODEL_DIR", None) else None


def _registered(version: str | None) -> "ModelVersion | None":
    """The row of that version; by default of the active one, or of the one that was suspended."""
    from django.apps import apps
    from django.core.exceptions import ImproperlyConfigured
    from django.db import DatabaseError
    from django.db.models import Q

    if not apps.ready:
        return None
    from mlmodel.models import ModelVersion

    in_service = Q(state=ModelVersion.State.ACTIVE) | Q(suspended_at__isnull=False)
    try:
        rows = ModelVersion.objects.filter(in_service if version is None else Q(version=version))
        return rows.order_by("state").first()  # an active one before any that was suspended
    except (DatabaseError, ImproperlyConfigured) as error:
        # A database that was never migrated is a fresh machine, not a fault
        if "modelversion" not in str(error):
            logger.warning("The registry of models cannot be read; looking for the version on disk.")
        return None


def _find_on_disk(version: str) -> Path | None:
    # A version is one path component, or it could name any directory of the machine
    if version in {"", ".", ".."} or Path(version).name != version:
        return None
    folders = (folder / version for folder in (model_dir(), SHIPPED_DIR) if folder)
    return next((folder for folder in folders if folder.is_dir()), None)


def _find_registered(row: "ModelVersion") -> Path:
    """Where it was registered; on another machine or after a move, under its name in MODEL_DIR or among the shipped ones. The
    registered SHA-256 says whether it is the same."""
    registered = Path(row.path)
    return registered if registered.is_dir() else _find_on_disk(row.version) or registered


def newest_shipped() -> Path:
    """The version that serves where none was ever activated. Raises `ArtifactMissingError`."""
    versions = [path for path in SHIPPED_DIR.glob("*") if (path / METADATA).is_file()]
    if not versions:
        raise ArtifactMissingError(f"No version is shipped in {SHIPPED_DIR}.")
    return max(versions, key=lambda path: _version_key(path.name))


def _version_key(name: str) -> tuple[int, ...]:
    """`1.10.0` comes after `1.9.0`."""
    return tuple(int(number) for number in re.findall(r"\d+", name))
