"""The threshold, by each rule."""

from typing import Any

import numpy as np
import pytest

from mlmodel.evaluation.operating_point import choose_operating_point, choose_threshold, cost_threshold
from tests.mlmodel.evaluation.drawn import draw_logits, sigmoid

TRUTH = np.array([0, 0, 1, 0, 1, 1, 1])
SAID = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8])


def test_the_threshold_is_the_highest_that_finds_enough() -> None:
    assert choose_threshold(TRUTH, SAID, 0.75) == pytest.approx(0.5)
    assert choose_threshold(TRUTH, SAID, 1.0) == pytest.approx(0.25)


def test_the_default_rule_finds_95_of_100() -> None:
    truth, logits, _ = draw_logits(2000)
    point = choose_operating_point(truth, sigmoid(logits))
    assert (sigmoid(logits)[truth == 1] >= point["threshold"]).mean() == pytest.approx(0.95, abs=0.002)
    assert (point["rule"], point["target_sensitivity"]) == ("sensitivity", 0.95)


@pytest.mark.parametrize("ratio", [0.5, 1, 5, 20])
def test_the_cost_rule_costs_no_more_than_the_best_threshold_there_is(ratio: float) -> None:
    truth, logits, _ = draw_logits(20_000, prevalence=0.5)
    said = sigmoid(logits)

    def cost(threshold: float) -> float:
        return ratio * ((truth == 1) & (said < threshold)).mean() + ((truth == 0) & (said >= threshold)).mean()

    chosen = choose_operating_point(truth, said, {"rule": "cost", "cost_ratio": ratio})["threshold"]
    least = min(cost(threshold) for threshold in np.linspace(0.005, 0.995, 199))
    assert cost(chosen) <= least * 1.03


def test_a_rarer_disease_raises_the_threshold_of_equal_costs() -> None:
    assert cost_threshold(1, 0.7, 0.7) == pytest.approx(0.5)
    assert cost_threshold(4, 0.7, 0.7) == pytest.approx(0.2)
    assert cost_threshold(1, 0.5, 0.2) == pytest.approx(0.8)


def test_the_prevalence_that_the_probability_assumes_counts_and_not_that_of_the_films() -> None:
    rule = {"rule": "cost", "cost_ratio": 1, "prevalence": 0.5}
    assert choose_operating_point(TRUTH, SAID, rule, calibrated_at=0.5)["threshold"] == pytest.approx(0.5)
    assert choose_operating_point(TRUTH, SAID, rule)["threshold"] == pytest.approx(4 / 7)


def test_youden_and_accuracy_find_the_best_cut() -> None:
    truth, said = np.array([0, 0, 0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    assert choose_operating_point(truth, said, {"rule": "youden"})["threshold"] == pytest.approx(0.35)
    assert choose_operating_point(truth, said, {"rule": "accuracy", "prevalence": 0.2})["threshold"] == pytest.approx(0.55)


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"rule": "luck"},
        {"rule": "sensitivity", "sensitivity": 0},
        {"rule": "sensitivity", "sensitivity": 1.1},
        {"rule": "sensitivity", "sensitivity": "high"},
        {"rule": "cost", "cost_ratio": -1},
        {"rule": "cost", "prevalence": 1},
    ],
)
def test_a_rule_that_cannot_be_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Received"):
        choose_operating_point(TRUTH, SAID, rule)
