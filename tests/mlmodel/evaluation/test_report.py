"""The report, the files made of it, and a card that says nothing else."""

import json
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mlmodel.evaluation.card import write_card
from mlmodel.evaluation.card_text import CHOICE, NAMED_ALIKE, OF_OTHERS, OF_PUBLISHED, PUBLISHED
from mlmodel.evaluation.compare import compare_readings
from mlmodel.evaluation.plots import draw_figures
from mlmodel.evaluation.readings import Reading, hash_data
from mlmodel.evaluation.report import build_report
from mlmodel.evaluation.store import render_files, write_files
from mlmodel.evaluation.subgroups import traits_of
from tests.mlmodel.evaluation.test_compare import draw_readings

METRICS = ("auc", "accuracy", "sensitivity", "specificity", "precision", "f1", "ece", "brier")
METADATA: dict[str, Any] = {
    "version": "3.1.4",
    "created_at": "2026-02-03T04:05:06+00:00",
    "input_shape": [224, 224, 1],
    "intended_use": {"statement": "Children.", "min_age_years": 1.0, "max_age_years": 5.0, "views": ["AP"]},
    "network": {"blocks": [2, 2, 4], "dropout": 0.3, "head": "linear"},
    "preprocessing": {"size": 224},
    "libraries": {"keras": "3.15.1"},
    "training": {"recipe": {"epochs": 9, "learning_rate": 0.0003, "class_weights": True}, "history": [{}] * 7},
    "calibration": {
        "method": "platt",
        "slope": 0.7,
        "intercept": 0.1,
        "prevalence": 0.62,
        "compared": {"platt": {"nll": 0.12345, "brier": 0.0345, "kept": True}, "beta": {"nll": 0.1301, "brier": 0.0351}},
    },
    "operating_point": {"rule": "sensitivity", "target_sensitivity": 0.95, "threshold": 0.5},
    "data": {
        "parts": {"test": {"films": 471, "patients": 233, "normal": 121, "pneumonia": 350}},
        "sources": {"A clinic": 5216},
        "licences": {"CC BY 4.0": 5216},
    },
}


def with_refusals() -> list[Reading]:
    """Six hundred films, the causes of pneumonia known, five of them without a finding."""
    causes = [("Pneumonia, bacterial",), ("Pneumonia, viral",)]
    readings = [
        replace(one, traits=causes[number % 2] if one.label == "PNEUMONIA" else ())
        for number, one in enumerate(draw_readings(0.5))
    ]
    for number in range(4):
        readings[number] = replace(readings[number], outcome="refusal", code="LATERAL_VIEW", probability=None, predicted="")
    readings[4] = replace(readings[4], outcome="error", code="NOT_OPENED", probability=None, predicted="")
    return readings


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    readings = with_refusals()
    built = build_report(readings, version="3.1.4", threshold=0.5, resamples=100, seed=3)
    compared = compare_readings(readings, draw_readings(1.0), resamples=50).as_dict()
    return json.loads(json.dumps({**built, "comparison": {"version": "3.0.0", **compared}}, allow_nan=False))


def test_the_report_has_every_measure_with_its_interval(report: dict[str, Any]) -> None:
    for name in METRICS:
        assert set(report[name]) == {"value", "low", "high"}
        assert report[name]["low"] <= report[name]["value"] <= report[name]["high"]
    assert sum(map(sum, report["confusion"])) == report["n"] == 595


def test_films_without_a_finding_are_counted_and_wrong_where_every_film_must_be_read(report: dict[str, Any]) -> None:
    assert (report["films"], report["refused"], report["errors"]) == (600, 4, 1)
    assert report["refusals"] == {"LATERAL_VIEW": 4}
    assert report["unreadable"] == {"count": 1, "files": ["4.png"]}
    right = round(report["accuracy"]["value"] * 595)
    assert report["intention_to_read"]["accuracy"]["value"] == pytest.approx(right / 600)


def test_a_cause_of_pneumonia_is_judged_beside_all_normal_films(report: dict[str, Any]) -> None:
    readings = [one for one in with_refusals() if one.probability is not None]
    group = report["subgroups"]["Pneumonia, bacterial"]
    bacterial = [one for one in readings if "Pneumonia, bacterial" in one.traits]
    found = sum(one.predicted == "PNEUMONIA" for one in bacterial)
    assert group["sensitivity"]["value"] == pytest.approx(found / len(bacterial))
    assert group["specificity"]["value"] == pytest.approx(report["specificity"]["value"])
    assert group["n"] == len(bacterial) + report["normal"]


@pytest.mark.parametrize(
    ("file", "extras", "expected"),
    [
        ("person100_bacteria_475.jpeg", {}, ("Pneumonia, bacterial",)),
        ("person1_virus_6.jpeg", {}, ("Pneumonia, viral",)),
        ("NORMAL2-IM-0007-0001.jpeg", {}, ()),
        ("a.png", {"sex": "F", "age_years": "5.9", "device": "DX-1"}, ("Sex, female", "Age, 3 to 5 years", "Device, DX-1")),
        ("a.png", {"sex": "?", "age_years": "old"}, ()),
        ("a.png", {"age_years": "0.5", "cause": "viral"}, ("Pneumonia, viral", "Age, under 1 year")),
    ],
)
def test_subgroups_come_from_names_and_manifest(file: str, extras: dict[str, str], expected: tuple[str, ...]) -> None:
    assert traits_of(file, extras) == expected


def test_the_data_hash_is_of_films_labels_and_patients_alone() -> None:
    readings = draw_readings(0.5, count=10)
    moved = [replace(one, file=f"elsewhere/{one.file}", probability=0.1) for one in reversed(readings)]
    assert hash_data(moved) == hash_data(readings)
    assert hash_data([replace(readings[0], label="NORMAL"), replace(readings[1], label="NORMAL")]) != hash_data(readings[:2])


def test_a_share_without_an_exception_has_an_interval() -> None:
    readings = [one for one in draw_readings(0.5, count=200) if one.label == "NORMAL" or one.predicted == "PNEUMONIA"]
    found = build_report(readings, version="1", threshold=0.5, resamples=20)
    sick = {one.patient for one in readings if one.label == "PNEUMONIA"}
    for sensitivity in (found["sensitivity"], found["intention_to_read"]["sensitivity"]):
        assert sensitivity == pytest.approx({"value": 1.0, "low": 0.025 ** (1 / len(sick)), "high": 1.0})


def test_nothing_read_is_no_report() -> None:
    with pytest.raises(ValueError, match="Not one"):
        build_report([replace(one, probability=None) for one in draw_readings(1, count=4)], version="1", threshold=0.5)


def numbers_in(value: Any) -> list[float]:
    """Every number of a JSON value."""
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, int | float):
        return [float(value)]
    if isinstance(value, str):
        return [float(found) for found in re.findall(r"\d+(?:\.\d+)?", value)]
    inner = value.values() if isinstance(value, dict) else value
    return [number for item in inner for number in numbers_in(item)]


def test_every_number_in_the_tables_of_the_card_is_in_the_report_or_the_metadata(report: dict[str, Any]) -> None:
    known = numbers_in(report) + numbers_in(METADATA)
    card = write_card(report, METADATA, ["roc.png"])
    cells = [cell for line in card.splitlines() if line.startswith("|") for cell in line.split("|")[2:-1]]
    said = [number for cell in cells for number in re.findall(r"[-+]?\d+(?:\.\d+)?", cell) if "`" not in cell]
    assert len(said) > 100
    for number in said:
        digits = len(number.partition(".")[2])
        assert any(
            round(one * factor, digits) == float(number) or round(-one * factor, digits) == float(number)
            for one in known
            for factor in (1, 100)
        ), number


def test_a_number_that_changes_in_the_report_changes_in_the_card(report: dict[str, Any]) -> None:
    changed = {**report, "auc": {"value": 0.777, "low": 0.766, "high": 0.788}}
    assert "0.777 (0.766 to 0.788)" in write_card(changed, METADATA)
    assert "0.777" not in write_card(report, METADATA)


def test_methods_of_calibration_stand_by_their_simplicity_with_the_rule_that_chose(report: dict[str, Any]) -> None:
    card = write_card(report, METADATA)
    assert card.index("| Platt scaling | 0.1235 | 0.0345 | kept |") < card.index("| beta calibration |") < card.index(CHOICE)
    assert "assumes that 62 % of the films" in card
    assert CHOICE not in write_card(report, {**METADATA, "calibration": {"method": "none"}})


def test_the_card_tells_a_radiologist_what_matters(report: dict[str, Any]) -> None:
    card = write_card(report, METADATA, ["roc.png"])
    for section in (
        "Intended use",
        "Not intended",
        "Data",
        "Calibration",
        "Performance",
        "Subgroups",
        "Known limits",
        "Ethical",
    ):
        assert re.search(rf"^##+ {section}", card, re.MULTILINE), section
    assert "![ROC curve" in card
    assert "reliability.png" not in card
    # Every item of CLAIM 2024 stands somewhere, if only to say that it was not done
    items = {int(item) for found in re.findall(r"\[([\d, ]+)\]", card) for item in found.split(",")}
    assert items == set(range(1, 45))


@pytest.mark.parametrize(
    ("sources", "published", "others"),
    [
        ({}, False, True),
        ({"A clinic": 9}, False, True),
        ({f"{PUBLISHED}, Cell 2018": 471}, True, False),
        ({f"{PUBLISHED}, Cell 2018": 470}, True, True),
        ({f"{PUBLISHED}, Cell 2018": 400, "signed review": 71}, True, True),
    ],
)
def test_a_card_says_of_films_what_holds_for_their_source(
    report: dict[str, Any], sources: dict[str, int], published: bool, others: bool
) -> None:
    card = write_card(report, {**METADATA, "data": {**METADATA["data"], "sources": sources}})
    for sentences, expected in ((OF_PUBLISHED, published), (OF_OTHERS, others)):
        for sentence in (*sentences.limits, *sentences.ethics, *sentences.not_covered):
            assert (sentence in card) == expected, sentence
    items = {int(item) for found in re.findall(r"\[([\d, ]+)\]", card) for item in found.split(",")}
    assert items == set(range(1, 45))


def test_an_evaluation_on_films_of_the_training_says_so_on_the_card(report: dict[str, Any]) -> None:
    assert "flatter" in write_card({**report, "training_overlap": {"train": 3, "test": 2}}, METADATA)
    assert "flatter" not in write_card({**report, "training_overlap": {"test": 2}, "training_patients": 0}, METADATA)
    assert f"**4 other films: {NAMED_ALIKE}**" in write_card({**report, "training_patients": 4}, METADATA)


def test_a_card_can_be_written_of_metadata_that_say_little(report: dict[str, Any]) -> None:
    assert "not stated" in write_card(report, {"version": "1.0.0"})


def test_the_files_are_whole_pictures_and_plain_json(report: dict[str, Any], tmp_path: Path) -> None:
    files = render_files(with_refusals(), report, METADATA)
    write_files(tmp_path / "out", files)
    expected = {
        "evaluation.json",
        "predictions.csv",
        "card.md",
        "roc.png",
        "precision_recall.png",
        "reliability.png",
        "confusion.png",
    }
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == report
    for name in expected:
        if name.endswith(".png"):
            assert Image.open(BytesIO(files[name])).width > 300


def test_no_label_of_a_picture_is_cut_off() -> None:
    readings = draw_readings(0.5)
    pictures = draw_figures(readings, build_report(readings, version="1", threshold=0.5, resamples=20))
    for name, content in pictures.items():
        grey = np.asarray(Image.open(BytesIO(content)).convert("L"))
        edges = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
        assert edges.min() == 255, f"{name} reaches the edge"


def test_copies_stand_in_the_card_where_a_recipe_makes_some(report: dict[str, Any]) -> None:
    recipe = {"disguise": 0.5, "reoutline": 0.0, "retone": 0.0, "resharpen": 0.0}
    none = write_card(report, {**METADATA, "training": {"recipe": recipe}})
    some = write_card(report, {**METADATA, "training": {"recipe": {**recipe, "retone": 1.0}}})
    assert "copies" not in none
    assert "| Share of films taken from copies whose habits say less of the class | 0.5 |" in some


@pytest.mark.parametrize(
    ("counts", "said"), [([9], "9 epochs;"), ([12, 12, 12], "12 epochs each;"), ([9, 12, 7], "9, 12 and 7 epochs;")]
)
def test_the_card_says_how_long_each_network_was_trained(report: dict[str, Any], counts: list[int], said: str) -> None:
    members: list[dict[str, Any]] = [{"training": {"history": [{}] * count}} for count in counts]
    training = {"members": members} if len(members) > 1 else members[0]["training"]
    assert f"Trained for {said}" in write_card(report, {**METADATA, "training": training})


def test_the_card_says_when_as_readers_write_it(report: dict[str, Any]) -> None:
    card = write_card({**report, "created_at": "2026-11-27T01:30:00+02:00"}, METADATA)
    assert "| Trained | 3 February 2026, 04:05 UTC |" in card
    assert "| Evaluated | 26 November 2026, 23:30 UTC |" in card


def test_the_card_says_what_became_of_drawn_opacities(report: dict[str, Any]) -> None:
    drawn = {"films": 41, "found": {"value": 0.5366, "low": 0.375, "high": 0.6875}}
    assert "Of 41 such films, 53.7 % (37.5 to 68.8) are then called pneumonia." in write_card(
        report, {**METADATA, "drawn_opacities": drawn}
    )
    for none in ({}, {"drawn_opacities": {"films": 0, "found": {}}}):
        assert "are then called pneumonia" not in write_card(report, {**METADATA, **none})


@pytest.mark.parametrize("turned", [False, True])
def test_settings_in_which_joined_networks_differ_stand_side_by_side(report: dict[str, Any], turned: bool) -> None:
    recipes: list[dict[str, Any]] = [{"seed": 1, "opacify": 0.2}, {"seed": 2, "opacify": 0.2}, {"seed": 1}]
    said = "none; 0.2; 0.2" if turned else "0.2; 0.2; none"
    recipes = recipes[::-1] if turned else recipes
    members = [{"training": {"recipe": {**recipe, "epochs": 12}}} for recipe in recipes]
    card = write_card(report, {**METADATA, "training": {"recipe": members[0]["training"]["recipe"], "members": members}})
    assert "| Epochs at most | 12 |" in card
    assert "| Seed | 1; 2; 1 |" in card
    assert f"| Share of normal films given a drawn opacity, to be read as pneumonia | {said} |" in card
