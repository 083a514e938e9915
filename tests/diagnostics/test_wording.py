"""The words of a result."""

import pytest

from accounts.models import User
from diagnostics import wording
from diagnostics.codes import FAILURES
from diagnostics.models import Prediction
from mlmodel.api import MESSAGES
from tests.diagnostics.cases import make_case, make_prediction


@pytest.mark.parametrize(
    ("probability", "word"),
    [
        (1.0, "very likely"),
        (0.90, "very likely"),
        (0.8999, "likely"),
        (0.65, "likely"),
        (0.64, "uncertain"),
        (0.35, "uncertain"),
        (0.34, "unlikely"),
        (0.10, "unlikely"),
        (0.0999, "very unlikely"),
        (0.0, "very unlikely"),
    ],
)
def test_each_band_has_its_word(probability: float, word: str) -> None:
    assert wording.likelihood(probability) == word


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "below 0.1 %"), (0.001, "0.1 %"), (0.3816, "38.2 %"), (0.999, "99.9 %"), (1.0, "above 99.9 %")]
)
def test_no_probability_is_a_certainty(value: float, text: str) -> None:
    assert wording.percent(value) == text


@pytest.mark.parametrize(
    ("probability", "threshold", "remark"),
    [(0.3, 0.2, "threshold is set low"), (0.6, 0.7, "below this version's threshold"), (0.9, 0.5, ""), (0.1, 0.5, "")],
)
def test_a_label_that_seems_to_contradict_the_number_is_explained(probability: float, threshold: float, remark: str) -> None:
    label = "PNEUMONIA" if probability >= threshold else "NORMAL"
    said = wording.threshold_remark(Prediction(probability=probability, threshold=threshold, label=label))
    assert remark in said
    assert bool(remark) == bool(said)


@pytest.mark.parametrize("code", [*FAILURES, *MESSAGES, "SOMETHING_NEW"])
def test_every_code_comes_with_something_to_do(code: str) -> None:
    assert wording.advice(code).endswith(".")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("queued", "waiting for its analysis"),
        ("processing", "waiting for its analysis"),
        ("refused", "could not be analysed"),
        ("failed", "could not be analysed"),
        ("done", "with version 1.0.0"),
    ],
)
def test_a_duplicate_is_described_by_what_became_of_the_first(doctor: User, state: str, words: str) -> None:
    case = make_case(doctor, state=state)
    if state == "done":
        make_prediction(case)
    assert words in wording.describe_duplicate(case)
