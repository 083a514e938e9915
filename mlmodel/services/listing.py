"""The registry as an operator reads it."""

from typing import Any

from django.utils import timezone

from mlmodel.artifact import METADATA, hash_file, read_info
from mlmodel.models import Evaluation, ModelVersion, Promotion, VersionEvent
from mlmodel.registry import InService, locate_version, versions_in_service, versions_on_disk
from mlmodel.services.shadowing import agreement_of
from mlmodel.types import ModelError

NOT_REGISTERED = "not registered"
HEADLINE = ("auc", "sensitivity", "specificity", "accuracy", "ece")


def describe_versions() -> list[dict[str, Any]]:
    """Every version that is registered or lies on disk, the newest name first, as plain JSON.

    `in_service` is true for one, also where it serves as shipped without a row; `since` and `by` tell of the latest step;
    `metrics` are `{value, low, high}` of the newest evaluation, or of the training where there is none.
    """
    rows = {row.version: row for row in ModelVersion.objects.prefetch_related("evaluations", "promotions__requested_by")}
    now = versions_in_service()
    events = _latest_events()
    on_disk = versions_on_disk()
    names = [*reversed(on_disk), *sorted(set(rows) - set(on_disk), reverse=True)]
    return [_describe(name, rows.get(name), events.get(name), now) for name in names]


def _describe(version: str, row: ModelVersion | None, event: VersionEvent | None, now: InService) -> dict[str, Any]:
    sha256, problem, trained = _read_artifact(version, row)
    evaluation = next(iter(row.evaluations.all()), None) if row else None
    facts: dict[str, Any] = {
        "version": version,
        "state": row.state if row else NOT_REGISTERED,
        "in_service": version == now.active,
        "suspended_since": now.since.isoformat(timespec="seconds") if now.since and version == now.suspended else None,
        "sha256": sha256,
        "problem": problem,
        "metrics": _headline(evaluation, trained),
        "evaluated_on": {"films": evaluation.n, "patients": evaluation.patients} if evaluation else None,
        "since": (event.at if event else row.created_at).isoformat(timespec="seconds") if row else None,
        "by": _name(event.requested_by) if event else None,
        "approved_by": _name(event.approved_by) if event else None,
        "forced": bool(event and event.forced),
        "waits_for_approval": _describe_promotion(row, now.latest) if row else None,
        "shadow": _describe_shadow(version, now.active or "") if row else None,
    }
    return facts


def _read_artifact(version: str, row: ModelVersion | None) -> tuple[str, str, dict[str, Any]]:
    """Hash of the metadata, what is wrong with them (the other files are not opened here), and the metrics in them."""
    registered = row.sha256 if row else ""
    try:
        path = locate_version(version).path
        info, found = read_info(path), hash_file(path / METADATA)
    except (ModelError, OSError) as error:
        return registered, str(error), row.metrics if row else {}
    problem = "" if registered in {"", found} else "The files are not those that were registered."
    return registered or found, problem, info.metrics


def _headline(evaluation: Evaluation | None, trained: dict[str, Any]) -> dict[str, Any]:
    source = evaluation.metrics if evaluation else trained.get("test", trained)
    return {name: _with_interval(source[name]) for name in HEADLINE if source.get(name) is not None}


def _with_interval(value: Any) -> dict[str, float | None]:
    """Older artifacts keep the value alone."""
    if isinstance(value, dict):
        return {key: value.get(key) for key in ("value", "low", "high")}
    return {"value": float(value), "low": None, "high": None}


def _latest_events() -> dict[str, VersionEvent]:
    events = VersionEvent.objects.select_related("requested_by", "approved_by").order_by("pk")
    return {event.version_id: event for event in events}


def _describe_promotion(row: ModelVersion, in_service: str) -> dict[str, Any] | None:
    for promotion in row.promotions.all():
        valid = promotion.expires_at > timezone.now() and promotion.replaces == in_service
        if promotion.state == Promotion.State.PENDING and valid:
            return {
                "requested_by": _name(promotion.requested_by),
                "expires_at": promotion.expires_at.isoformat(timespec="seconds"),
                "objections": promotion.objections,
            }
    return None


def _describe_shadow(version: str, in_service: str) -> dict[str, Any] | None:
    """What it says beside the version in service; beside none there is nothing to agree with."""
    found = agreement_of(version=version, against=in_service)
    if found is None:
        return None
    return {name: getattr(found, name) for name in found.__slots__ if name != "version"}


def _name(user: Any) -> str | None:
    return user.get_username() if user else None
