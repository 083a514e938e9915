"""The page of a model version: what it is for, how good it is, where its limits lie, and which versions came before."""

import logging
from datetime import datetime
from typing import Any

from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from diagnostics import measures
from diagnostics.model_card import render_card
from diagnostics.services.versions import suspended_since
from mlmodel import api

CAPTIONS = {
    "roc.png": "Sensitivity against false alarms at every threshold; the operating point is marked.",
    "precision_recall.png": "Share of positive calls that are right, against sensitivity.",
    "reliability.png": "Stated probability against the share of films that do show pneumonia.",
    "confusion.png": "Calls against the reference at the operating point.",
    "training.png": "Loss and area under the ROC curve by epoch of the training.",
}
STATES = {"candidate": "Candidate", "shadow": "In shadow", "active": "In service", "retired": "Retired"}

logger = logging.getLogger(__name__)


@require_safe
def active(request: HttpRequest) -> HttpResponse:
    """The version in service; while there is none, the one that was in it last."""
    return _page(request, _suspended_version())


@require_safe
def version(request: HttpRequest, version: str) -> HttpResponse:
    """A version that the registry knows or that is shipped; 404 for any other."""
    return _page(request, version)


@require_safe
def figure(_request: HttpRequest, version: str, name: str) -> HttpResponse:
    """A curve of a version, if it is the file that the version's metadata name."""
    try:
        content = api.read_figure(version, name)
    except api.ArtifactMissingError as error:
        raise Http404 from error
    except api.ModelError as error:
        logger.error("model %s: figure %s not shown: %s", version, name, error)  # noqa: TRY400 - the reason is in the text
        raise Http404 from error
    response = HttpResponse(content, content_type="image/png")
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, max-age=300"
    return response


def _page(request: HttpRequest, name: str | None) -> HttpResponse:
    try:
        documents = api.read_documents(name)
    except api.ArtifactMissingError as error:
        if name:
            raise Http404 from error
        return _damaged(request, name)
    except api.ModelError as error:
        logger.error("model %s: documents not shown: %s", name or "in service", error)  # noqa: TRY400 - as above
        return _damaged(request, name)
    return render(request, "diagnostics/model.html", _context(documents))


def _damaged(request: HttpRequest, name: str | None) -> HttpResponse:
    return render(request, "diagnostics/model_damaged.html", {"version": name}, status=503)


def _context(documents: api.ModelDocuments) -> dict[str, Any]:
    info, metadata = documents.info, documents.metadata
    figures = {name: reverse("model:figure", args=[info.version, name]) for name in documents.figures}
    report = documents.report or metadata_report(info.metrics)
    return {
        "info": info,
        "state": _state_of(info.version),
        "in_service": _version_in_service(),
        "suspended_since": suspended_since(),
        "suspensions": [one for one in api.suspensions() if one.version == info.version],
        "periods": api.service_periods(),
        "registered": [(row, STATES.get(row.state, row.state)) for row in api.registered_versions()],
        "report": report,
        "measures": measures.headline_measures(report),
        "subgroups": measures.subgroup_rows(report),
        "subgroup_measures": [row[1] for row in measures.HEADLINE if row[0] in measures.OF_SUBGROUPS],
        "found": measures.out_of_hundred(report, "sensitivity"),
        "false_alarms": measures.out_of_hundred(report, "specificity", missed=True),
        # Those that the card itself shows are not shown twice
        "figures": [(name, url, CAPTIONS[name]) for name, url in figures.items() if f"({name})" not in documents.card],
        "card": render_card(documents.card, figures) if documents.card else "",
        "runs": documents.runs,
        "training": metadata.get("training", {}),
        "libraries": metadata.get("libraries", {}),
        "created_at": _moment(metadata.get("created_at")),
    }


def _moment(stamp: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(stamp))
    except ValueError:
        return None


def metadata_report(metrics: dict[str, Any]) -> dict[str, Any]:
    """What a version without an evaluation of its own says of its test films, without intervals."""
    tested = metrics.get("test", metrics)
    return tested if isinstance(tested, dict) else {}


def _version_in_service() -> str:
    try:
        return api.active_model().version
    except api.ModelError:
        return ""


def _suspended_version() -> str | None:
    try:
        return api.versions_in_service().suspended
    except (api.ModelError, DatabaseError):
        return None


def _state_of(name: str) -> str:
    if name == _version_in_service():
        return STATES["active"]
    known = {row.version: row.state for row in api.registered_versions()}
    return STATES.get(known.get(name, ""), "Not in service")
