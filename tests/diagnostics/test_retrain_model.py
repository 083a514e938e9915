"""`retrain_model`: from signed reviews to a candidate, and nothing done where there is nothing to do."""

import fcntl
import json
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from diagnostics.models import Case, Review
from diagnostics.services.retraining import HOME, LOCK, PLAN, Plan, RetrainingError, Workplace, next_version, unshown_films
from diagnostics.services.reviews import record_review
from mlmodel.artifact import read_metadata
from mlmodel.models import Evaluation, ModelVersion
from mlmodel.registry import newest_shipped
from tests.diagnostics.cases import make_case, upload
from tests.mlmodel.films import png
from tests.mlmodel.training_set import TINY_RECIPE, labelled_film, write_films

pytestmark = pytest.mark.django_db


def sign(doctor: User, count: int, *, first: int = 1000) -> None:
    """Films with signed findings."""
    for number in range(first, first + count):
        case = upload(doctor, labelled_film(number)).case
        Case.objects.filter(pk=case.pk).update(state="failed", failure_code="INTERNAL", finished_at=timezone.now())
        case.refresh_from_db()
        record_review(case=case, reviewer=doctor, finding="PNEUMONIA" if number % 2 else "NO_PNEUMONIA", sign=True)


def retrain(*arguments: str) -> dict[str, Any]:
    output = StringIO()
    call_command("retrain_model", "--json", *arguments, stdout=output)
    done: dict[str, Any] = json.loads(output.getvalue())
    return done


@pytest.fixture(autouse=True)
def _own_models(tmp_path: Path, settings: Settings) -> None:
    settings.MODEL_DIR = tmp_path / "models"


@pytest.mark.parametrize(
    ("active", "known", "expected"),
    [
        ("1.1.0", set(), "1.2.0+20261123"),
        ("1.1.0", {"1.2.0+20261001", "1.10.0", ".retraining"}, "1.11.0+20261123"),
        ("2.0.0+20260101", {"1.7.0"}, "2.1.0+20261123"),
    ],
)
def test_the_next_version_has_a_minor_number_of_its_own(active: str, known: set[str], expected: str) -> None:
    assert next_version(active, known, "20261123") == expected


def test_a_version_without_a_number_is_not_counted_on_from() -> None:
    with pytest.raises(RetrainingError, match="no number"):
        next_version("stub", set(), "20261123")


def test_with_too_few_new_films_nothing_is_done(doctor: User) -> None:
    sign(doctor, 2)
    done = retrain("--min-new", "3")
    assert (done["status"], done["new_films"]) == ("nothing to do", 2)
    assert not ModelVersion.objects.exists()


def test_films_that_an_earlier_run_learnt_from_are_not_new(doctor: User, settings: Settings) -> None:
    sign(doctor, 3)
    until = Review.objects.order_by("signed_at")[1].signed_at
    assert until is not None
    home = Path(settings.MODEL_DIR) / HOME
    home.mkdir(parents=True)
    (home / "last.json").write_text(json.dumps({"version": "1.1.0", "signed_until": until.isoformat()}))
    assert retrain("--min-new", "5")["new_films"] == 1


def test_a_second_run_at_the_same_time_does_nothing(settings: Settings) -> None:
    home = Path(settings.MODEL_DIR) / HOME
    home.mkdir(parents=True)
    with (home / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert retrain()["status"] == "busy"


@pytest.mark.parametrize("option", ["--base-data", "--outliers", "--test-objects"])
def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path, option: str) -> None:
    with pytest.raises(CommandError, match="There is no"):
        retrain(option, str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("named", "unshown"), [({}, ["outliers", "test_objects"]), ({"outliers": "/a"}, ["test_objects"])], ids=["none", "outliers"]
)
def test_films_that_the_shipped_gate_knows_and_a_run_is_not_shown_are_named(
    doctor: User, capsys: pytest.CaptureFixture[str], named: dict[str, str], unshown: list[str]
) -> None:
    assert unshown_films(Plan("1.9.0+20261123", newest_shipped().name, "", 8, "", **named)) == unshown
    if not named:
        sign(doctor, 1)
        with (
            mock.patch("diagnostics.services.retraining.train", side_effect=RetrainingError("enough")),
            pytest.raises(CommandError),
        ):
            retrain("--min-new", "1")
        assert "see --outliers and --test-objects" in capsys.readouterr().err


def test_a_run_whose_films_cannot_be_exported_is_dropped(doctor: User, settings: Settings) -> None:
    case = make_case(doctor, state="failed")
    record_review(case=case, reviewer=doctor, finding="PNEUMONIA", sign=True)
    with pytest.raises(CommandError, match="no signed review whose film can be exported"):
        retrain("--min-new", "1")
    place = Workplace(Path(settings.MODEL_DIR))
    assert place.read_plan() is None
    assert not place.work.exists()


def test_a_run_that_is_dropped_leaves_no_checkpoint_that_fits_no_later_run(settings: Settings) -> None:
    place = Workplace(Path(settings.MODEL_DIR))
    plan = Plan("1.2.0+20261123", "1.1.0", "", 8, "")
    place.home.mkdir(parents=True)
    place.begin(plan)
    (place.out / ".1.2.0+20261123-checkpoint.npz").write_bytes(b"of these films")
    place.abandon(plan)
    assert [path.name for path in place.out.iterdir()] == [HOME]
    assert list(place.home.iterdir()) == []


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Sixty films to train on besides."""
    write_films(tmp_path / "base")
    (tmp_path / "tiny.json").write_text(json.dumps(TINY_RECIPE))
    return tmp_path / "base"


@pytest.mark.model
@pytest.mark.slow
def test_signed_films_become_a_candidate_beside_the_version_in_service(
    doctor: User, base: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Path(settings.MODEL_DIR) / "1.1.0"
    config = f"--config={base.parent / 'tiny.json'}"
    strangers = base.parent / "strangers"
    strangers.mkdir()
    for number in range(6):
        (strangers / f"{number}.png").write_bytes(png(np.full((160, 160), 40 * number, np.uint8)))
    asked = ["--operating-point=cost", "--cost-ratio=4", "--prevalence=0.3", f"--outliers={strangers}"]
    call_command("train_model", f"--data={base}", f"--out={first}", config, *asked, "--quiet", "--register", stdout=StringIO())
    ModelVersion.objects.update(state="active", activated_at=timezone.now())
    sign(doctor, 8)
    named = ["--base-data", str(base), "--outliers", str(strangers)]
    interrupt(monkeypatch, lambda: retrain(*named, "--min-new", "8", config))
    planned = Workplace(Path(settings.MODEL_DIR)).read_plan()
    assert planned is not None
    done = retrain("--min-new", "8", config)
    assert (done["status"], done["version"], done["new_films"]) == ("trained", planned.version, 8)
    assert ModelVersion.objects.get(version="1.1.0").state == "active"
    assert ModelVersion.objects.get(version=planned.version).state == "candidate"
    judged = read_metadata(Path(settings.MODEL_DIR) / planned.version)
    assert (judged["operating_point"]["rule"], judged["operating_point"]["cost_ratio"]) == ("cost", 4.0)
    assert judged["calibration"]["prevalence"] == pytest.approx(0.3)
    assert judged["gate"]["fitted_on"]["outliers"] == 6
    kept = parts_of(first)
    new = parts_of(Path(settings.MODEL_DIR) / planned.version)
    assert len(new) == 68
    assert {film: new[film] for film in kept} == kept
    assert set(Evaluation.objects.values_list("version_id", flat=True)) == {"1.1.0", planned.version}
    assert len(set(Evaluation.objects.values_list("data_sha256", flat=True))) == 1
    home = Path(settings.MODEL_DIR) / HOME
    assert sorted(path.name for path in home.iterdir()) == ["last.json", "lock"]
    assert not (home / PLAN).exists()
    assert retrain("--min-new", "1")["status"] == "nothing to do"


def interrupt(monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    """The run ends between export and training, as if it were killed."""
    with monkeypatch.context() as patch:
        patch.setattr("diagnostics.services.retraining.train", _killed)
        with pytest.raises(KeyboardInterrupt):
            run()


def _killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def parts_of(artifact: Path) -> dict[str, str]:
    """Film by SHA-256 → part."""
    lines = (artifact / "split.csv").read_text().splitlines()
    columns = lines[0].split(",")
    at = columns.index("sha256"), columns.index("part")
    return {row[at[0]]: row[at[1]] for row in (line.split(",") for line in lines[1:])}
