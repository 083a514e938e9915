"""Two versions on the same films."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlmodel.evaluation.compare import compare_predictions, compare_readings
from mlmodel.evaluation.readings import Reading, read_predictions, write_predictions
from tests.mlmodel.evaluation.drawn import draw_logits, sigmoid


def draw_readings(noise: float, seed: int = 0, count: int = 600) -> list[Reading]:
    """The same films whatever the noise; more of it reads them worse."""
    truth, logits, patients = draw_logits(count)
    said = sigmoid(logits * 1.5 + np.random.default_rng(seed + 100).normal(0, noise, count))
    return [
        Reading(
            file=f"{number}.png",
            sha256=f"{number:064d}",
            patient=patients[number],
            label="PNEUMONIA" if truth[number] else "NORMAL",
            outcome="finding",
            probability=float(said[number]),
            predicted="PNEUMONIA" if said[number] >= 0.5 else "NORMAL",
        )
        for number in range(count)
    ]


def test_a_version_is_not_worse_than_itself() -> None:
    readings = draw_readings(0.5)
    found = compare_readings(readings, readings, resamples=200)
    assert found.auc == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert (found.non_inferior, found.worse, found.mcnemar["p"]) == (True, [], 1.0)
    assert (found.films, found.patients) == (600, 300)


@pytest.mark.parametrize(("count", "proven"), [(4, False), (40, False), (600, True)])
def test_a_handful_of_films_that_both_read_alike_prove_nothing(count: int, proven: bool) -> None:
    readings = draw_readings(0.5, count=count)
    found = compare_readings(readings, readings, resamples=200)
    patients = len({one.patient for one in readings if one.label == "PNEUMONIA"})
    unseen = 1 - 0.025 ** (1 / patients)
    assert found.sensitivity == pytest.approx({"value": 0.0, "low": -unseen, "high": unseen})
    assert found.non_inferior == proven


def test_a_version_that_misses_one_film_more_never_stands_better_for_it() -> None:
    """Whatever the number of films: the lower end of the difference falls with each film that it alone misses."""
    for count in (200, 260, 600):
        readings = draw_readings(0.5, count=count)
        found = [number for number, one in enumerate(readings) if one.label == one.predicted == "PNEUMONIA"]
        lows: list[float] = []
        for missed in range(4):
            worse = [
                replace(one, predicted="NORMAL") if number in found[:missed] else one for number, one in enumerate(readings)
            ]
            lows.append(compare_readings(worse, readings, resamples=300).sensitivity["low"] or 0.0)
        assert lows == sorted(lows, reverse=True)
        assert len(set(lows)) == 4


def test_with_few_patients_of_a_class_nothing_is_proven() -> None:
    readings = draw_readings(0.5)
    normal = [one for one in readings if one.label == "NORMAL"][:20]
    few = [one for one in readings if one.label == "PNEUMONIA"] + normal
    found = compare_readings(few, few, resamples=50)
    patients = len({one.patient for one in normal})
    assert not found.non_inferior
    assert found.worse == [f"{patients} patients of class normal are too few to tell (30 at least)"]


def test_a_version_that_reads_worse_is_said_to_and_in_what() -> None:
    worse = compare_readings(draw_readings(6.0), draw_readings(0.1), resamples=300)
    assert not worse.non_inferior
    assert len(worse.worse) == 2
    assert worse.auc["high"] is not None
    assert worse.auc["high"] < 0
    assert worse.mcnemar["only_a"] < worse.mcnemar["only_b"]
    assert worse.mcnemar["p"] < 0.001


def test_a_version_that_reads_better_is_not_worse_the_other_way_round() -> None:
    better = compare_readings(draw_readings(0.1), draw_readings(6.0), resamples=300)
    assert better.non_inferior
    assert better.auc["low"] is not None
    assert better.auc["low"] > 0


def test_each_version_is_compared_at_its_own_operating_point() -> None:
    readings = draw_readings(0.5)
    blind = [replace(one, predicted="NORMAL") for one in readings]
    found = compare_readings(blind, readings, resamples=200)
    assert found.auc["value"] == 0
    assert found.sensitivity["value"] is not None
    assert found.sensitivity["value"] < -0.5
    assert found.worse
    assert not any(reason.startswith("AUC") for reason in found.worse)


def test_pairing_makes_the_interval_of_the_difference_narrow() -> None:
    """Two versions that err alike differ by little, however uncertain each one's own AUC is."""
    found = compare_readings(draw_readings(0.1), draw_readings(0.1, seed=1), resamples=300)
    assert found.auc["low"] is not None
    assert found.auc["high"] is not None
    assert found.auc["high"] - found.auc["low"] < 0.01


def test_only_films_that_both_read_are_compared(tmp_path: Path) -> None:
    readings = draw_readings(0.5)
    refused = replace(readings[0], outcome="refusal", code="LATERAL_VIEW", probability=None, predicted="")
    (tmp_path / "a.csv").write_bytes(write_predictions([refused, *readings[1:]]))
    (tmp_path / "b.csv").write_bytes(write_predictions(readings[:500]))
    assert compare_predictions(tmp_path / "a.csv", tmp_path / "b.csv", resamples=50).films == 499


def test_predictions_come_back_as_they_were_written(tmp_path: Path) -> None:
    readings = draw_readings(0.5, count=20)
    (tmp_path / "a.csv").write_bytes(write_predictions(readings))
    assert read_predictions(tmp_path / "a.csv") == readings


@pytest.mark.parametrize(
    "content", [None, "file\na\n", "file,sha256,patient,label,probability,predicted,outcome,code\na,b,c,NORMAL,2,,finding,\n"]
)
def test_a_file_that_holds_no_predictions_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ValueError, match=r"a\.csv"):
        compare_predictions(tmp_path / "a.csv", tmp_path / "a.csv")


def test_versions_without_films_in_common_cannot_be_compared() -> None:
    readings = draw_readings(0.5, count=20)
    with pytest.raises(ValueError, match="in common"):
        compare_readings(readings, [replace(one, sha256=f"other{one.sha256}") for one in readings])
