"""The gate on the real films beside the project."""

from pathlib import Path

import pytest

from mlmodel.headers import inspect_headers

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not SHARED.is_dir(), reason="the films of ../shared/data are not beside the project"),
]


def test_the_real_dicom_film_passes_with_the_facts_of_its_header() -> None:
    info = inspect_headers((SHARED / "dicom" / "adult-chest-cr.dcm").read_bytes())
    assert (info.format, info.width, info.height, info.bits, info.samples) == ("DICOM", 1024, 1024, 8, 1)
    assert info.dicom is not None
    assert (info.dicom.modality, info.dicom.view_position, info.dicom.body_part) == ("CR", "PA", "CHEST")
    assert (info.dicom.patient_sex, info.dicom.patient_age_years, info.dicom.study_date) == ("M", 62.0, "1901-01-01")
    assert info.dicom.patient_id == info.dicom.patient_name == "16d7f894-55d7-4d95-8957-d18987f0e981"


def test_every_real_jpeg_passes() -> None:
    films = [path for folder in ("fullsize", "adult/images") for path in (SHARED / folder).rglob("*.jp*g")]
    assert len(films) > 500
    for film in films:
        info = inspect_headers(film.read_bytes())
        assert (info.format, info.bits) == ("JPEG", 8)
