"""Is a version fit to replace the one in service? On the same films, of patients that neither was trained on."""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlmodel.artifact import read_info
from mlmodel.models import Evaluation, ModelVersion
from mlmodel.registry import locate_version
from mlmodel.services.errors import LifecycleError
from mlmodel.services.lifecycle import find_version, suspended_versions
from mlmodel.types import ModelError

PREDICTIONS, SPLIT = "predictions.csv", "split.csv"
LARGEST_MARGIN = 0.05
TOLERATED_REFUSALS = 0.02  # share of the films that a candidate may refuse beyond those that the active version refuses
KEPT_APART = frozenset({"test"})


@dataclass(frozen=True, slots=True)
class Judgement:
    """What speaks against a version, one sentence each, and how it compares (plain JSON)."""

    objections: list[str] = field(default_factory=list)
    comparison: dict[str, Any] = field(default_factory=dict)


def judge_version(row: ModelVersion, in_service: str, margin: float | None = None) -> Judgement:
    """Not stopped, calibrated, evaluated on the films that the version in service was evaluated on, not trained on them, and
    by all evidence not worse there by more than `margin` in AUC (by default the comparison's own). Raises `LifecycleError` for
    a margin out of range."""
    if margin is not None and not 0 <= margin <= LARGEST_MARGIN:
        raise LifecycleError(f"--margin is a difference in AUC from 0 to {LARGEST_MARGIN}. Received: {margin}")
    if row.version == in_service:  # it was suspended, and is compared with no other
        return Judgement(_objections_to_suspended(row.version))
    objections = _objections_to_suspended(row.version)
    if read_info(locate_version(row.version).path).calibration.get("method") == "none":
        objections.append(f"{row.version} is not calibrated.")
    pair = _common_evaluation(row.version, in_service)
    if pair is None:
        return Judgement([*objections, _missing_evaluation(row.version, in_service)])
    comparison, worse = _compare(*pair, margin)
    if more := _refused_more(*pair):
        objections.append(f"{row.version} refuses {more} more of the films than {in_service}.")
    if seen := _films_seen(row.version, pair[0]):
        objections.append(f"{seen} films of the evaluation were in the training of {row.version}.")
    if worse:
        objections.append(
            f"{row.version} may be worse than {in_service} on the same {comparison['patients']} patients: {worse}."
        )
    return Judgement(objections, {**comparison, "data_sha256": pair[0].data_sha256, "against": in_service})


def _objections_to_suspended(version: str) -> list[str]:
    at = suspended_versions().get(version)
    return [f"The stop rule took {version} out of service on {at:%Y-%m-%d %H:%M} UTC."] if at else []


def _common_evaluation(version: str, in_service: str) -> tuple[Evaluation, Evaluation] | None:
    """Of both versions on the same films; the newest that has its predictions still."""
    find_version(in_service)  # or evaluate_model would have no row to keep its result under
    known = {row.data_sha256: row for row in Evaluation.objects.filter(version=in_service)}
    for row in Evaluation.objects.filter(version=version).order_by("-created_at"):
        other = known.get(row.data_sha256)
        if other and all((Path(one.directory) / PREDICTIONS).is_file() for one in (row, other)):
            return row, other
    return None


def _missing_evaluation(version: str, in_service: str) -> str:
    judged = set(Evaluation.objects.filter(version__in=[version, in_service]).values_list("version_id", flat=True))
    missing = [name for name in (version, in_service) if name not in judged] or [version, in_service]
    commands = " and ".join(f"evaluate_model --data DIR --version {name}" for name in missing)
    return f"There is no evaluation of {version} and {in_service} on the same films: run {commands}, with the same DIR."


def _compare(candidate: Evaluation, active: Evaluation, margin: float | None) -> tuple[dict[str, Any], str]:
    """The comparison as JSON, and in what the candidate is worse (empty where it is not)."""
    from mlmodel.evaluation.compare import compare_predictions

    paths = [Path(row.directory) / PREDICTIONS for row in (candidate, active)]
    try:
        found = compare_predictions(*paths) if margin is None else compare_predictions(*paths, margin=margin)
    except (OSError, ValueError) as error:
        raise LifecycleError(f"The evaluations cannot be compared: {error}") from error
    return found.as_dict(), "; ".join(found.worse)


def _refused_more(candidate: Evaluation, active: Evaluation) -> int:
    """Films that the candidate refuses and the active version reads, less the other way round; 0 up to a tolerated share.

    The comparison is of films that both read: without this a version could win by refusing what is hard.
    """
    both = [_read_rows(Path(row.directory) / PREDICTIONS) for row in (candidate, active)]
    more = int.__sub__(*(sum(1 for film in films if film.get("outcome") == "refusal") for films in both))
    return more if more > TOLERATED_REFUSALS * len(both[0]) else 0


def _films_seen(version: str, evaluation: Evaluation) -> int:
    """Films of the evaluation that the version's own split does not keep apart; 0 where either list is not there."""
    try:
        split = _read_rows(locate_version(version).path / SPLIT)
        judged = _read_rows(Path(evaluation.directory) / PREDICTIONS)
    except (ModelError, OSError, csv.Error):
        return 0
    used = {row.get("sha256") for row in split if row.get("part") not in KEPT_APART}
    return sum(1 for row in judged if row.get("sha256") in used)


def _read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
