"""`evaluate_model`: the real predictor over labelled films."""

import csv
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

from mlmodel.models import Evaluation, ModelVersion
from mlmodel.registry import register_version
from tests.mlmodel.films import draw_uint8, png

pytestmark = [pytest.mark.model, pytest.mark.django_db]
ROOT = Path(__file__).resolve().parents[3]
MEASURES = {"auc", "accuracy", "sensitivity", "specificity", "precision", "f1", "ece", "brier"}
FILES = {"evaluation.json", "predictions.csv", "card.md", "roc.png", "precision_recall.png", "reliability.png", "confusion.png"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten films of nine patients, one of which is no picture."""
    folder = tmp_path / "data"
    names = {
        "NORMAL": ["IM-0001-0001", "IM-0001-0002", "NORMAL2-IM-0007-0001", "IM-0009-0001", "IM-0010-0001"],
        "PNEUMONIA": ["person1_virus_6", "person2_virus_7", "person100_bacteria_475", "person3_bacteria_1"],
    }
    for label, stems in names.items():
        (folder / label).mkdir(parents=True)
        for number, stem in enumerate(stems):
            (folder / label / f"{stem}.png").write_bytes(png(draw_uint8(number + 50 * (label == "NORMAL"))))
    (folder / "PNEUMONIA" / "person4_virus_1.jpeg").write_bytes(b"no picture")
    return folder


@pytest.fixture(autouse=True)
def _tiny_version(tiny_artifact: Path, settings: Settings, tmp_path: Path) -> None:
    settings.MODEL_DIR, settings.MODEL_ENGINE = tiny_artifact.parent, "openvino"


def evaluate(data: Path, *arguments: str) -> dict[str, Any]:
    output = StringIO()
    given = ["--data", str(data), "--version", "7.0.0", "--json", "--quiet", "--bootstrap", "50"]
    call_command("evaluate_model", *given, *arguments, stdout=output, stderr=StringIO())
    return json.loads(output.getvalue())


def test_the_json_has_every_measure_with_its_interval(data: Path) -> None:
    report = evaluate(data)
    for name in MEASURES:
        assert set(report[name]) == {"value", "low", "high"}
    assert (report["n"], report["films"], report["patients"], report["refused"]) == (9, 10, 8, 1)
    assert report["refusals"] == {"UNSUPPORTED_FORMAT": 1}
    assert (report["model_version"], report["threshold"]) == ("7.0.0", 0.5)
    assert sum(map(sum, report["confusion"])) == 9
    assert set(report["subgroups"]) == {"Pneumonia, bacterial", "Pneumonia, viral"}


def test_an_evaluation_registers_a_version_that_only_lies_on_disk_and_one_that_is_written_elsewhere_does_not(
    data: Path, tmp_path: Path
) -> None:
    evaluate(data, "--out", str(tmp_path / "out"))
    assert not Evaluation.objects.exists()
    assert not ModelVersion.objects.exists()
    report = evaluate(data)
    kept = Evaluation.objects.get()
    assert (kept.version_id, kept.data_sha256, kept.n) == ("7.0.0", report["data_sha256"], 9)


def test_what_is_measured_is_what_predict_says(data: Path, tmp_path: Path) -> None:
    evaluate(data, "--out", str(tmp_path / "out"))
    output = StringIO()
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    call_command("predict", str(data), "--json", "--version", "7.0.0", stdout=output)
    for line in output.getvalue().splitlines():
        said = json.loads(line)
        row = rows[Path(said["file"]).relative_to(data).as_posix()]
        if said["probability"] is None:
            assert (row["probability"], row["code"]) == ("", said["code"])
        else:
            # The batches differ in size, which moves the last digits of the half-precision arithmetic
            assert float(row["probability"]) == pytest.approx(said["probability"], abs=0.02)
            assert row["predicted"] == ("PNEUMONIA" if float(row["probability"]) >= said["threshold"] else "NORMAL")


def test_a_folder_that_is_named_gets_every_file(data: Path, tmp_path: Path) -> None:
    report = evaluate(data, "--out", str(tmp_path / "out"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == report
    assert "version 7.0.0" in (tmp_path / "out" / "card.md").read_text()


def test_the_evaluation_of_a_registered_version_is_entered_and_a_repetition_replaces_it(
    data: Path, tiny_artifact: Path, tmp_path: Path, settings: Settings
) -> None:
    register_version(tiny_artifact)
    settings.MODEL_DIR = tmp_path / "models"
    first, second = evaluate(data), evaluate(data, "--seed", "5")
    row = Evaluation.objects.get()
    assert row.version == ModelVersion.objects.get()
    assert (row.data_sha256, row.n, row.patients) == (first["data_sha256"], 9, 8)
    assert row.metrics["seed"] == second["seed"] == 5
    assert Path(row.directory) == tmp_path / "models" / "evaluations" / "7.0.0" / first["data_sha256"][:12]
    assert {path.name for path in Path(row.directory).iterdir()} == FILES


def test_two_versions_are_compared_on_the_same_films(data: Path) -> None:
    comparison = evaluate(data, "--compare", "7.0.0")["comparison"]
    assert (comparison["version"], comparison["films"]) == ("7.0.0", 9)
    assert comparison["auc"]["value"] == 0


def test_a_manifest_names_sex_age_and_device(data: Path, tmp_path: Path) -> None:
    rows = [
        f"{path.relative_to(data)},{path.parent.name},p{number},{'FM'[number % 2]},{number % 6},DX-1"
        for number, path in enumerate(sorted(data.rglob("*.png")))
    ]
    (data / "films.csv").write_text("\n".join(["file,label,patient,sex,age_years,device", *rows]))
    groups = evaluate(data / "films.csv")["subgroups"]
    assert {"Sex, female", "Sex, male", "Age, 1 to 2 years", "Age, 3 to 5 years", "Age, under 1 year", "Device, DX-1"} <= set(
        groups
    )
    assert groups["Device, DX-1"]["n"] == 9


def test_films_of_the_training_are_pointed_out(data: Path, trained_on: Path) -> None:
    errors = StringIO()
    call_command(
        "evaluate_model",
        "--data",
        str(data),
        "--version",
        "7.0.2",
        "--quiet",
        "--bootstrap",
        "10",
        stdout=StringIO(),
        stderr=errors,
    )
    assert "1 of 10 films were used to make this version" in errors.getvalue()
    assert "1 other films are of patients named as some that were used" in errors.getvalue()


@pytest.fixture
def trained_on(data: Path, tiny_artifact: Path, settings: Settings, tmp_path: Path) -> Path:
    """The version 7.0.2, whose split names one of the films."""
    from mlmodel.artifact import hash_file, read_metadata, write_artifact

    metadata = read_metadata(tiny_artifact)
    digest = hash_file(data / "NORMAL" / "IM-0001-0001.png")
    split = f"file,sha256,label,patient,group,part\na,{digest},NORMAL,IM-0001,0,train\n".encode()
    files: dict[str, bytes | Path] = {name: tiny_artifact / name for name in metadata["files"]}
    settings.MODEL_DIR = tmp_path / "versions"
    facts = {**metadata, "version": "7.0.2"}
    return write_artifact(tmp_path / "versions" / "7.0.2", facts, {**files, "split.csv": split})


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("none", "neither a folder nor a manifest"),
        ("one class", "no film of class PNEUMONIA"),
        ("two labels", "same film with two labels"),
        ("unreadable", r"Not one of the 2 films .* could be read \(UNSUPPORTED_FORMAT\)"),
    ],
)
def test_bad_data_is_one_line_and_leaves_nothing(data: Path, tmp_path: Path, harm: str, words: str) -> None:
    folder = tmp_path / "bad"
    films = {"one class": ["NORMAL"], "two labels": ["NORMAL", "PNEUMONIA"], "unreadable": ["NORMAL", "PNEUMONIA"]}
    for label in films.get(harm, []):
        (folder / label).mkdir(parents=True)
        (folder / label / f"{label}.png").write_bytes(label.encode() if harm == "unreadable" else png(draw_uint8(1)))
    with pytest.raises(CommandError, match=words) as caught:
        evaluate(folder, "--out", str(tmp_path / "out"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--version", "9.9.9"), "no version '9.9.9'"),
        (("--compare", "9.9.9"), "no version '9.9.9'"),
        (("--bootstrap", "0"), "at least 1"),
        (("--out", "/proc/nowhere"), "could not be written"),
    ],
)
def test_bad_options_are_one_line(data: Path, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        evaluate(data, *arguments)


def test_a_broken_database_and_a_missing_tensorflow_do_not_stop_it(data: Path, tiny_artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.sqlite3").write_text("this is no database" * 99)
    (tmp_path / "tensorflow.py").write_text("raise ImportError('evaluate_model must not need it')")
    environment = {
        "MODEL_DIR": str(tiny_artifact.parent),
        "DATABASE_URL": f"sqlite:///{tmp_path}/broken.sqlite3",
        "MODEL_ENGINE": "openvino",
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(tmp_path),
    }
    command = ["evaluate_model", "--data", str(data), "--version", "7.0.0", "--json", "--bootstrap", "10"]
    run = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["n"] == 9
