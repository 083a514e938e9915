"""The version in the repository: whole, small, and as good on real films as its metadata say."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mlmodel.artifact import read_info, read_metadata, verify_artifact
from mlmodel.decoding import read_film
from mlmodel.engines import load_engine
from mlmodel.evaluation.measures import auc, measure_all
from mlmodel.predictor import Predictor, load_predictor
from mlmodel.preprocessing import prepare_film
from mlmodel.registry import SHIPPED_DIR, locate_version, newest_shipped
from mlmodel.types import Finding, Refusal

pytestmark = pytest.mark.model
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
FULL, SMALL = SHARED / "fullsize", SHARED / "pediatric" / "train"


@pytest.fixture(scope="module")
def predictor(django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> Iterator[Predictor]:
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        predictor = load_predictor(newest_shipped().name)
    yield predictor
    predictor.close()


def probabilities(predictor: Predictor, paths: list[Path]) -> NDArray[np.float64]:
    """Of each film, NaN where it is refused."""
    batches = predictor.read((path.read_bytes() for path in paths), batch_size=16)
    outcomes = [outcome for batch in batches for outcome in batch]
    return np.array([outcome.probability if isinstance(outcome, Finding) else np.nan for outcome in outcomes])


def read_batch(paths: list[Path], size: int) -> NDArray[np.uint8]:
    return np.stack([prepare_film(read_film(path.read_bytes()).pixels.grey, size) for path in paths])[..., None]


@pytest.mark.django_db
def test_the_shipped_version_is_whole_small_and_active_on_a_fresh_machine() -> None:
    verify_artifact(newest_shipped())
    assert sum(path.stat().st_size for path in SHIPPED_DIR.rglob("*")) <= 50 * 1024 * 1024
    assert locate_version(None).path == newest_shipped()


def test_its_metadata_say_for_whom_it_is_and_how_good_it_was_on_patients_it_never_saw() -> None:
    info = read_info(newest_shipped())
    assert (info.intended_use.min_age_years, info.intended_use.max_age_years) == (1, 5)
    said = info.metrics["test"]["auc"]
    assert (said["value"] if isinstance(said, dict) else said) >= 0.95
    assert 0 < info.threshold < 1


def test_no_patient_was_trained_and_judged_on() -> None:
    parts: dict[str, set[str]] = {}
    with (newest_shipped() / "split.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            parts.setdefault(row["patient"], set()).add(row["part"])
    assert len(parts) > 1000
    assert all(len(where) == 1 for where in parts.values())


@pytest.mark.shared_data
def test_a_full_size_film_is_read_as_its_small_copy_is(predictor: Predictor) -> None:
    full = sorted(FULL.rglob("*.jpeg"))
    small = [SMALL / path.relative_to(FULL) for path in full]
    one, other = probabilities(predictor, full), probabilities(predictor, small)
    truth = np.array(["PNEUMONIA" in path.parts for path in full])
    assert (np.abs(one - other) <= 0.05).sum() >= 46
    assert auc(truth, one) >= 0.98


@pytest.mark.shared_data
def test_our_resampling_comes_close_to_that_of_the_training_films() -> None:
    errors = []
    for path in sorted(FULL.rglob("*.jpeg"))[::4]:
        ours = read_batch([path], 224)[0, ..., 0].astype(float)
        theirs = np.asarray(Image.open(SMALL / path.relative_to(FULL)).convert("L")).astype(float)
        errors.append(np.sqrt(np.mean((ours - theirs) ** 2)))
    assert np.mean(errors) < 3.5


@pytest.mark.shared_data
def test_the_engines_agree_on_real_films() -> None:
    metadata = read_metadata(newest_shipped())
    films = read_batch(sorted(SMALL.rglob("*.jpeg"))[::40], metadata["input_shape"][0])

    def run(engine: str, precision: str) -> NDArray[np.float64]:
        logits = load_engine(newest_shipped(), metadata, engine=engine, precision=precision).run(films).logits
        return 1 / (1 + np.exp(-logits.astype(np.float64)))

    exact, threshold = run("keras", "float32"), metadata["operating_point"]["threshold"]
    assert np.abs(run("openvino", "float32") - exact).max() <= 0.001
    assert ((run("openvino", "auto") >= threshold) == (exact >= threshold)).mean() >= 0.99


@pytest.mark.shared_data
@pytest.mark.slow
def test_it_does_on_the_patients_of_its_test_split_what_its_metadata_say(predictor: Predictor) -> None:
    with (newest_shipped() / "split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "test"]
    found = probabilities(predictor, [SMALL / row["file"] for row in rows])
    is_read = np.isfinite(found)
    assert is_read.mean() >= 0.99
    truth, found = np.array([row["label"] == "PNEUMONIA" for row in rows])[is_read], found[is_read]
    said = predictor.info.metrics["test"]
    measured = measure_all(truth.astype(float), found, predictor.info.threshold)
    for name, tolerance in (("auc", 0.002), ("sensitivity", 0.01), ("specificity", 0.02)):
        value = said[name]["value"] if isinstance(said[name], dict) else said[name]
        assert measured[name] == pytest.approx(value, abs=tolerance)


@pytest.mark.shared_data
def test_an_adult_is_refused_by_the_age_that_the_dicom_file_tells(predictor: Predictor) -> None:
    outcome = predictor.predict([(SHARED / "dicom" / "adult-chest-cr.dcm").read_bytes()])[0]
    assert isinstance(outcome, Refusal)
    assert outcome.code == "AGE_OUT_OF_RANGE"
