"""A candidate is judged as it will be served: with the films that the gate declines."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mlmodel.engines import Outputs
from mlmodel.gate.descriptor import CELLS
from mlmodel.gate.judge import Gate
from mlmodel.management.judging import describe_metrics
from mlmodel.training.dataset import DataError, LabelledFilm
from mlmodel.training.judging import JudgingOptions, decline, read_part, report_test, summarise
from mlmodel.training.opacities import measure_opacities
from mlmodel.training.prepared import Prepared
from tests.mlmodel.gate.material import chest_films

SIZE, FEATURES = 64, 2


@pytest.fixture(scope="module")
def films() -> NDArray[np.uint8]:
    """Six chest films, the last of them blank."""
    drawn = chest_films(6, SIZE)[..., None].copy()
    drawn[5] = 7
    return drawn


@pytest.fixture
def outputs(films: NDArray[np.uint8]) -> Outputs:
    """The second film has features as no other has."""
    features = np.ones((len(films), FEATURES), np.float32)
    features[1] = 10_000
    return Outputs(np.zeros(len(films), np.float32), np.zeros((len(films), 4, 4), np.float32), features)


def far_gate() -> Gate:
    """It refuses by distance alone, and by that only what is very far."""
    channels = FEATURES + CELLS * CELLS // 2
    return Gate(
        codes=("", "INVERTED"),
        mean=np.zeros(channels, np.float32),
        scale=np.ones(channels, np.float32),
        directions=np.eye(FEATURES, dtype=np.float32),
        variances=np.ones(FEATURES + 1, np.float32),
        weights=np.zeros((channels, 2), np.float32),
        bias=np.array([9, -9], np.float32),
        limits={"refuse_odds": 0.0, "refuse_distance": 5.0, "flag_odds": -1.0, "flag_distance": 3.0},
    )


def prepared(films: NDArray[np.uint8]) -> Prepared:
    """Five of the films are of the test part, every other one with pneumonia."""
    parts = np.array(["train", *["test"] * (len(films) - 1)])
    truth = np.arange(len(films)) % 2
    named = [
        LabelledFilm(Path(f"person{index}_virus_1.jpeg"), f"{index}.jpeg", ("NORMAL", "PNEUMONIA")[value], f"person{index}")
        for index, value in enumerate(truth)
    ]
    hashes = [f"hash{index}" for index in range(len(films))]
    return Prepared(named, hashes, films, truth.astype(np.float32), np.arange(len(films)), parts, {}, b"")


def test_the_rules_on_pixels_and_the_gate_both_decline(films: NDArray[np.uint8], outputs: Outputs) -> None:
    assert decline(far_gate(), films, outputs) == [None, "OUT_OF_DISTRIBUTION", None, None, None, "NOT_CHEST_XRAY"]
    assert decline(None, films, outputs) == [None] * 5 + ["NOT_CHEST_XRAY"]


def test_a_declined_film_is_counted_and_left_out_of_the_measures(films: NDArray[np.uint8]) -> None:
    codes = ["OUT_OF_DISTRIBUTION", None, None, None, "NOT_CHEST_XRAY"]
    readings = read_part(prepared(films), "test", [0.9, 0.2, 0.8, 0.3, 0.7], codes, 0.5)
    report = report_test(readings, version="1", threshold=0.5, seed=0)
    assert [one.outcome for one in readings] == ["refusal", "finding", "finding", "finding", "refusal"]
    assert [one.probability for one in readings] == [None, 0.2, 0.8, 0.3, None]
    assert report["refusals"] == {"NOT_CHEST_XRAY": 1, "OUT_OF_DISTRIBUTION": 1}
    assert (report["films"], report["n"], report["accuracy"]["value"]) == (5, 3, 1.0)
    assert report["intention_to_read"]["accuracy"]["value"] == pytest.approx(3 / 5)
    assert report["training_overlap"] == {"test": 5}


def test_where_the_gate_leaves_one_class_the_other_measures_are_said(films: NDArray[np.uint8]) -> None:
    codes = ["INVERTED", None, "INVERTED", None, "INVERTED"]
    report = report_test(read_part(prepared(films), "test", [0.5] * 5, codes, 0.6), version="1", threshold=0.6, seed=0)
    (line,) = describe_metrics(summarise(report))
    assert "2 of 5 films read" in line
    assert "AUC not known" in line
    assert "specificity 1.0000" in line


@pytest.mark.parametrize("name", ["outliers", "test_objects"])
def test_a_folder_without_films_is_told_before_hours_of_training(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no film"):
        JudgingOptions(**{name: tmp_path})  # type: ignore[arg-type]


def read_first(known: NDArray[np.uint8]) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """A reader who is sure of pneumonia in the first film alone, if it is none of those known."""
    contents = {film.tobytes() for film in known}
    return lambda films: np.array([0.01 if index or film.tobytes() in contents else 0.99 for index, film in enumerate(films)])


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([0.1] * 5, {"films": 2, "found": {"value": 0.5, "low": 0.0, "high": 1.0}}),
        ([0.1, 0.1, 0.1, 0.9, 0.1], {"films": 1, "found": {"value": 1.0, "low": 0.025, "high": 1.0}}),
        ([0.9] * 5, {"films": 0, "found": {}}),
    ],
)
def test_opacities_are_drawn_into_normal_films_that_are_called_so(
    films: NDArray[np.uint8], said: list[float], expected: dict[str, object]
) -> None:
    part, patients = prepared(films).part("test"), [f"person{index}" for index in range(1, 6)]
    found = measure_opacities(read_first(films), part.films, part.truth, np.array(said), patients, threshold=0.5, seed=1)
    assert found == {"films": expected["films"], "found": pytest.approx(expected["found"])}
