"""Fit calibrations, compare them on patients they were not fitted to, keep the best.

Compared by a proper score, the negative log-likelihood (the Brier score is reported beside it), in repeated cross-validation
grouped by patient; in-sample the method with the most parameters always wins, and isotonic regression, which has one per step,
by far. The simplest method whose score lies within one standard error of the best is kept (Breiman et al., CART, 1984, section
3.4.3): a film from another place is further from these than these are from each other, and the fewer parameters were fitted to
their chances, the less is lost there. For the same reason a temperature or a slope with an intercept is preferred to curves.

`prevalence` says how common pneumonia is where the probability will be read: films are weighted so that it is so common here
too (Saerens et al., Neural Computation 2002). Training with class weights puts the plain logit at a prevalence of one half.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlmodel.calibration import make_calibrator

FOLDS, REPEATS = 5, 10
Values = NDArray[np.float64]
# From the simplest on
METHODS = ("temperature", "platt", "beta", "isotonic")


@dataclass(frozen=True, slots=True)
class Sample:
    """Logits, truth (1 for pneumonia) and weight of each film, all (films,)."""

    logits: Values
    truth: Values
    weights: Values

    def take(self, chosen: NDArray[Any]) -> "Sample":
        return Sample(self.logits[chosen], self.truth[chosen], self.weights[chosen])


# The search multiplies tiny matrices: on a busy machine threads that wait for each other take ten times as long as one
@threadpool_limits.wrap(limits=1, user_api="blas")
def fit_best(
    logits: NDArray[Any], truth: NDArray[Any], groups: Sequence[Any], *, prevalence: float | None = None, seed: int = 0
) -> dict[str, Any]:
    """The calibration to keep in the artifact: method, parameters, `prevalence`, and `compared`, the scores of every method.

    `groups` names the patient of each film. With fewer than two patients of a class nothing can be compared, and the
    temperature is kept.
    """
    sample = weigh(np.asarray(logits, np.float64), np.asarray(truth, np.float64), prevalence)
    losses = cross_validate(sample, groups, seed=seed)
    kept = _choose(losses, np.asarray(groups)) if losses else METHODS[0]
    compared = {name: _summary(values, np.asarray(groups)) | {"kept": name == kept} for name, values in losses.items()}
    return {
        **fit(kept, sample),
        "prevalence": float(np.average(sample.truth, weights=sample.weights)),
        "films": len(sample.truth),
        "patients": len(set(groups)),
        "compared": compared,
    }


def fit(method: str, sample: Sample) -> dict[str, Any]:
    """The parameters of one method. Raises `ValueError` for one that is not in `METHODS`."""
    if method == "none":
        return {"method": "none"}
    if method not in _FITTED:
        raise ValueError(f"The method is one of {', '.join(METHODS)}. Received: {method!r}")
    return {"method": method, **_FITTED[method](sample)}


def apply(calibration: dict[str, Any], logits: NDArray[Any]) -> Values:
    """What serving says for each logit."""
    calibrator = make_calibrator(calibration)
    return np.array([calibrator(logit) for logit in np.asarray(logits, np.float64).tolist()])


def cross_validate(sample: Sample, groups: Sequence[Any], *, seed: int) -> dict[str, dict[str, Values]]:
    """Held-out `nll` and `brier` of each film, (films,), the mean over `REPEATS` partitions; also of `none`, to compare with.

    Empty where there are too few patients of a class for two folds.
    """
    labels, named = sample.truth.astype(int), np.asarray(groups)
    folds = min(FOLDS, *(len(np.unique(named[labels == label])) for label in (0, 1)))
    if folds < 2:
        return {}
    losses = {name: {score: np.zeros(len(labels)) for score in ("nll", "brier")} for name in ("none", *METHODS)}
    for repeat in range(REPEATS):
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed + repeat)
        for kept, left in splitter.split(labels, labels, named):
            for name, scores in losses.items():
                said = apply(fit(name, sample.take(kept)), sample.logits[left])
                truth, weight = sample.truth[left], sample.weights[left] / REPEATS
                scores["nll"][left] -= weight * np.log(np.where(truth == 1, said, 1 - said))
                scores["brier"][left] += weight * (truth - said) ** 2
    return losses


def _choose(losses: dict[str, dict[str, Values]], groups: NDArray[Any]) -> str:
    best = min(METHODS, key=lambda name: losses[name]["nll"].mean())
    for name in METHODS:
        gap = losses[name]["nll"] - losses[best]["nll"]
        if gap.mean() <= _standard_error(gap, groups):
            return name
    return best


def _summary(scores: dict[str, Values], groups: NDArray[Any]) -> dict[str, Any]:
    return {
        "nll": float(scores["nll"].mean()),
        "nll_standard_error": _standard_error(scores["nll"], groups),
        "brier": float(scores["brier"].mean()),
        "brier_standard_error": _standard_error(scores["brier"], groups),
    }


def _standard_error(values: Values, groups: NDArray[Any]) -> float:
    """Of the mean over films, where films of one patient are alike."""
    _, number = np.unique(groups, return_inverse=True)
    sums = np.bincount(number, weights=values - values.mean())
    return float(np.sqrt(len(sums) / max(1, len(sums) - 1) * (sums**2).sum()) / len(values))


def weigh(logits: Values, truth: Values, prevalence: float | None) -> Sample:
    """Weights with a mean of one under which the prevalence is as stated. Raises `ValueError` for one that cannot be."""
    here = truth.mean()
    if prevalence is None:
        return Sample(logits, truth, np.ones_like(truth))
    if not 0 < prevalence < 1 or not 0 < here < 1:
        raise ValueError(f"A prevalence lies between 0 and 1, and both classes are needed. Received: {prevalence!r}")
    return Sample(logits, truth, np.where(truth == 1, prevalence / here, (1 - prevalence) / (1 - here)))


def _fit_temperature(sample: Sample) -> dict[str, Any]:
    # In the logarithm, where the search cannot reach a temperature of nothing; within reason, where the classes do not overlap
    found = _minimise(lambda values: sample.logits / np.exp(values[0]), sample, [0.0], [(-3.0, 3.0)])
    return {"temperature": float(np.exp(found[0]))}


def _fit_platt(sample: Sample) -> dict[str, Any]:
    found = _minimise(
        lambda values: values[0] * sample.logits + values[1], sample, [1.0, 0.0], [(0.05, 20), (-20, 20)], soft=True
    )
    return {"slope": float(found[0]), "intercept": float(found[1])}


def _fit_beta(sample: Sample) -> dict[str, Any]:
    log_yes, log_no = -np.logaddexp(0, -sample.logits), -np.logaddexp(0, sample.logits)
    found = _minimise(
        lambda values: values[0] * log_yes - values[1] * log_no + values[2],
        sample,
        [1.0, 1.0, 0.0],
        [(0, 20), (0, 20), (-20, 20)],
    )
    return {"a": float(found[0]), "b": float(found[1]), "c": float(found[2])}


def _fit_isotonic(sample: Sample) -> dict[str, Any]:
    """Knots of the isotonic regression. The outermost steps say 0 and 1, which no number of films can prove: they are held to
    what one more film of the other kind at that end would leave."""
    least = 1 / (len(sample.truth) + 2)
    model = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
    model.fit(sample.logits, sample.truth, sample_weight=sample.weights)
    knots, values = np.asarray(model.X_thresholds_, np.float64), np.asarray(model.y_thresholds_, np.float64)
    rising = np.r_[True, np.diff(knots) > 0]
    return {"logits": knots[rising].tolist(), "probabilities": np.maximum.accumulate(values[rising]).tolist()}


def _minimise(
    logit_of: Callable[[Values], Values],
    sample: Sample,
    start: list[float],
    bounds: list[tuple[float, float]],
    *,
    soft: bool = False,
) -> Values:
    """Parameters of the least weighted negative log-likelihood; `soft` targets are Platt's, a film short of 0 and 1."""
    target = _soften(sample) if soft else sample.truth

    def loss(values: Values) -> float:
        z = logit_of(values)
        return float((sample.weights * (np.logaddexp(0, z) - target * z)).mean())

    return np.asarray(minimize(loss, np.array(start), method="L-BFGS-B", bounds=bounds).x)


def _soften(sample: Sample) -> Values:
    sick = sample.truth.sum()
    well = len(sample.truth) - sick
    return np.where(sample.truth == 1, (sick + 1) / (sick + 2), 1 / (well + 2))


_FITTED: dict[str, Callable[[Sample], dict[str, Any]]] = {
    "temperature": _fit_temperature,
    "platt": _fit_platt,
    "beta": _fit_beta,
    "isotonic": _fit_isotonic,
}
