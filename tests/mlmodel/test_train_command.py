"""`train_model` from a folder of films to a version that predicts."""

import csv
import json
import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError

from mlmodel.artifact import read_metadata, verify_artifact
from mlmodel.engines import load_engine
from mlmodel.evaluation.calibrators import METHODS
from tests.mlmodel.films import draw_film, jpeg
from tests.mlmodel.training_set import TINY_RECIPE, write_films

pytestmark = [pytest.mark.model, pytest.mark.slow]
PICTURES = {"roc.png", "precision_recall.png", "reliability.png", "confusion.png", "training.png"}
EVALUATION = {"evaluation.json", "predictions.csv", "card.md"} | PICTURES
ROOT = Path(__file__).resolve().parents[2]
CONFIG = {**TINY_RECIPE, "epochs": 3}
NO_TRAINING = mock.patch("mlmodel.training.pipeline.Trainer", side_effect=AssertionError("training has begun"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty synthetic films: the diseased ones have a bright middle."""
    folder = tmp_path_factory.mktemp("data")
    write_films(folder)
    (folder / "tiny.json").write_text(json.dumps(CONFIG))
    return folder


def train(data: Path, out: Path, *arguments: str) -> dict[str, Any]:
    output = StringIO()
    given = ["--data", str(data), "--out", str(out), "--config", str(data / "tiny.json"), "--quiet", "--json"]
    call_command("train_model", *given, *arguments, stdout=output)
    return json.loads(output.getvalue())


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "0.1.0"
    result = train(data, out, "--source", "Drawn")
    assert result["version"] == "0.1.0"
    assert 0 <= result["metrics"]["test"]["auc"]["value"] <= 1
    return out


def test_a_candidate_is_a_whole_artifact(trained: Path) -> None:
    metadata = verify_artifact(trained)
    assert {"weights.npz", "serving.xml", "serving.bin", "split.csv", *EVALUATION} <= set(metadata["files"])
    assert metadata["input_shape"] == [32, 32, 1]
    assert metadata["metrics"]["test"]["threshold"] == metadata["operating_point"]["threshold"]
    assert len(metadata["training"]["history"]) == 3
    assert metadata["training"]["data_manifest_sha256"] == metadata["files"]["split.csv"]
    assert [path.name for path in trained.parent.iterdir()] == ["0.1.0"]


def test_what_was_measured_is_what_is_served(trained: Path) -> None:
    metadata = read_metadata(trained)
    films = np.random.default_rng(0).integers(0, 255, (6, 32, 32, 1)).astype(np.uint8)
    logits = [
        load_engine(trained, metadata, engine=name, precision="float32").run(films).logits for name in ("keras", "openvino")
    ]
    assert np.abs(np.tanh(logits[0] / 2) - np.tanh(logits[1] / 2)).max() / 2 <= 0.001


def test_a_candidate_is_calibrated_and_judged_on_patients_it_never_saw(trained: Path) -> None:
    metadata, report = read_metadata(trained), json.loads((trained / "evaluation.json").read_text())
    assert metadata["calibration"]["method"] in METHODS
    assert (metadata["calibration"]["fitted_on"], metadata["operating_point"]["chosen_on"]) == ("calibrate", "calibrate")
    assert metadata["metrics"]["test"]["auc"] == report["auc"]
    split = list(csv.DictReader((trained / "split.csv").open(newline="")))
    tested = {row["sha256"] for row in split if row["part"] == "test"}
    judged = {row["sha256"] for row in csv.DictReader((trained / "predictions.csv").open(newline=""))}
    assert judged == tested
    assert metadata["data"]["parts"]["test"]["films"] == len(tested) == report["films"]
    assert {row["source"] for row in split} == {"Drawn"}


def test_a_candidate_keeps_the_split_of_an_earlier_version(data: Path, trained: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "0.1.1", "--epochs", "1", "--seed", "77", "--split", str(trained / "split.csv"))
    parts = [
        [(row["file"], row["part"], row["source"]) for row in csv.DictReader((folder / "split.csv").open(newline=""))]
        for folder in (trained, tmp_path / "0.1.1")
    ]
    assert parts[0] == parts[1]
    assert {source for _, _, source in parts[1]} == {"Drawn"}


@pytest.mark.django_db
def test_a_candidate_is_registered_on_request(data: Path, tmp_path: Path) -> None:
    from mlmodel.models import ModelVersion

    train(data, tmp_path / "0.2.0", "--register", "--epochs", "1")
    assert ModelVersion.objects.get().state == "candidate"
    with NO_TRAINING, pytest.raises(CommandError, match="registered already"):
        train(data, tmp_path / "elsewhere" / "0.2.0", "--register")
    assert not (tmp_path / "elsewhere").exists()


def test_a_registry_that_cannot_be_asked_is_named_before_training(data: Path, tmp_path: Path) -> None:
    asked = mock.patch("mlmodel.models.ModelVersion.objects.filter", side_effect=ProgrammingError("no such table"))
    with NO_TRAINING, asked, pytest.raises(CommandError, match="run migrate first"):
        train(data, tmp_path / "0.2.0", "--register")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named_before_training(data: Path) -> None:
    with NO_TRAINING, pytest.raises(CommandError, match=r"/proc/none/0\.2\.0 cannot be written"):
        train(data, Path("/proc/none/0.2.0"))


def test_an_outlier_that_cannot_be_read_is_named_before_training(data: Path, tmp_path: Path) -> None:
    outliers = tmp_path / "adults"
    outliers.mkdir()
    (outliers / "torn.png").write_bytes(b"no film")
    with NO_TRAINING, pytest.raises(CommandError, match=r"torn\.png"):
        train(data, tmp_path / "0.2.0", "--outliers", str(outliers))
    assert list(tmp_path.iterdir()) == [outliers]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--data", "/nowhere"), "neither a folder nor a manifest"),
        (("--config", "nonsense"), "cannot be read"),
        (("--weights", "/nowhere.npz"), "not a readable NPZ"),
        (("--epochs", "0"), "at least 1"),
        (("--split", "/nowhere.csv"), "no split"),
        (("--operating-point", "cost", "--cost-ratio", "-1"), "cost_ratio"),
        (("--cost-ratio", "3"), "belongs to --operating-point cost"),
        (("--prevalence", "1.5"), "prevalence lies between"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    data: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    with pytest.raises(CommandError, match=words) as caught:
        train(data, tmp_path / "out" / "0.3.0", *arguments)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_exists_is_not_overwritten(data: Path, trained: Path) -> None:
    with pytest.raises(CommandError, match="exists already"):
        train(data, trained)
    verify_artifact(trained)


def test_too_few_patients_are_said_so(tmp_path: Path) -> None:
    for label in ("NORMAL", "PNEUMONIA"):
        (tmp_path / label).mkdir()
        (tmp_path / label / f"{label}.jpeg").write_bytes(
            jpeg((draw_film(len(label), width=140, height=130) * 255).astype(np.uint8))
        )
    (tmp_path / "tiny.json").write_text(json.dumps(CONFIG))
    with pytest.raises(CommandError, match="too few patients"):
        train(tmp_path, tmp_path / "0.4.0")


def test_sigterm_saves_and_stops_and_resume_goes_on(data: Path, tmp_path: Path) -> None:
    (tmp_path / "long.json").write_text(json.dumps({**CONFIG, "epochs": 4000, "patience": 4000}))
    command = [sys.executable, "manage.py", "train_model", "--data", str(data), "--out", str(tmp_path / "0.5.0"), "--resume"]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONUNBUFFERED": "1"}
    said = []
    for _ in range(2):
        run = subprocess.Popen(
            [*command, "--config", str(tmp_path / "long.json")], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        assert run.stderr is not None
        for line in run.stderr:
            said.append(line)
            if line.startswith("Epoch "):
                run.send_signal(signal.SIGTERM)
                break
        said += run.stderr.read().splitlines()
        assert run.wait(60) == 3
    assert any(line.startswith("Going on from epoch") for line in said)
    assert any("Stopped and saved" in line for line in said)
    assert not (tmp_path / "0.5.0").exists()
