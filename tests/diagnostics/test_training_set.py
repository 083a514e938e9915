"""From signed reviews to a training set: what goes in, what stays out, and that nobody's name goes along."""

import csv
import json
import re
import zlib
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from pytest_django import Settings

from accounts.models import User
from diagnostics import phantom, storage
from diagnostics.models import Case, Patient
from diagnostics.services import training_set
from diagnostics.services.reviews import record_review
from diagnostics.services.training_set import ExportError, export_reviews, find_reviews
from diagnostics.services.uploads import PatientData
from mlmodel import api
from tests.diagnostics.cases import upload
from tests.mlmodel.films import dicom, draw_12_bits

pytestmark = pytest.mark.django_db
CHILD = PatientData("MRN-77", "Alder, Ann", None, "F")


class Decoders:
    """Stands in for the decoding children: the picture is named after the film's bytes."""

    size = 2

    def render_display(self, image: bytes) -> api.DisplayPicture:
        if image.endswith(b"broken"):
            raise api.RejectedImageError("UNREADABLE", "no")
        return api.DisplayPicture(b"PNG " + str(zlib.crc32(image)).encode(), "0" * 64)


def film(seed: int) -> bytes:
    return phantom.encode_jpeg(phantom.draw_film(seed=seed, width=200, height=220))


def reviewed(doctor: User, content: bytes, finding: str = "PNEUMONIA", *, sign: bool = True, **fields: Any) -> Case:
    """An uploaded film, read by a model and reviewed."""
    case = upload(doctor, content, **fields).case
    Case.objects.filter(pk=case.pk).update(state="refused", refusal_code="LATERAL_VIEW", finished_at=case.created_at)
    case.refresh_from_db()
    record_review(case=case, reviewer=doctor, finding=finding, sign=sign)
    return case


def export(out: Path) -> list[dict[str, str]]:
    export_reviews(reviews=list(find_reviews()), out=out, decoders=Decoders())  # type: ignore[arg-type]
    with (out / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_films_of_one_patient_share_a_pseudonym_that_is_the_same_next_time(doctor: User, tmp_path: Path) -> None:
    for seed in (1, 2):
        reviewed(doctor, film(seed), patient=CHILD)
    reviewed(doctor, film(3), "NO_PNEUMONIA")
    first, second = export(tmp_path / "a"), export(tmp_path / "b")
    assert first == second
    assert sorted(row["label"] for row in first) == ["NORMAL", "PNEUMONIA", "PNEUMONIA"]
    assert len({row["patient"] for row in first}) == 2
    for row in first:
        assert (tmp_path / "a" / row["file"]).is_file()


def test_another_installation_gives_other_pseudonyms(doctor: User, tmp_path: Path, settings: Settings) -> None:
    reviewed(doctor, film(1), patient=CHILD)
    here = export(tmp_path / "a")
    settings.PSEUDONYM_KEY = "another key"
    assert export(tmp_path / "b")[0]["patient"] != here[0]["patient"]


def test_nothing_written_names_the_patient_the_doctor_or_the_case(doctor: User, tmp_path: Path) -> None:
    case = reviewed(doctor, film(1), patient=CHILD, name="Alder.jpg", accession_number="ACC-9", clinical_note="Fever")
    export(tmp_path / "out")
    text = " ".join(f"{path} {path.read_bytes().decode('latin-1')}" for path in (tmp_path / "out").rglob("*") if path.is_file())
    for secret in ("Alder", "MRN-77", "ACC-9", "Fever", str(case.pk), str(case.patient_id), doctor.email, "Riverside"):
        assert secret not in text, secret


@pytest.mark.django_db(transaction=True)
def test_an_export_holds_up_nobody_who_is_audited_meanwhile(doctor: User, tmp_path: Path) -> None:
    for seed in (1, 2):
        reviewed(doctor, film(seed))
    held: list[bool] = []
    with mock.patch.object(training_set, "record_case", side_effect=lambda *_, **__: held.append(connection.in_atomic_block)):
        export(tmp_path / "out")
    assert held == [False, False]


def test_nothing_is_exported_without_its_entry(doctor: User, tmp_path: Path) -> None:
    reviewed(doctor, film(1))
    with mock.patch.object(training_set, "record_case", side_effect=DatabaseError), pytest.raises(DatabaseError):
        export(tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_only_the_latest_signed_clear_finding_counts(doctor: User, tmp_path: Path) -> None:
    changed = reviewed(doctor, film(1), "NO_PNEUMONIA")
    record_review(case=changed, reviewer=doctor, finding="PNEUMONIA", sign=True)
    record_review(case=changed, reviewer=doctor, finding="NO_PNEUMONIA", sign=False)
    reviewed(doctor, film(2), "UNCERTAIN")
    reviewed(doctor, film(3), "NOT_ASSESSABLE")
    reviewed(doctor, film(4), sign=False)
    withdrawn = reviewed(doctor, film(5))
    record_review(case=withdrawn, reviewer=doctor, finding="UNCERTAIN", sign=True)
    assert [row["label"] for row in export(tmp_path / "out")] == ["PNEUMONIA"]


def test_a_film_uploaded_twice_goes_in_once_and_not_at_all_where_the_reviews_disagree(doctor: User, tmp_path: Path) -> None:
    for _ in range(2):
        reviewed(doctor, film(1))
    reviewed(doctor, film(2))
    reviewed(doctor, film(2), "NO_PNEUMONIA")
    report = export_reviews(reviews=list(find_reviews()), out=tmp_path / "out", decoders=Decoders())  # type: ignore[arg-type]
    assert len(report.films) == 1
    assert len(list((tmp_path / "out" / "images").rglob("*.png"))) == 1
    assert sorted(reason for _, reason in report.left_out) == [
        "another case of this film disagrees",
        "another case of this film disagrees",
        "the same film as another case",
    ]


def test_a_film_with_burned_in_text_a_damaged_and_an_unreadable_one_are_left_out_with_why(
    doctor: User, tmp_path: Path, film_dicom: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewed(doctor, film(1))
    at = film_dicom.index(b"\x28\x00\x01\x03CS\x02\x00NO")
    burned = film_dicom[:at] + b"\x28\x00\x01\x03CS\x04\x00YES " + film_dicom[at + 10 :]
    assert api.inspect(burned).dicom.burned_in_annotation == "YES"  # type: ignore[union-attr]
    reviewed(doctor, burned)
    lost = reviewed(doctor, film(2))
    storage.films().delete(lost.original_key)
    reviewed(doctor, film(3) + b"broken")
    report = export_reviews(reviews=list(find_reviews()), out=tmp_path / "out", decoders=Decoders())  # type: ignore[arg-type]
    assert len(report.films) == 1
    assert {reason for _, reason in report.left_out} == {
        "declares burned-in annotation",
        "the stored film is missing or damaged",
        "the film cannot be decoded",
    }
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["films"] == 1
    assert "not searched for text" in written["notes"][0]


def test_an_existing_folder_is_left_as_it_is(doctor: User, tmp_path: Path) -> None:
    reviewed(doctor, film(1))
    (tmp_path / "kept.txt").write_text("kept")
    with pytest.raises(CommandError, match="exists already"):
        call_command("export_training_set", "--out", str(tmp_path), "--json", stdout=StringIO())
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == ["kept.txt"]


def test_a_full_disk_leaves_nothing_behind(doctor: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reviewed(doctor, film(1))
    home = tmp_path / "home"
    home.mkdir()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training_set, "_write_tables", full)
    with pytest.raises(OSError, match="No space"):
        export(home / "out")
    assert list(home.iterdir()) == []


def test_with_nothing_signed_there_is_nothing_to_write(doctor: User, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no signed review"):
        export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--since", "soon"], "--since is a date"), (["--hospital", "Nowhere"], "no hospital 'Nowhere'")],
)
def test_bad_arguments_are_one_line(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        call_command("export_training_set", "--out", str(tmp_path / "out"), *arguments)


def test_the_command_writes_real_pngs_without_metadata_in_the_hospital_asked_for(
    doctor: User, stranger: User, film_dicom: bytes, tmp_path: Path
) -> None:
    reviewed(doctor, film_dicom)
    reviewed(stranger, film(9))
    output = StringIO()
    call_command("export_training_set", "--out", str(tmp_path / "out"), "--hospital", "Riverside", "--json", stdout=output)
    assert json.loads(output.getvalue())["films"] == 1
    (png,) = (tmp_path / "out").rglob("*.png")
    assert set(re.findall(rb"(IHDR|IDAT|IEND|tEXt|zTXt|iTXt|eXIf|iCCP|tIME|pHYs)", png.read_bytes())) == {
        b"IHDR",
        b"IDAT",
        b"IEND",
    }
    (row,) = csv.DictReader((tmp_path / "out" / "manifest.csv").open(newline=""))
    assert (row["sex"], row["age_band"], row["age_years"], row["device"]) == ("F", "1 to 5", "3", "Phantom")
    assert Patient.objects.filter(hospital=doctor.hospital).exists()


def test_an_age_that_nobody_reaches_does_not_end_the_export(doctor: User, tmp_path: Path) -> None:
    reviewed(doctor, dicom(draw_12_bits(), PatientAge="999Y"))
    reviewed(doctor, film(3))
    rows = export(tmp_path / "out")
    assert sorted((row["age_band"], row["age_years"]) for row in rows) == [("", ""), ("18 and over", "90")]
