"""`compare_recipes`: recipes judged on patients that their networks did not see, as the films are and changed."""

import json
from collections.abc import Container
from hashlib import sha256
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from mlmodel.training.dataset import DataError, LabelledFilm, find_films
from mlmodel.training.progress import Progress
from mlmodel.training.recipe import Recipe, change_recipe, read_recipe
from mlmodel.training.shifts import AS_THEY_ARE, SHIFTS
from mlmodel.training.splits import Part, write_manifest
from mlmodel.training.trial_results import add_result, draw_table, read_results
from mlmodel.training.trials import Comparison, Protocol, find_copies, make_folds, measure_shifts, read_trials
from tests.mlmodel.training_set import TINY_RECIPE, write_films

TRIALS = {"as it is": {}, "wider": {"network": {"widths": [8, 8]}, "seed": 3}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty drawn films of forty patients; those with pneumonia have a bright middle."""
    folder = tmp_path_factory.mktemp("data")
    write_films(folder, patients=40)
    for label, name in (("NORMAL", "person4_virus_1.jpeg"), ("PNEUMONIA", "person5_virus_1.jpeg")):
        (folder / "originals" / label).mkdir(parents=True)
        (folder / "originals" / label / name).write_bytes((folder / label / name).read_bytes())
    (folder / "tiny.json").write_text(json.dumps(TINY_RECIPE))
    (folder / "trials.json").write_text(json.dumps(TRIALS))
    return folder


def compare(data: Path, out: Path, *arguments: str) -> str:
    output = StringIO()
    given = [str(data / "trials.json"), "--data", str(data), "--out", str(out), "--config", str(data / "tiny.json")]
    call_command("compare_recipes", *given, "--folds", "2", "--quiet", *arguments, stdout=output)
    return output.getvalue()


def split_of(data: Path, part: Part, rows: Container[int]) -> bytes:
    """The manifest of a split with these films in the part and the others in train."""
    films = find_films(data)
    parts: list[Part] = [part if index in rows else "train" for index in range(len(films))]
    hashes = [sha256(film.path.read_bytes()).hexdigest() for film in films]
    alone = [LabelledFilm(film.path, film.file, film.label, film.file) for film in films]  # a patient each
    return write_manifest(alone, hashes, range(len(films)), parts)


@pytest.mark.model
@pytest.mark.slow
def test_every_trial_is_judged_on_every_fold_once(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    table = compare(data, out, "--full-size", str(data / "originals"), "--only", "as it is")
    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(result["trial"], result["fold"]) for result in results] == [("as it is", 0), ("as it is", 1)]
    assert sum(result["judged_on"] for result in results) == 60
    wanted = {f"{measure}, {shift}" for measure in ("AUC", "accuracy") for shift in SHIFTS}
    wanted |= {"AUC, contrary", "AUC, opacity drawn", "full size, close", "full size, largest"}
    assert all(set(result["measures"]) == wanted for result in results)
    assert all(result["measures"]["full size, largest"] == 0 for result in results)  # the originals are the films themselves
    assert "| as it is | 2 |" in table
    before = out.read_bytes()
    compare(data, out, "--full-size", str(data / "originals"), "--use", "1", "1")
    assert out.read_bytes().startswith(before)
    added = [json.loads(line) for line in out.read_text().splitlines()[2:]]
    assert [(result["trial"], result["fold"]) for result in added] == [("wider", 1)]


@pytest.mark.model
@pytest.mark.slow
def test_another_recipe_or_other_films_are_no_known_result(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    given = ["--only", "as it is", "--use", "0"]
    compare(data, out, *given)
    (tmp_path / "tiny.json").write_text(json.dumps({**TINY_RECIPE, "learning_rate": 0.001}))
    compare(data, out, *given, "--config", str(tmp_path / "tiny.json"))
    (tmp_path / "split.csv").write_bytes(split_of(data, "test", range(8)))
    table = compare(data, out, *given, "--split", str(tmp_path / "split.csv"))
    results = read_results(out)
    assert [result["recipe"]["learning_rate"] for result in results] == [0.003, 0.001, 0.003]
    assert results[0]["films_sha256"] == results[1]["films_sha256"] != results[2]["films_sha256"]
    assert results[2]["trained_on"] + results[2]["judged_on"] < results[0]["trained_on"] + results[0]["judged_on"]
    assert "| as it is | 1 |" in table


def test_originals_of_films_that_are_left_out_are_left_out_with_them(data: Path, tmp_path: Path) -> None:
    films = find_films(data)
    both = [index for index, film in enumerate(films) if (data / "originals" / film.file).exists()]
    (tmp_path / "split.csv").write_bytes(split_of(data, "test", both[:1]))
    comparison = Comparison(
        data,
        Protocol(folds=2),
        Progress(quiet=True),
        full_size=data / "originals",
        split=tmp_path / "split.csv",
        cache=tmp_path,
    )
    assert [film.file for film in comparison.originals] == [films[both[1]].file]
    assert [comparison.films[row].file for row in comparison.small] == [films[both[1]].file]


@pytest.mark.model
def test_originals_of_every_film_leave_none_to_train_with(data: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="leave too few patients"):
        compare(data, tmp_path / "results.jsonl", "--full-size", str(data))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "nothing"], "There is no trial nothing"),
        (["--use", "2"], "The folds are 0 to 1"),
        (["--one-in", "0"], "one_in is at least 1"),
        (["--full-size", "nowhere"], "nowhere"),
    ],
)
@pytest.mark.model
def test_what_cannot_be_compared_is_said_in_a_line(data: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        compare(data, tmp_path / "results.jsonl", *arguments)
    assert not (tmp_path / "results.jsonl").exists()


@pytest.mark.model
def test_a_file_of_other_things_is_not_added_to(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "letter.txt"
    for text in ("Dear colleague\n", "Dear colleague", '{"patient": 1}\n'):
        out.write_text(text)
        with pytest.raises(CommandError, match="something else than results"):
            compare(data, out)
        assert out.read_text() == text


@pytest.mark.model
def test_where_nothing_can_be_written_is_said_before_the_work(data: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="could not be written"):
        compare(data, tmp_path / "nowhere" / "results.jsonl")


def test_a_line_that_was_cut_off_is_found_again_and_replaced(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    results = [{"trial": name, "fold": 0} for name in ("one", "two", "three")]
    add_result(out, results[0])
    whole = out.read_bytes()
    add_result(out, results[1])
    out.write_bytes(out.read_bytes()[: len(whole) + 12])
    assert read_results(out) == results[:1]
    add_result(out, results[2])
    assert read_results(out) == [results[0], results[2]]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"a": 1}'])
def test_trials_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "trials.json").write_text(text)
    with pytest.raises(ValueError, match=r"trials\.json"):
        read_trials(tmp_path / "trials.json", Recipe(), "none")


def test_a_trial_differs_where_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "trials.json").write_text(json.dumps({"deep": {"network": {"blocks": [3, 4, 6]}, "weights": "imagenet"}}))
    (trial,) = read_trials(tmp_path / "trials.json", change_recipe(Recipe(), {"network": {"input_size": 96}}), "none")
    assert (trial.recipe.network.blocks, trial.recipe.network.input_size, trial.weights) == ((3, 4, 6), 96, "imagenet")
    (tmp_path / "trials.json").write_text(json.dumps({"deep": {"depth": 50}}))
    with pytest.raises(ValueError, match="deep: There is no setting depth"):
        read_trials(tmp_path / "trials.json", Recipe(), "none")
    (tmp_path / "trials.json").write_text(json.dumps({"deep": {"epochs": {"most": 50}}}))
    with pytest.raises(ValueError, match="deep: epochs"):
        read_trials(tmp_path / "trials.json", Recipe(), "none")


def test_the_trials_that_come_with_the_project_can_be_run() -> None:
    trials = read_trials(Path("mlmodel/training/trials.json"), read_recipe("default"), "none")
    assert trials[0].recipe == read_recipe("default")
    assert len({str(trial) for trial in trials}) == len(trials) > 10


def test_no_patient_is_on_two_sides_of_a_fold() -> None:
    groups = np.repeat(np.arange(200), 3)
    truth = (groups % 3 > 0).astype(np.float32)
    whole = make_folds(truth, groups, Protocol())
    assert sorted(np.concatenate([fold.judge for fold in whole])) == list(range(600))
    for fold in [*whole, *make_folds(truth, groups, Protocol(one_in=3))]:
        sides = [set(groups[rows]) for rows in (fold.train, fold.validate, fold.judge)]
        assert sum(map(len, sides)) == len(set.union(*sides))
    for count in (6, 18, 30):
        with pytest.raises(DataError, match="too few patients"):
            make_folds(truth[:count], groups[:count], Protocol())


def test_only_the_outline_of_the_class_that_is_meant_changes() -> None:
    films = np.random.default_rng(1).integers(0, 255, (4, 48, 48, 1)).astype(np.uint8)
    truth = np.array([0, 1, 0, 1], np.float32)
    changed = {name: (change(films, truth) != films).any(axis=(1, 2, 3)).tolist() for name, change in SHIFTS.items()}
    assert changed[AS_THEY_ARE] == [False] * 4
    assert changed["normals wide"] == [True, False, True, False]
    assert changed["outlines swapped"] == [True] * 4


def test_half_of_the_patients_choose_the_threshold_for_the_others() -> None:
    truth = np.tile(np.array([0, 0, 1, 1], np.float32), 10)
    groups = np.repeat([0, 1], 20)
    plain = np.tile(np.array([-2, -1, 1, 2], np.float32), 10)
    moved = plain - 1.5  # a shift that makes half of the diseased look healthy
    found = measure_shifts({AS_THEY_ARE: plain, "moved": moved}, truth, groups, Protocol(prevalence=0.62))
    assert found[f"AUC, {AS_THEY_ARE}"] == found["AUC, moved"] == 1
    assert found[f"accuracy, {AS_THEY_ARE}"] == 1
    assert found["accuracy, moved"] == pytest.approx(0.5 * 0.62 + 0.38)


def test_an_original_with_no_copy_or_several_is_named(data: Path) -> None:
    films = find_films(data)
    assert find_copies(films, films[3:5]).tolist() == [3, 4]
    with pytest.raises(DataError, match="is the original of no film"):
        find_copies(films[1:], films[:1])
    with pytest.raises(DataError, match="is the original of 2 films"):
        find_copies([*films, films[0]], films[:1])


def test_the_table_has_mean_and_deviation() -> None:
    results = [{"trial": "one", "measures": {"AUC": value}} for value in (0.9, 0.92)]
    assert draw_table([*results, {"trial": "two", "measures": {"AUC": 0.5}}])[2:] == [
        "| one | 2 | 0.9100 ± 0.0141 |",
        "| two | 1 | 0.5000 |",
    ]
