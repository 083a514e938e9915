"""How well a gate judges, and how the published methods would on the same features: the tables of `docs/gate.md`.

The gate is fitted anew, as training fits it, but for what judges it: outliers are parted by patient, pictures of a kind are
made from films that it was not fitted on, and each kind is also judged by a gate that was never shown it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlmodel.engines import Outputs
from mlmodel.evaluation.measures import auc
from mlmodel.gate.descriptor import describe
from mlmodel.gate.drawing import DRAWINGS
from mlmodel.gate.fit import CODES, FLAG, PER_KIND, Films, Gathered, fit_arrays
from mlmodel.gate.judge import Gate
from mlmodel.gate.methods import METHODS, Known, Score
from mlmodel.gate.negatives import SPOILT, Material, make_negatives, vary_films
from mlmodel.gate.pixels import find_fault
from mlmodel.thumbnail import shrink

Read = Callable[[Films], Outputs]
OUTLIERS = "outliers"
LEFT_OUT: Mapping[str, Collection[str]] = {
    **{kind: (kind,) for kind in (*SPOILT, *DRAWINGS)},
    "every drawing": tuple(DRAWINGS),
    "every spoilt film": tuple(SPOILT),
}


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Films, each (count, size, size). Fitted are `train`, of `truth` (1 pneumonia), and `test_objects`; limits come from
    `calibrate`; `test` and `full_size` are to be read, `pictures` and `outliers`, of `patients`, are not."""

    train: Films
    truth: NDArray[np.float32]
    calibrate: Films
    test: Films
    full_size: Films | None = None
    outliers: Films | None = None
    patients: Sequence[str] = ()
    pictures: Films | None = None
    test_objects: Films | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Films as a gate sees them, and the `code` that they are to be refused with, empty where they are to be read."""

    films: Films
    outputs: Outputs
    descriptors: NDArray[np.float32]
    code: str = ""

    def take(self, chosen: NDArray[np.bool_]) -> "Group":
        """Those films alone."""
        features = None if self.outputs.features is None else self.outputs.features[chosen]
        outputs = Outputs(self.outputs.logits[chosen], self.outputs.activations[chosen], features)
        return Group(self.films[chosen], outputs, self.descriptors[chosen], self.code)


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """What gates are fitted on: films to be read, the first of them the training films with their variations, and those not, by
    kind."""

    known: Group
    strange: dict[str, Group]
    calibrate: Group
    of_train: NDArray[np.bool_]
    truth: NDArray[np.bool_] = field(repr=False)

    def fit(self, without: Collection[str] = ()) -> Gate:
        """A gate that is shown all kinds but those."""
        kinds = [group for kind, group in self.strange.items() if kind not in without]
        classes = np.concatenate([np.full(len(group.films), CODES.index(group.code)) for group in kinds])
        assert self.known.outputs.features is not None  # noqa: S101 - for the type alone: `_see` has asked
        gathered = Gathered(
            self.known.descriptors,
            np.concatenate([group.descriptors for group in kinds]),
            classes,
            self.known.outputs.features.shape[1],
        )
        return fit_arrays(gathered, self.calibrate.descriptors)


def measure_gate(read: Read, samples: Samples, *, per_kind: int = 70, seed: int = 0) -> dict[str, Any]:
    """Plain JSON: `groups`, `methods` and `left_out`, shares each. `read` answers for films (count, size, size, 1) as the
    serving graph does; `per_kind` pictures of each kind judge. Raises `ValueError` where the graph tells no features."""
    shown, others = _show(read, samples, seed)
    judged = _judged_groups(read, samples, seed) | others
    made = {kind.kind: _see(read, kind.films, kind.code) for kind in _fresh(samples, per_kind, seed)}
    whole = shown.fit()
    groups = {name: _count(whole, group) for name, group in judged.items()}
    if OUTLIERS in shown.strange:
        every = _join([shown.strange[OUTLIERS], others[OUTLIERS]])
        groups["outliers, where none was shown"] = _count(shown.fit(without=(OUTLIERS,)), every)
    return {
        "seed": seed,
        "fitted_on": {
            "films": len(shown.known.films),
            "negatives": sum(len(group.films) for kind, group in shown.strange.items() if kind != OUTLIERS),
            "outliers": len(shown.strange[OUTLIERS].films) if OUTLIERS in shown.strange else 0,
            "calibrated_on": len(shown.calibrate.films),
        },
        "groups": groups,
        "methods": _compare_methods(shown, whole, judged | {"spoilt and drawn": _join(list(made.values()))}),
        "shown": {kind: _count(whole, group) for kind, group in made.items()},
        "left_out": {
            name: _count(shown.fit(without=kinds), _join([made[kind] for kind in kinds])) for name, kinds in LEFT_OUT.items()
        },
    }


def _show(read: Read, samples: Samples, seed: int) -> tuple[_Shown, dict[str, Group]]:
    """What is fitted, and the outliers of the patients that are kept back."""
    objects = samples.train[:0] if samples.test_objects is None else samples.test_objects
    known = np.concatenate([samples.train, objects])
    strange = make_negatives(samples.train, per_kind=min(PER_KIND, len(samples.train)), seed=seed)
    kinds = {kind.kind: _see(read, kind.films, kind.code) for kind in strange}
    kept_back: dict[str, Group] = {}
    if samples.outliers is not None:
        outliers = _see(read, samples.outliers, "OUT_OF_DISTRIBUTION")
        is_shown = _half_of_patients(samples.patients, seed)
        kinds[OUTLIERS], kept_back[OUTLIERS] = outliers.take(is_shown), outliers.take(~is_shown)
    both = np.concatenate([known, vary_films(known, seed=seed)])
    calibrate = np.concatenate([samples.calibrate, vary_films(samples.calibrate, seed=seed + 1)])
    of_train = np.tile(np.arange(len(known)) < len(samples.train), 2)
    truth = np.tile(samples.truth, 2) > 0
    return _Shown(_see(read, both), kinds, _see(read, calibrate), of_train, truth), kept_back


def _judged_groups(read: Read, samples: Samples, seed: int) -> dict[str, Group]:
    films = {"held out": samples.test, "held out, varied": vary_films(samples.test, seed=seed + 2)}
    if samples.full_size is not None:
        films |= {"full size": samples.full_size, "full size, varied": vary_films(samples.full_size, seed=seed + 3)}
    groups = {name: _see(read, planes) for name, planes in films.items()}
    if samples.pictures is not None:
        groups["pictures"] = _see(read, samples.pictures, "NOT_CHEST_XRAY")
    return groups


def _fresh(samples: Samples, per_kind: int, seed: int) -> list[Material]:
    """Pictures of every kind, of films and by numbers that no gate was fitted with."""
    return list(make_negatives(samples.test, per_kind=per_kind, seed=seed + 1000))


def _see(read: Read, films: Films, code: str = "") -> Group:
    outputs = read(films[..., None])
    if outputs.features is None:
        raise ValueError("The version's graph tells no features: it was made before there was a gate.")
    return Group(films, outputs, describe(shrink(films), outputs.features), code)


def _join(groups: Sequence[Group]) -> Group:
    features = [group.outputs.features for group in groups if group.outputs.features is not None]
    logits, activations = (
        np.concatenate([getattr(group.outputs, name) for group in groups]) for name in ("logits", "activations")
    )
    return Group(
        np.concatenate([group.films for group in groups]),
        Outputs(logits, activations, np.concatenate(features)),
        np.concatenate([group.descriptors for group in groups]),
        groups[0].code,
    )


def _half_of_patients(patients: Sequence[str], seed: int) -> NDArray[np.bool_]:
    """For each film, whether its patient is of the half that is shown."""
    names = np.unique(np.asarray(patients))
    half = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
    return np.isin(np.asarray(patients), half)


def _count(gate: Gate, group: Group) -> dict[str, Any]:
    """Shares of the films that the learned gate refuses, and refuses or marks; how many by which code. The rules on pixels,
    which come before it, are counted apart."""
    assert group.outputs.features is not None  # noqa: S101 - for the type alone
    verdicts = gate.judge_films(group.films, group.outputs.features)
    refused = [verdict.code for verdict in verdicts if verdict.code]
    return {
        "films": len(verdicts),
        "refused": len(refused) / len(verdicts),
        "refused_or_marked": float(np.mean([bool(verdict.code) or verdict.is_suspect for verdict in verdicts])),
        "refused_by_rules": float(np.mean([find_fault(film) is not None for film in group.films])),
        "codes": dict(Counter(refused).most_common()),
    }


def _compare_methods(shown: _Shown, gate: Gate, judged: Mapping[str, Group]) -> dict[str, dict[str, dict[str, float]]]:
    """For each method the AUROC of each group of strange films against the held-out ones, and the share of each group above the
    limit that 1 % of the calibration films pass. The gate's own head stands beside them, with the kinds that it was shown."""

    channels = len(gate.directions)

    def rate(score: Score) -> dict[str, dict[str, float]]:
        """By the square roots that the gate takes, not standardised, which none of the methods asks for."""
        return _rate(lambda group: score(group.descriptors[:, :channels], group.outputs.logits), shown, judged)

    fitted = shown.known.take(shown.of_train)
    known = Known(fitted.descriptors[:, :channels], fitted.outputs.logits, shown.truth)
    compared = {name: rate(method(known)) for name, method in METHODS.items()}
    compared["head with negatives"] = _rate(lambda group: gate.scores(group.descriptors)[0], shown, judged)
    return compared


def _rate(score: Callable[[Group], NDArray[Any]], shown: _Shown, judged: Mapping[str, Group]) -> dict[str, dict[str, float]]:
    limit = np.quantile(score(shown.calibrate), FLAG)
    scores = {name: score(group) for name, group in judged.items()}
    held_out = scores["held out"]
    auroc = {
        name: auc(np.repeat([0, 1], [len(held_out), len(scores[name])]), np.concatenate([held_out, scores[name]]))
        for name, group in judged.items()
        if group.code
    }
    return {"auroc": auroc, "refused": {name: float(np.mean(values > limit)) for name, values in scores.items()}}
