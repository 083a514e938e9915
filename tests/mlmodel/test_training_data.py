"""Which films there are, who their patients are, and a split that never parts a patient."""

import csv
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmodel.training.dataset import DataError, LabelledFilm, find_films, load_films, patient_of
from mlmodel.training.progress import Progress
from mlmodel.training.splits import find_near_duplicates, group_films, split_groups, write_manifest
from tests.mlmodel.films import draw_uint8, png


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for label, names in {"NORMAL": ["IM-0001-0001.png", "IM-0001-0002.png"], "PNEUMONIA": ["person1_virus_6.png"]}.items():
        (tmp_path / label).mkdir()
        for seed, name in enumerate(names):
            (tmp_path / label / name).write_bytes(png(draw_uint8(seed)))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("person1003_virus_1685.jpeg", "person1003"),
        ("person1_bacteria_2.jpeg", "person1"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("NORMAL2-IM-0219-0001.jpeg", "NORMAL2-IM-0219"),
        ("NORMAL2-IM-0219-0001-0002.jpeg", "NORMAL2-IM-0219"),
        ("anything else.png", "anything else"),
    ],
)
def test_the_patient_is_in_the_file_name(name: str, patient: str) -> None:
    assert patient_of(name) == patient


def test_a_folder_names_its_films_by_class(data: Path) -> None:
    films = find_films(data)
    assert [(film.file, film.label, film.patient) for film in films] == [
        ("NORMAL/IM-0001-0001.png", "NORMAL", "IM-0001"),
        ("NORMAL/IM-0001-0002.png", "NORMAL", "IM-0001"),
        ("PNEUMONIA/person1_virus_6.png", "PNEUMONIA", "person1"),
    ]


def test_a_manifest_names_its_films(data: Path) -> None:
    (data / "films.csv").write_text(
        "file,label,patient\nNORMAL/IM-0001-0001.png,NORMAL,a\nPNEUMONIA/person1_virus_6.png,PNEUMONIA,b\n"
    )
    films = find_films(data / "films.csv")
    assert [film.patient for film in films] == ["a", "b"]
    assert load_films(films, 32, Progress(quiet=True))[0].shape == (2, 32, 32, 1)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("file,label\na,NORMAL\n", "no column patient"),
        ("file,label,patient\na,SICK,p\n", "line 2: the label"),
        ("file,label,patient\n,NORMAL,p\n", "must not be empty"),
        ("file,label,patient\na,NORMAL,p\na,PNEUMONIA,p\n", "two labels"),
        ("file,label,patient\na,NORMAL,p\n", "no film of class PNEUMONIA"),
        ("", "no column"),
    ],
)
def test_a_bad_manifest_is_named(tmp_path: Path, rows: str, words: str) -> None:
    (tmp_path / "films.csv").write_text(rows)
    with pytest.raises(DataError, match=words):
        find_films(tmp_path / "films.csv")


def test_a_missing_or_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither a folder nor a manifest"):
        find_films(tmp_path / "none")
    with pytest.raises(DataError, match="no film of class NORMAL, PNEUMONIA"):
        find_films(tmp_path)


def test_an_unreadable_film_is_named(data: Path) -> None:
    (data / "NORMAL" / "IM-0002-0001.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match="IM-0002-0001"):
        load_films(find_films(data), 32, Progress(quiet=True))


def test_near_duplicates_are_found_and_others_are_not() -> None:
    films = [draw_uint8(seed, width=64, height=64) for seed in range(6)]
    brighter = np.clip(films[2] * 0.8 + 20, 0, 255).astype(np.uint8)
    assert find_near_duplicates(np.stack([*films, brighter])[..., None]) == [(2, 6)]


def film(number: int, patient: int, label: str) -> LabelledFilm:
    return LabelledFilm(Path(f"{number}.png"), f"{number}.png", label, f"patient{patient}")


def test_a_near_duplicate_joins_the_patients_of_both() -> None:
    films = [film(0, 1, "NORMAL"), film(1, 1, "NORMAL"), film(2, 2, "NORMAL"), film(3, 3, "NORMAL")]
    assert group_films(films, [(1, 2)]) == [0, 0, 0, 1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=150), st.integers(0, 5))
def test_no_patient_and_no_near_duplicate_is_in_two_parts(draws: list[tuple[int, bool]], seed: int) -> None:
    films = [film(number, patient, "PNEUMONIA" if sick else "NORMAL") for number, (patient, sick) in enumerate(draws)]
    pairs = [(0, len(films) - 1)] if len(films) > 1 else []
    parts = split_groups(films, group_films(films, pairs), seed)
    for patient in {one.patient for one in films}:
        assert len({part for one, part in zip(films, parts, strict=True) if one.patient == patient}) == 1
    assert parts[0] == parts[-1]


def test_a_split_is_stratified_and_the_same_for_the_same_seed() -> None:
    films = [film(number, number // 2, "PNEUMONIA" if number < 600 else "NORMAL") for number in range(800)]
    groups = group_films(films, [])
    parts = split_groups(films, groups, seed=1)
    for part in ("train", "validate", "test"):
        labels = [one.label for one, where in zip(films, parts, strict=True) if where == part]
        assert labels.count("PNEUMONIA") / len(labels) == pytest.approx(0.75, abs=0.01)
    assert parts.count("validate") == pytest.approx(96, abs=2)
    assert split_groups(films, groups, seed=1) == parts
    assert split_groups(films, groups, seed=2) != parts


def test_the_manifest_freezes_the_split() -> None:
    rows = list(csv.DictReader(StringIO(write_manifest([film(0, 1, "NORMAL")], ["ab"], [7], ["test"]).decode())))
    assert rows == [{"file": "0.png", "sha256": "ab", "label": "NORMAL", "patient": "patient1", "group": "7", "part": "test"}]
