"""Mixup."""

import numpy as np

from mlmodel.training.mixing import Batch, mix_pairs


def make_batch() -> Batch:
    films = np.arange(8, dtype=np.uint8)[:, None, None, None].repeat(4, axis=1).repeat(4, axis=2) * 30
    truth = np.array([0, 1] * 4, np.float32)
    return films, truth, 1 + truth


def test_film_truth_and_weight_are_mixed_with_the_same_share() -> None:
    films, truth, weights = make_batch()
    mixed, soft, heavy = mix_pairs(films, truth, weights, strength=1.0, generator=np.random.default_rng(1))
    other = np.random.default_rng(1)
    share = other.beta(1.0, 1.0, 8)
    share = np.maximum(share, 1 - share)
    order = other.permutation(8)
    np.testing.assert_allclose(soft, truth * share + truth[order] * (1 - share), atol=1e-6)
    np.testing.assert_allclose(heavy, 1 + soft, atol=1e-6)
    expected = films[:, 0, 0, 0] * share + films[order, 0, 0, 0] * (1 - share)
    np.testing.assert_allclose(mixed[:, 2, 1, 0], expected, atol=0.51)
    assert mixed.dtype == np.uint8
    assert 0 < np.abs(soft - truth).max() <= 0.5


def test_the_same_generator_mixes_alike() -> None:
    first, second = (mix_pairs(*make_batch(), strength=0.2, generator=np.random.default_rng([3, 4])) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
