"""Versions on disk that hold no network, two operators, and evaluations of their own making."""

import csv
import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings

from accounts.models import Hospital, Role, User
from mlmodel import registry
from mlmodel.artifact import write_artifact
from mlmodel.models import Evaluation
from mlmodel.registry import register_named
from tests.factories import UserFactory
from tests.mlmodel.test_artifact import FACTS, FILES

CALIBRATED = {**FACTS, "calibration": {"method": "temperature", "temperature": 1.2}}
COLUMNS = ["file", "sha256", "patient", "label", "probability", "predicted", "outcome", "code"]


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, db: None) -> Path:
    """The version 1.0.0 ships with the software."""
    folder = tmp_path / "shipped"
    write_artifact(folder / "1.0.0", {**CALIBRATED, "version": "1.0.0"}, FILES)
    monkeypatch.setattr(registry, "SHIPPED_DIR", folder)
    return folder


@pytest.fixture(autouse=True)
def trained(tmp_path: Path, settings: Settings) -> Path:
    """2.0.0 and 3.0.0 were trained here."""
    settings.MODEL_DIR = tmp_path / "models"
    for version in ("2.0.0", "3.0.0"):
        write_artifact(settings.MODEL_DIR / version, {**CALIBRATED, "version": version}, FILES)
    return Path(settings.MODEL_DIR)


@pytest.fixture
def second(hospital: Hospital) -> User:
    """The other operator."""
    return UserFactory(hospital=hospital, email="second@riverside.example", role=Role.OPERATOR)


Evaluate = Callable[..., Evaluation]
FILMS = 600


@pytest.fixture
def evaluate(tmp_path: Path) -> Evaluate:
    """`evaluate(version, error=0.05)`: `FILMS` of half as many patients, of which that share is read on the wrong side."""

    def make(version: str, *, error: float = 0.05, data: str = "a" * 64, films: int = FILMS) -> Evaluation:
        directory = tmp_path / "evaluations" / f"{version}-{data[:4]}"
        directory.mkdir(parents=True)
        with (directory / "predictions.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(_film(n, error, random.Random(f"{version}{n}")) for n in range(films))
        row = register_named(version)
        figures = {"value": 1 - error, "low": 0.9 - error, "high": 1.0}
        return Evaluation.objects.create(
            version=row, data_sha256=data, n=films, patients=films // 2, metrics={"auc": figures}, directory=str(directory)
        )

    return make


def _film(n: int, error: float, generator: random.Random) -> list[object]:
    truth = n % 2 == 0
    # A share of the films has its probabilities turned round
    says = truth if generator.random() >= error else not truth
    probability = generator.uniform(0.6, 0.95) if says else generator.uniform(0.05, 0.35)
    label = "PNEUMONIA" if truth else "NORMAL"
    predicted = "PNEUMONIA" if probability >= 0.4 else "NORMAL"
    sha256 = hashlib.sha256(str(n).encode()).hexdigest()
    return [f"{n}.jpeg", sha256, f"p{n // 4}{label[0]}", label, probability, predicted, "finding", ""]
