"""A worker's start with a version that cannot be served, and a change between two versions that hold a real network."""

import shutil
from pathlib import Path
from typing import Any, cast

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from diagnostics.models import Worker
from diagnostics.services import heartbeat
from diagnostics.services.serving import Serving
from mlmodel import api
from mlmodel.artifact import read_metadata, write_artifact
from mlmodel.models import ModelVersion
from mlmodel.registry import newest_shipped, register_named

pytestmark = pytest.mark.django_db


@pytest.fixture
def twin(tmp_path: Path, settings: Settings) -> Path:
    """The shipped network under another name, half as sure of itself."""
    shipped = newest_shipped()
    metadata = read_metadata(shipped)
    files: dict[str, bytes | Path] = {name: shipped / name for name in metadata.pop("files")}
    del metadata["format_version"]
    changed = {**metadata, "version": "9.9.0", "calibration": {"method": "temperature", "temperature": 1000.0}}
    settings.MODEL_DIR = tmp_path / "models"
    return write_artifact(settings.MODEL_DIR / "9.9.0", changed, files)


@pytest.mark.parametrize(("harm", "words"), [("corrupt", "is corrupt"), ("missing", "is missing")])
def test_a_worker_does_not_start_with_another_version_than_the_active_one(twin: Path, harm: str, words: str) -> None:
    register_named("9.9.0")
    ModelVersion.objects.update(state="active")
    if harm == "corrupt":
        (twin / "serving.bin").write_bytes(b"harm")
    else:
        shutil.rmtree(twin)
    with pytest.raises(CommandError, match=r"The active model cannot be served: .* rollback_model goes back"):
        call_command("run_worker")
    row = Worker.objects.get()
    assert (row.model_error, row.stopped_at is not None) == (f"9.9.0 {words}", True)
    assert heartbeat.model_trouble() == f"9.9.0 {words}"


@pytest.mark.model
def test_one_real_network_takes_the_place_of_another(twin: Path, settings: Settings, film_jpeg: bytes) -> None:
    settings.MODEL_ENGINE = "openvino"
    before = newest_shipped().name
    first: Any = api.load(before)
    first.warm_up()
    old = _read(first, film_jpeg)
    children = first._decoders.process_ids()
    serving = Serving(first, worker="w:1")
    register_named("9.9.0")
    ModelVersion.objects.update(state="active")
    serving.look()
    held = cast("Any", serving.take())
    new = _read(held.predictor, film_jpeg)
    held.give_back()
    assert set(held.predictor._decoders.process_ids()) == set(children)
    serving.stop()
    assert (old.model_version, new.model_version) == (before, "9.9.0")
    assert abs(new.probability - 0.5) < abs(old.probability - 0.5)
    assert children
    assert not [pid for pid in children if _is_running(pid)]


def _read(predictor: Any, film: bytes) -> api.Finding:
    (outcome,) = predictor.predict([film], display=False)
    assert isinstance(outcome, api.Finding), outcome
    return outcome


def _is_running(pid: int) -> bool:
    try:
        return "decoder_child" in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    except OSError:
        return False
