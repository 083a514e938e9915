"""`predict`: the model without portal, database or Redis."""

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from tests.mlmodel.films import draw_uint8, png

pytestmark = pytest.mark.model
ROOT = Path(__file__).resolve().parents[2]
FIELDS = {"file", "outcome", "code", "probability", "label", "threshold", "model_version", "milliseconds"}
MARKS = {"flags", "heat_in_lung"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    films = tmp_path / "films"
    films.mkdir()
    (films / "a.png").write_bytes(png(draw_uint8(1)))
    (films / "b.jpeg").write_bytes(b"no picture")
    (films / "notes.txt").write_text("not a film")
    return films


@pytest.fixture(autouse=True)
def _tiny_version(tiny_artifact: Path, settings: Settings, db: None) -> None:
    settings.MODEL_DIR, settings.MODEL_ENGINE = tiny_artifact.parent, "openvino"


def predict(*arguments: str) -> str:
    output = StringIO()
    call_command("predict", *arguments, "--version", "7.0.0", stdout=output)
    return output.getvalue()


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_has_one_line_per_film_of_a_folder(folder: Path) -> None:
    finding, refusal = rows(predict(str(folder), "--json"))
    assert set(finding) >= FIELDS | MARKS
    assert set(refusal) >= FIELDS | MARKS
    assert (refusal["flags"], refusal["heat_in_lung"]) == ([], None)
    assert (finding["heat_in_lung"] is None) == (finding["label"] == "NORMAL")
    assert (Path(finding["file"]).name, finding["outcome"], finding["model_version"]) == ("a.png", "finding", "7.0.0")
    assert finding["label"] == ("PNEUMONIA" if finding["probability"] >= finding["threshold"] else "NORMAL")
    assert (Path(refusal["file"]).name, refusal["outcome"], refusal["code"]) == ("b.jpeg", "refusal", "UNSUPPORTED_FORMAT")
    assert refusal["probability"] is None


def test_a_missing_file_is_an_error_line_and_the_others_are_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = StringIO()
    with pytest.raises(SystemExit) as caught:
        call_command("predict", str(folder / "none.png"), str(folder / "a.png"), "--json", "--version", "7.0.0", stdout=output)
    assert caught.value.code == 1
    assert [row["outcome"] for row in rows(output.getvalue())] == ["error", "finding"]


def test_the_screen_shows_words(folder: Path) -> None:
    shown = predict(str(folder))
    assert "Pneumonia detected" in shown or "Pneumonia not detected" in shown
    assert "UNSUPPORTED_FORMAT" in shown
    assert "not for diagnosis" in shown


def test_heatmaps_are_written_for_findings_alone(folder: Path, tmp_path: Path) -> None:
    predict(str(folder), "--heatmap", str(tmp_path / "maps"))
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["a.png.heatmap.png"]


def test_an_unknown_version_is_one_line() -> None:
    with pytest.raises(CommandError, match="There is no version"):
        call_command("predict", "x.png", "--version", "9.9.9")


def test_it_works_without_a_database(folder: Path, tiny_artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.sqlite3").write_text("this is no database" * 99)
    settings = {"MODEL_DIR": str(tiny_artifact.parent), "DATABASE_URL": f"sqlite:///{tmp_path}/broken.sqlite3"}
    run = subprocess.run(
        [sys.executable, "manage.py", "predict", str(folder / "a.png"), "--json", "--version", "7.0.0"],
        cwd=ROOT,
        env={**os.environ, **settings, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert rows(run.stdout)[0]["outcome"] == "finding"
