"""Which version is in service and where it lies. Loads no tensor library, no pixel decoder and no numpy."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlmodel.artifact import METADATA, hash_file, read_info, verify_artifact
from mlmodel.types import ArtifactMissingError, ModelInfo

if TYPE_CHECKING:
    from mlmodel.models import ModelVersion

logger = logging.getLogger(__name__)

SHIPPED_DIR = Path(__file__).parent / "artifacts"


@dataclass(frozen=True, slots=True)
class Location:
    """Where a version's artifact lies; `sha256` is its metadata's hash as registered, None where nobody registered it."""

    path: Path
    sha256: str | None = None


def active_model_info() -> ModelInfo:
    """The version in service. Raises `ArtifactMissingError`, `ArtifactCorruptError` or `ArtifactIncompatibleError`."""
    return read_info(locate_version(None).path)


def locate_version(version: str | None) -> Location:
    """Where `version`, or by default the active one, lies: as registered, else in MODEL_DIR, else among the shipped ones.

    Without a row, a table or a database the newest shipped version is the active one. Raises `ArtifactMissingError`.
    """
    if row := _registered(version):
        return Location(Path(row.path), row.sha256)
    if version is None:
        return Location(_newest_shipped())
    for folder in (model_dir(), SHIPPED_DIR):
        # A version is one path component, or it could name any directory of the machine
        if folder and version not in {"", ".", ".."} and Path(version).name == version and (folder / version).is_dir():
            return Location(folder / version)
    raise ArtifactMissingError(f"There is no version {version!r}.")


def register_version(directory: Path) -> "ModelVersion":
    """Verify an artifact and enter it as a candidate; the row of a version registered before is returned as it is.

    Raises as `verify_artifact` does.
    """
    from mlmodel.models import ModelVersion

    verify_artifact(directory)
    info = read_info(directory)
    row, _ = ModelVersion.objects.get_or_create(
        version=info.version,
        defaults={
            "path": str(directory.resolve()),
            "sha256": hash_file(directory / METADATA),
            "threshold": info.threshold,
            "metrics": info.metrics,
        },
    )
    return row


def model_dir() -> Path | None:
    """Where trained versions are kept, or None where Django is not configured."""
    from django.conf import settings

    return Path(settings.MODEL_DIR) if settings.configured and getattr(settings, "MODEL_DIR", None) else None


def _registered(version: str | None) -> "ModelVersion | None":
    from django.apps import apps
    from django.core.exceptions import ImproperlyConfigured
    from django.db import DatabaseError

    if not apps.ready:
        return None
    from mlmodel.models import ModelVersion

    wanted = {"state": ModelVersion.State.ACTIVE} if version is None else {"version": version}
    try:
        return ModelVersion.objects.filter(**wanted).first()
    except (DatabaseError, ImproperlyConfigured) as error:
        # A database that was never migrated is a fresh machine, not a fault
        if "modelversion" not in str(error):
            logger.warning("The registry of models cannot be read; looking for the version on disk.")
        return None


def _newest_shipped() -> Path:
    versions = [path for path in SHIPPED_DIR.glob("*") if (path / METADATA).is_file()]
    if not versions:
        raise ArtifactMissingError(f"No version is shipped in {SHIPPED_DIR}.")
    return max(versions, key=lambda path: _version_key(path.name))


def _version_key(name: str) -> tuple[int, ...]:
    """`1.10.0` comes after `1.9.0`."""
    return tuple(int(number) for number in re.findall(r"\d+", name))
