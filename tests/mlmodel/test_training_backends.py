"""The same code on every back end of Keras that is installed, and on several devices."""

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from mlmodel.artifact import verify_artifact
from mlmodel.engines import load_engine
from tests.mlmodel.films import draw_film, jpeg

pytestmark = [pytest.mark.model, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
INSTALLED = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]


@functools.cache
def run(backend: str, devices: int = 1) -> dict[str, Any]:
    environment = {**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.mlmodel.backend_run", folder, str(devices)]
        done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.fixture(params=["tensorflow", "jax", "torch"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param not in INSTALLED:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


def test_a_network_is_trained_packed_and_loaded(backend: str) -> None:
    told = run(backend)
    assert told["backend"] == backend
    assert told["history"][1]["loss"] < told["history"][0]["loss"]
    assert told["lost_in_packing"] < 1e-6


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(backend: str) -> None:
    """Dropout and augmentation draw the same numbers."""
    assert run(backend)["lost_in_stopping"] < 1e-4


def test_back_ends_agree_in_loss_and_answer(backend: str) -> None:
    one, other = run("tensorflow"), run(backend)
    assert other["history"][0]["loss"] == pytest.approx(one["history"][0]["loss"], abs=1e-4)
    assert other["history"][1]["validation_loss"] == pytest.approx(one["history"][1]["validation_loss"], abs=1e-3)
    for name in ("logits", "trained", "served", "activation"):
        assert np.abs(np.array(one[name]) - np.array(other[name])).max() < 1e-3


@pytest.mark.parametrize("other", ["jax", "torch"])
def test_a_whole_version_is_trained_on_another_back_end_and_serves_on_this_one(other: str, tmp_path: Path) -> None:
    if other not in INSTALLED:
        pytest.skip(f"{other} is not installed")
    for number in range(60):
        path = tmp_path / "data" / ("NORMAL", "PNEUMONIA")[number % 2] / f"person{number}_virus_1.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg((draw_film(number, width=140, height=130) * (120 + 110 * (number % 2))).astype(np.uint8)))
    recipe = {"network": {"input_size": 32, "blocks": [1, 1], "widths": [6, 8]}, "epochs": 1, "precision": "float32"}
    (tmp_path / "tiny.json").write_text(json.dumps(recipe))
    out = tmp_path / "versions" / "0.1.0"
    command = [sys.executable, "manage.py", "train_model", f"--data={tmp_path / 'data'}", f"--out={out}", "--quiet"]
    environment = {**os.environ, "KERAS_BACKEND": other, "DJANGO_SETTINGS_MODULE": "tests.settings", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [*command, f"--config={tmp_path / 'tiny.json'}"], check=False, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    metadata, films = verify_artifact(out), np.random.default_rng(0).integers(0, 255, (4, 32, 32, 1), np.uint8)
    served, exact = (load_engine(out, metadata, engine=name, precision="float32").run(films) for name in ("openvino", "keras"))
    assert np.abs(served.logits - exact.logits).max() < 1e-3


def test_two_devices_learn_what_one_does(backend: str) -> None:
    one, two = run(backend), run(backend, devices=2)
    assert two["devices"] == (1 if backend == "torch" else 2)
    for before, after in zip(one["history"], two["history"], strict=True):
        assert after["loss"] == pytest.approx(before["loss"], abs=1e-3)
        assert after["auc"] == pytest.approx(before["auc"], abs=1e-3)
        assert after["validation_loss"] == pytest.approx(before["validation_loss"], abs=5e-3)
    assert np.abs(np.array(one["logits"]) - np.array(two["logits"])).max() < 1e-5


def test_no_room_of_the_network_or_its_training_imports_a_back_end() -> None:
    """`distribution.py` alone knows TensorFlow, and only where it has several devices."""
    room = ROOT / "mlmodel"
    files = [
        *(room / "training").glob("*.py"),
        *(room / name for name in ("network.py", "serving.py", "pretrained.py", "weights.py")),
    ]
    words = ("import tensorflow", "import jax", "import torch", "from tensorflow", "from jax", "from torch")
    knowing = {path.name for path in files if any(word in path.read_text() for word in words)}
    assert knowing == {"distribution.py"}
