"""Which films there are, and who their patients are."""

from pathlib import Path

import pytest

from mlmodel.training.dataset import DataError, find_films, load_films, patient_of
from mlmodel.training.extras import read_extras
from mlmodel.training.prepared import prepare_data
from mlmodel.training.progress import Progress
from mlmodel.training.recipe import Recipe, change_recipe
from tests.mlmodel.films import draw_uint8, png
from tests.mlmodel.training_set import TINY_RECIPE, write_films


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


def test_a_film_that_ties_a_patient_to_another_part_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = change_recipe(Recipe(), TINY_RECIPE)
    write_films(tmp_path / "data")
    before = prepare_data(tmp_path / "data", recipe, Progress())
    split = tmp_path / "split.csv"
    split.write_bytes(before.manifest)
    where = dict(zip([one.file for one in before.films], before.parts, strict=True))
    judging = next(file for file, part in where.items() if part == "test")
    label, name = judging.split("/")
    learnt = next(file for file, part in where.items() if part == "train" and file.startswith(label))
    copy = tmp_path / "data" / label / f"{patient_of(learnt)}_virus_9.jpeg"
    copy.write_bytes((tmp_path / "data" / label / name).read_bytes())
    after = prepare_data(tmp_path / "data", recipe, Progress(), split=split)
    assert f"left out, each known to another part or nearly the same: {label}/{copy.name}" in capsys.readouterr().err.replace(
        "\n", ""
    )
    assert dict(zip([one.file for one in after.films], after.parts, strict=True)) == where
    assert set(after.extras) == set(where)
    assert len(after.array) == len(after.hashes) == len(after.groups) == len(where)


def test_a_manifest_of_a_spreadsheet_that_begins_with_a_byte_order_mark_is_read(data: Path) -> None:
    path = data / "list.csv"
    path.write_text("file,label,patient,sex\nNORMAL/IM-0115-0001.jpeg,NORMAL,a,F\n", encoding="utf-8-sig")
    with pytest.raises(DataError, match="no film of class PNEUMONIA"):
        find_films(path)
    assert read_extras(path)["NORMAL/IM-0115-0001.jpeg"]["sex"] == "F"
