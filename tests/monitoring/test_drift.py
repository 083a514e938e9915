"""The population stability index, against a sum worked by hand."""

from math import inf

import pytest

from diagnostics.monitoring.drift import count_by_bin, stability_index


def test_the_index_is_the_sum_that_was_worked_by_hand() -> None:
    # (0.6 - 0.5) ln(0.6 / 0.5) + (0.4 - 0.5) ln(0.4 / 0.5) = 0.1 * 0.182322 + 0.1 * 0.223144
    assert stability_index([50, 50], [60, 40]) == pytest.approx(0.0405465, abs=1e-7)


def test_shares_are_compared_and_not_counts() -> None:
    assert stability_index([10, 30, 60], [100, 300, 600]) == pytest.approx(0)
    assert stability_index([5, 5], [600, 400]) == pytest.approx(0.0405465, abs=1e-7)


def test_an_empty_bin_counts_as_half_a_film_and_is_not_infinite() -> None:
    # (0.5 - 0.005) ln(0.5 / 0.005) + (0.5 - 1) ln(0.5 / 1), p of the empty bin being 0.5 / 100
    assert stability_index([0, 100], [50, 50]) == pytest.approx(0.495 * 4.6051702 + 0.5 * 0.6931472, abs=1e-6)
    assert stability_index([0, 100], [50, 50]) < inf


def test_the_index_is_the_same_in_both_directions() -> None:
    assert stability_index([10, 30, 60], [30, 30, 40]) == pytest.approx(stability_index([30, 30, 40], [10, 30, 60]))


def test_a_score_on_an_edge_belongs_to_the_bin_that_ends_there() -> None:
    assert count_by_bin([0.0, 0.1, 0.100001, 0.95, 1.0]) == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]


@pytest.mark.parametrize(("reference", "observed"), [([], []), ([0, 0], [1, 1]), ([1, 1], [0, 0]), ([1, 1], [1, 1, 1])])
def test_what_cannot_be_compared_is_refused(reference: list[int], observed: list[int]) -> None:
    with pytest.raises(ValueError, match="Received"):
        stability_index(reference, observed)
