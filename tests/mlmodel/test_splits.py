"""A split by patient that stays what it was when films are added."""

import csv
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmodel.training.dataset import DataError, LabelledFilm
from mlmodel.training.splits import (
    PARTS,
    FrozenSplit,
    Part,
    check_labels,
    find_between_parts,
    find_near_duplicates,
    group_films,
    read_split,
    split_groups,
    write_manifest,
)
from tests.mlmodel.films import draw_uint8


def film(number: int, patient: int, label: str = "NORMAL") -> LabelledFilm:
    return LabelledFilm(Path(f"{number}.png"), f"{number}.png", label, f"patient{patient}")


def split(
    films: list[LabelledFilm], *, seed: int = 1, pairs: list[tuple[int, int]] | None = None, frozen: FrozenSplit | None = None
) -> list[Part]:
    return split_groups(films, [one.file for one in films], group_films(films, pairs or []), seed, frozen)


def many(patients: range) -> list[LabelledFilm]:
    return [
        film(number, number // 2, "PNEUMONIA" if number % 8 < 6 else "NORMAL")
        for number in range(2 * patients.start, 2 * patients.stop)
    ]


def test_near_duplicates_are_found_and_others_are_not() -> None:
    films = [draw_uint8(seed, width=64, height=64) for seed in range(6)]
    brighter = np.clip(films[2] * 0.8 + 20, 0, 255).astype(np.uint8)
    assert find_near_duplicates(np.stack([*films, brighter])[..., None]) == [(2, 6)]


def test_a_near_duplicate_joins_the_patients_of_both() -> None:
    films = [film(0, 1), film(1, 1), film(2, 2), film(3, 3)]
    assert group_films(films, [(1, 2)]) == [0, 0, 0, 1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=150), st.integers(0, 5))
def test_no_patient_and_no_near_duplicate_is_in_two_parts(draws: list[tuple[int, bool]], seed: int) -> None:
    films = [film(number, patient, "PNEUMONIA" if sick else "NORMAL") for number, (patient, sick) in enumerate(draws)]
    parts = split(films, seed=seed, pairs=[(0, len(films) - 1)] if len(films) > 1 else [])
    for patient in {one.patient for one in films}:
        assert len({part for one, part in zip(films, parts, strict=True) if one.patient == patient}) == 1
    assert parts[0] == parts[-1]


def test_the_parts_have_their_shares_and_about_the_same_prevalence() -> None:
    films = many(range(4000))
    parts = split(films)
    for part, share in (("train", 0.74), ("validate", 0.08), ("calibrate", 0.09), ("test", 0.09)):
        labels = [one.label for one, where in zip(films, parts, strict=True) if where == part]
        assert len(labels) / len(films) == pytest.approx(share, abs=0.02)
        assert labels.count("PNEUMONIA") / len(labels) == pytest.approx(0.75, abs=0.06)
    assert split(films) == parts
    assert split(films, seed=2) != parts


def test_films_that_are_added_leave_known_patients_in_their_part() -> None:
    before = split(many(range(300)))
    after = split(many(range(600)))
    assert after[: len(before)] == before


def test_a_handful_of_patients_fills_every_part_with_both_classes() -> None:
    films = [film(number, number, "PNEUMONIA" if number % 2 else "NORMAL") for number in range(16)]
    parts = split(films)
    assert {(one.label, part) for one, part in zip(films, parts, strict=True)} == {
        (label, part) for label in ("NORMAL", "PNEUMONIA") for part in PARTS
    }


def test_a_frozen_split_rules_for_known_films_and_patients() -> None:
    films = many(range(100))
    frozen = FrozenSplit({films[0].file: "test"}, {"patient5": "calibrate", "patient6": "train"})
    parts = dict(zip([one.patient for one in films], split(films, frozen=frozen), strict=True))
    assert (parts["patient0"], parts["patient5"], parts["patient6"]) == ("test", "calibrate", "train")


def test_a_renamed_patient_is_known_by_the_film() -> None:
    films = many(range(20))
    frozen = FrozenSplit({films[0].file: "validate"}, {})
    renamed = [replace(one, patient=f"other{one.patient}") for one in films]
    assert split(renamed, frozen=frozen)[:2] == ["validate", "validate"]


def test_a_new_near_duplicate_of_a_film_that_judges_is_not_trained_on() -> None:
    films = [film(0, 0), film(1, 1), film(2, 2)]
    frozen = FrozenSplit({}, {"patient0": "train", "patient1": "test"})
    assert split(films, pairs=[(0, 2), (1, 2)], frozen=frozen) == ["train", "test", "test"]


def test_a_copy_of_a_film_of_another_part_moves_no_patient() -> None:
    """Patient 0 was trained on; one more film of theirs is, byte for byte, a film that judges."""
    films = [film(0, 0), film(1, 1), film(2, 0)]
    hashes, pairs = ["a", "b", "b"], [(1, 2)]
    frozen = FrozenSplit({"a": "train", "b": "test"}, {"patient0": "train", "patient1": "test"})
    parts = split_groups(films, hashes, group_films(films, pairs), 1, frozen)
    assert parts == ["train", "test", "train"]
    assert find_between_parts(hashes, parts, pairs, frozen) == [2]


@pytest.mark.parametrize("hashes", [["a", "b"], ["b", "a"]])
def test_a_patient_of_films_from_two_parts_has_the_one_that_judges(hashes: list[str]) -> None:
    """And what was trained on is left out of it."""
    films = [film(0, 7), film(1, 7)]
    frozen = FrozenSplit({"a": "train", "b": "test"}, {})
    parts = split_groups(films, hashes, [0, 0], 1, frozen)
    assert parts == ["test", "test"]
    assert find_between_parts(hashes, parts, [], frozen) == [hashes.index("a")]


@pytest.mark.parametrize(("film_in", "patient_in"), [("test", "train"), ("train", "test")])
def test_a_film_that_changed_its_patient_does_not_change_its_part(film_in: Part, patient_in: Part) -> None:
    films, hashes = [film(0, 0), film(1, 0)], ["a", "b"]
    frozen = FrozenSplit({"a": patient_in, "b": film_in}, {"patient0": patient_in, "patient9": film_in})
    parts = split_groups(films, hashes, [0, 0], 1, frozen)
    assert parts == [patient_in, patient_in]
    assert find_between_parts(hashes, parts, [], frozen) == [1]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=20),
    st.lists(st.integers(0, 15), min_size=1, max_size=20),
    st.lists(st.tuples(st.integers(0, 39), st.integers(0, 19)), max_size=12),
)
def test_no_film_that_stays_is_nearly_the_same_as_one_of_another_part(
    known: list[int], new: list[int], ties: list[tuple[int, int]]
) -> None:
    films = [film(number, patient) for number, patient in enumerate([*known, *new])]
    hashes = [one.file for one in films]
    before = split(films[: len(known)])
    frozen = FrozenSplit(
        dict(zip(hashes, before, strict=False)), dict(zip([one.patient for one in films], before, strict=False))
    )
    pairs = [(one % len(films), len(known) + other % len(new)) for one, other in ties]
    parts = split(films, pairs=pairs, frozen=frozen)
    assert parts[: len(known)] == before
    left_out = set(find_between_parts(hashes, parts, pairs, frozen))
    assert all(index >= len(known) for index in left_out)
    assert all(parts[one] == parts[other] for one, other in pairs if not left_out & {one, other})


def test_the_manifest_freezes_the_split_and_says_where_films_come_from(tmp_path: Path) -> None:
    extras = {"0.png": {"source": "Clinic A", "licence": "CC BY 4.0"}}
    manifest = write_manifest([film(0, 1), film(1, 2)], ["ab", "cd"], [7, 8], ["test", "train"], extras)
    rows = list(csv.DictReader(StringIO(manifest.decode())))
    origin = {"source": "Clinic A", "licence": "CC BY 4.0"}
    assert (
        rows[0]
        == {"file": "0.png", "sha256": "ab", "label": "NORMAL", "patient": "patient1", "group": "7", "part": "test"} | origin
    )
    (tmp_path / "split.csv").write_bytes(manifest)
    assert read_split(tmp_path / "split.csv") == FrozenSplit(
        {"ab": "test", "cd": "train"}, {"patient1": "test", "patient2": "train"}, {"ab": origin, "cd": {}}
    )


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("f,s1,NORMAL,p,test\ng,s2,NORMAL,p,train\n", "patient p in test and in train"),
        ("f,s1,NORMAL,p,test\ng,s1,PNEUMONIA,q,test\n", "gives g two labels"),
        ("f,s1,NORMAL,p,holiday\n", "no split"),
        ("", "names no film"),
        (None, "no split"),
    ],
)
def test_a_split_that_contradicts_itself_is_named(tmp_path: Path, rows: str | None, words: str) -> None:
    manifest = tmp_path / "old-split.csv"
    if rows is not None:
        manifest.write_text("file,sha256,label,patient,part\n" + rows)
    with pytest.raises(DataError, match=words) as caught:
        read_split(manifest)
    assert "old-split.csv" in str(caught.value)


def test_one_film_under_two_labels_is_named_with_both_files() -> None:
    check_labels([("a", "1", "NORMAL"), ("b", "1", "NORMAL")])
    with pytest.raises(DataError, match=r"a\.png and c\.png"):
        check_labels([("a.png", "1", "NORMAL"), ("b.png", "2", "NORMAL"), ("c.png", "1", "PNEUMONIA")])
