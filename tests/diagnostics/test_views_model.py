"""The model's page: what it says of a version, which files it shows, and who may read it."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from diagnostics.measures import headline_measures, out_of_hundred, subgroup_rows
from diagnostics.model_card import render_card
from mlmodel.artifact import METADATA, REQUIRED, read_metadata, write_artifact
from mlmodel.models import Evaluation, ModelVersion, VersionEvent
from mlmodel.registry import newest_shipped, register_version

PNG = b"\x89PNG stands in for a curve"
REPORT = {
    "n": 630,
    "patients": 342,
    "auc": {"value": 0.9912, "low": 0.984, "high": 0.996},
    "sensitivity": {"value": 0.95, "low": 0.93, "high": 0.97},
    "specificity": {"value": 0.9, "low": 0.85, "high": 0.94},
    "subgroups": {"Cause, viral": {"n": 169, "auc": {"value": 0.98, "low": 0.97, "high": 0.99}}},
}
CARD = (
    "# Model card 7.1.0\n\n## Limits [CLAIM 24]\n\n<b>One</b> hospital.\n\n| a | b |\n|---|--:|\n| x | 1 |\n\n![ROC](roc.png)\n"
)


@pytest.fixture
def version(db: None, tmp_path: Path, settings: Settings) -> Path:
    """An artifact with all its documents, lying where versions are kept."""
    settings.MODEL_DIR = tmp_path / "models"
    metadata = {**read_metadata(newest_shipped()), "version": "7.1.0"}
    del metadata["format_version"], metadata["files"]
    documents = {"card.md": CARD.encode(), "evaluation.json": json.dumps(REPORT).encode(), "roc.png": PNG, "training.png": PNG}
    needed = {"weights.npz": b"w", "serving.xml": b"x", "serving.bin": b"b"}
    return write_artifact(settings.MODEL_DIR / "7.1.0", metadata, {**needed, **documents, "split.csv": b"patients"})


@pytest.fixture
def bare(db: None, tmp_path: Path, settings: Settings) -> Path:
    """An artifact as the first version was: plain numbers, neither card nor evaluation."""
    settings.MODEL_DIR = tmp_path / "models"
    metrics = {"n": 630, "patients": 342, "auc": 0.998, "accuracy": 0.952, "sensitivity": 0.942, "specificity": 0.981}
    confusion = {"threshold": 0.314, "confusion": [[158, 3], [27, 442]]}
    metadata = {**read_metadata(newest_shipped()), "version": "7.0.0", "metrics": {"test": metrics | confusion}}
    del metadata["format_version"], metadata["files"]
    return write_artifact(settings.MODEL_DIR / "7.0.0", metadata, dict.fromkeys(sorted(REQUIRED), b"x"))


@pytest.fixture
def reader(client: Client, doctor: User) -> Client:
    client.force_login(doctor)
    return client


def text_of(client: Client, version: str) -> str:
    answer = client.get(reverse("model:version", args=[version]))
    assert answer.status_code == 200
    return answer.content.decode()


def put_into_service(*versions: str, days_ago: float) -> None:
    """One after the other; the last one that many days ago."""
    for number, version in enumerate(versions):
        at = timezone.now() - timedelta(days=days_ago + len(versions) - 1 - number)
        defaults = {"path": "/nowhere", "sha256": "0" * 64, "threshold": 0.5}
        ModelVersion.objects.get_or_create(version=version, defaults=defaults)
        VersionEvent.objects.create(version_id=version, kind="activated", to_state="active", at=at)


def test_use_comes_before_numbers_and_numbers_before_the_card(reader: Client, version: Path) -> None:
    text = text_of(reader, "7.1.0")
    order = ["What it is for", "What it is not for", "How good it is", "In subgroups", "Limits [CLAIM 24]", "Curves"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    for fact in ("0.991", "0.984 to 0.996", "95.0 %", "93.0 to 97.0", "95 (93 to 97)", "10 (6 to 15)", "630 films", "342"):
        assert fact in text, fact
    assert "no model card" not in text


def test_a_version_without_a_card_says_so_plainly(reader: Client, bare: Path) -> None:
    text = text_of(reader, "7.0.0")
    assert "This version has no model card" in text
    assert "without confidence intervals" in text
    assert "94.2 %" in text


@pytest.mark.parametrize(
    ("facts", "said", "unsaid"),
    [
        ({"created_at": "2026-02-03T04:05:06+00:00"}, "3 February 2026", "2026-02-03"),
        ({"created_at": "some day"}, "At a glance", "Made"),
        ({"training": {"seed": 23, "members": [{}, {}]}}, "2, averaged", "Seed"),
        ({"training": {"seed": 23}}, "Seed", "averaged"),
    ],
)
def test_the_facts_at_a_glance_read_as_people_write_them(
    reader: Client, bare: Path, facts: dict[str, Any], said: str, unsaid: str
) -> None:
    path = bare / METADATA
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))
    text = text_of(reader, "7.0.0")
    assert said in text
    assert unsaid not in text


@pytest.mark.parametrize("who", ["doctor", "radiologist", "admin_user", "operator", "stranger"])
def test_everybody_who_is_logged_in_reads_it(client: Client, who: str, request: pytest.FixtureRequest) -> None:
    client.force_login(request.getfixturevalue(who))
    answer = client.get("/model/")
    assert answer.status_code == 200
    assert "What it is for" in answer.content.decode()


@pytest.mark.parametrize("address", ["/model/", "/model/7.1.0/", "/model/7.1.0/roc.png"])
def test_an_anonymous_visitor_is_sent_to_the_log_in(client: Client, version: Path, address: str) -> None:
    assert client.get(address).headers["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("address", ["/model/", "/model/7.1.0/", "/model/7.1.0/roc.png"])
def test_a_wrong_method_gets_405(reader: Client, version: Path, address: str) -> None:
    assert reader.post(address).status_code == 405


@pytest.mark.parametrize(
    "address",
    [
        "/model/9.9.9/",
        "/model/../",
        "/model/9.9.9/roc.png",
        "/model/7.1.0/confusion.png",
        "/model/7.1.0/split.csv",
        "/model/7.1.0/weights.npz",
        "/model/7.1.0/metadata.json",
        "/model/%2e%2e/roc.png",
    ],
)
def test_what_is_no_version_or_no_figure_of_it_gets_404(reader: Client, version: Path, address: str) -> None:
    assert reader.get(address).status_code == 404


def test_a_figure_is_served_as_a_picture(reader: Client, version: Path) -> None:
    answer = reader.get("/model/7.1.0/roc.png")
    assert (answer.content, answer.headers["Content-Type"]) == (PNG, "image/png")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_figure_that_was_changed_is_not_shown(reader: Client, version: Path) -> None:
    (version / "roc.png").write_bytes(PNG + b"!")
    assert reader.get("/model/7.1.0/roc.png").status_code == 404


@pytest.mark.parametrize("name", ["card.md", "evaluation.json", METADATA])
def test_a_damaged_document_is_said_so_and_nothing_of_it_shown(reader: Client, version: Path, name: str) -> None:
    register_version(version)
    (version / name).write_text('{"auc": 1}')
    answer = reader.get("/model/7.1.0/")
    assert answer.status_code == 503
    assert "missing or damaged" in answer.content.decode()


def test_without_an_evaluation_of_its_own_the_registered_one_is_shown(reader: Client, tmp_path: Path, bare: Path) -> None:
    row = register_version(bare)
    (tmp_path / "card.md").write_text(CARD)
    (tmp_path / "roc.png").write_bytes(PNG)
    common: dict[str, Any] = {"n": 630, "patients": 342, "directory": str(tmp_path)}
    Evaluation.objects.create(version=row, data_sha256="a" * 64, metrics=REPORT, **common)
    text = text_of(reader, "7.0.0")
    assert "0.984 to 0.996" in text
    assert "Limits [CLAIM 24]" in text
    assert reader.get("/model/7.0.0/roc.png").content == PNG


def test_the_history_says_when_each_version_read_films(reader: Client, version: Path) -> None:
    register_version(version)
    put_into_service("1.0.0", "7.1.0", days_ago=3)
    text = text_of(reader, "7.1.0")
    ended = timezone.localtime(timezone.now() - timedelta(days=3))
    assert "as shipped" in text
    assert f"{ended.day} {ended:%b %Y}" in text


@pytest.mark.parametrize(("days", "told"), [(1, True), (13, True), (15, False)])
def test_a_new_version_is_told_on_the_worklist_for_a_fortnight(reader: Client, days: int, told: bool) -> None:
    put_into_service("1.0.0", "1.0.1", days_ago=days)
    assert ("Version 1.0.1 reads films since" in reader.get("/cases/").content.decode()) == told


def test_the_first_version_is_no_change(reader: Client) -> None:
    put_into_service("1.0.0", days_ago=1)
    assert "reads films since" not in reader.get("/cases/").content.decode()


def test_a_cards_own_markup_stays_text_and_its_tables_need_no_style() -> None:
    html = render_card(
        CARD + "\n[x](javascript:alert(1)) ![e](https://elsewhere.example/x.png)", {"roc.png": "/model/7/roc.png"}
    )
    assert "<h1" not in html
    assert "&lt;b&gt;One&lt;/b&gt;" in html
    assert 'src="/model/7/roc.png"' in html
    for forbidden in ("style=", "elsewhere.example", 'href="javascript'):
        assert forbidden not in html


def test_numbers_that_are_missing_or_not_finite_are_left_out() -> None:
    report = {"auc": {"value": float("nan"), "low": None, "high": None}, "accuracy": 0.5, "f1": "high", "ece": True}
    assert [(row.key, row.value, row.interval) for row in headline_measures(report)] == [("accuracy", "50.0 %", "")]
    assert out_of_hundred(report, "sensitivity") == ""
    assert subgroup_rows({"subgroups": "none"}) == []
