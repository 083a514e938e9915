"""Which version is in service: the active row, else the shipped one; and nothing heavy is loaded to say so."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from pytest_django import Settings

from mlmodel import registry
from mlmodel.artifact import REQUIRED, read_metadata, write_artifact
from mlmodel.models import ModelVersion
from mlmodel.registry import active_model_info, locate_version, register_version
from mlmodel.types import ArtifactCorruptError, ArtifactMissingError, ModelError
from tests.mlmodel.test_artifact import FACTS, FILES

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "PIL", "pydicom", "tensorflow", "keras", "openvino", "sklearn", "matplotlib", "gdcm")


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two shipped versions, the newer one named so that a comparison of texts would get it wrong."""
    folder = tmp_path / "shipped"
    for version in ("1.9.0", "1.10.0"):
        write_artifact(folder / version, {**FACTS, "version": version}, FILES)
    monkeypatch.setattr(registry, "SHIPPED_DIR", folder)
    return folder


@pytest.fixture
def trained(tmp_path: Path, settings: Settings) -> Path:
    settings.MODEL_DIR = tmp_path / "models"
    return write_artifact(settings.MODEL_DIR / "3.1.0", FACTS, FILES)


@pytest.mark.django_db
def test_without_a_row_the_newest_shipped_version_is_active(shipped: Path) -> None:
    assert active_model_info().version == "1.10.0"


@pytest.mark.django_db
def test_the_active_row_decides(shipped: Path, trained: Path) -> None:
    row = register_version(trained)
    assert row.state == ModelVersion.State.CANDIDATE
    assert active_model_info().version == "1.10.0"
    ModelVersion.objects.filter(pk=row.pk).update(state=ModelVersion.State.ACTIVE)
    assert active_model_info().version == "3.1.0"
    assert locate_version(None).sha256 == row.sha256


@pytest.mark.django_db
def test_registering_twice_keeps_the_first_row(trained: Path) -> None:
    first = register_version(trained)
    ModelVersion.objects.filter(pk=first.pk).update(state=ModelVersion.State.RETIRED)
    assert register_version(trained).state == ModelVersion.State.RETIRED


@pytest.mark.django_db
def test_a_name_is_registered_once(trained: Path, tmp_path: Path) -> None:
    first = register_version(trained)
    other = tmp_path / "elsewhere" / trained.name
    metadata, names = read_metadata(trained), sorted(REQUIRED)
    metadata = {**metadata, "created_at": "2026-02-03T04:05:06+00:00"}
    write_artifact(other, metadata, {name: (trained / name).read_bytes() for name in names})
    with pytest.raises(ModelError, match="registered already, with other files"):
        register_version(other)
    assert ModelVersion.objects.get().sha256 == first.sha256


@pytest.mark.django_db
def test_a_corrupt_version_is_not_registered(trained: Path) -> None:
    (trained / "serving.bin").write_bytes(b"")
    with pytest.raises(ArtifactCorruptError):
        register_version(trained)
    assert not ModelVersion.objects.exists()


@pytest.mark.django_db
def test_versions_are_found_by_name_among_the_trained_and_the_shipped(shipped: Path, trained: Path) -> None:
    assert locate_version("3.1.0").path == trained
    assert locate_version("1.9.0").path == shipped / "1.9.0"


@pytest.mark.django_db
@pytest.mark.parametrize("version", ["9.9.9", "", ".", "..", "../shipped/1.9.0", "/etc"])
def test_a_version_that_does_not_exist_is_missing(shipped: Path, trained: Path, version: str) -> None:
    with pytest.raises(ArtifactMissingError):
        locate_version(version)


def test_without_a_database_the_shipped_version_is_active(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_wanted: object) -> None:
        raise DatabaseError("connection refused")

    monkeypatch.setattr(ModelVersion.objects, "filter", broken)
    assert active_model_info().version == "1.10.0"


@pytest.mark.django_db
def test_nothing_shipped_and_nothing_active_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(tmp_path / "none", ignore_errors=True)
    monkeypatch.setattr(registry, "SHIPPED_DIR", tmp_path / "none")
    with pytest.raises(ArtifactMissingError):
        active_model_info()


@pytest.mark.django_db
def test_two_versions_cannot_be_active() -> None:
    ModelVersion.objects.create(version="1", path="/1", sha256="", threshold=0.5, state="active")
    with pytest.raises(IntegrityError), transaction.atomic():
        ModelVersion.objects.create(version="2", path="/2", sha256="", threshold=0.5, state="active")


def test_the_door_and_the_registry_load_nothing_heavy() -> None:
    code = (
        "import os, sys, tempfile; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings';"
        "import django; django.setup();"
        "from mlmodel import api, registry; api.active_model();"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "[]"), run.stderr
