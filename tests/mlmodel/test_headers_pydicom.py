"""The gate against pydicom on the files that pydicom ships: the same facts, and a table of what becomes of each file."""

from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest

from mlmodel.api import DicomFacts, RejectedImageError
from mlmodel.headers import dicom, inspect_headers
from mlmodel.headers.elements import Walker
from mlmodel.headers.facts import Values, read_facts
from mlmodel.headers.syntaxes import TRANSFER_SYNTAXES
from tests.mlmodel.test_headers_corpus import reading_code
from tests.portal import ROOT

FOLDER = Path(str(pydicom.data.__file__)).parent / "test_files"
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file())
TABLE = ROOT / "tests" / "corpus" / "pydicom_files.txt"
# pydicom reads what it can of them: cut short, an implicit data set under an explicit syntax, a bad offset
DAMAGED = {"MR_truncated.dcm", "rtplan_truncated.dcm", "SC_rgb_jpeg.dcm", "DICOMDIR-nooffset"}

KEYWORDS = {
    "modality": "Modality",
    "view_position": "ViewPosition",
    "body_part": "BodyPartExamined",
    "photometric_interpretation": "PhotometricInterpretation",
    "patient_id": "PatientID",
    "patient_sex": "PatientSex",
    "accession_number": "AccessionNumber",
    "study_instance_uid": "StudyInstanceUID",
    "series_instance_uid": "SeriesInstanceUID",
    "sop_instance_uid": "SOPInstanceUID",
}


def facts_of(data: bytes) -> DicomFacts | None:
    """Our facts of a DICOM file of whatever modality, or None where its syntax is not ours."""
    syntax, start = dicom._read_meta(data)
    if syntax not in TRANSFER_SYNTAXES:
        return None
    walker = Walker(data, start, TRANSFER_SYNTAXES[syntax][0], dicom.WANTED)
    walker.run()
    return read_facts(Values(data, walker.found), syntax)


def name_of(dataset: pydicom.Dataset) -> str:
    """pydicom's reading of the name, in our order."""
    name: Any = dataset.get("PatientName", "")
    if not name:
        return ""
    parts = (name.name_prefix, name.given_name, name.middle_name, name.name_suffix)
    rest = " ".join(part.strip() for part in parts if part.strip())
    return ", ".join(part for part in (name.family_name.strip(), rest) if part)


def iso(value: str) -> str:
    """YYYYMMDD or YYYY.MM.DD as an ISO date."""
    digits = value.replace(".", "")
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}" if digits else ""


def fate_of(path: Path) -> str:
    """What the gate makes of a file."""
    try:
        inspect_headers(path.read_bytes())
    except RejectedImageError as error:
        return error.code
    return "accepted"


FATES = {path: fate_of(path) for path in FILES}
DICOM_FILES = [path for path in FILES if path.read_bytes()[128:132] == b"DICM" and path.name != "meta_missing_tsyntax.dcm"]
ACCEPTED = [path for path in FILES if FATES[path] == "accepted"]


def read_table() -> dict[str, tuple[str, str]]:
    """Who answers, and with which code, by the file's path."""
    rows = [line.split(maxsplit=2) for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {path: (who, code) for who, code, path in rows}


def test_the_table_names_every_file_of_pydicom_once() -> None:
    assert sorted(read_table()) == sorted(str(path.relative_to(FOLDER)) for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
@pytest.mark.filterwarnings("ignore")
def test_every_file_of_pydicom_gets_the_answer_of_the_table(path: Path) -> None:
    fate = FATES[path]
    found = ("gate", fate) if fate != "accepted" else ("worker", reading_code(path.read_bytes()) or "read")
    assert read_table()[str(path.relative_to(FOLDER))] == found


@pytest.mark.parametrize("path", DICOM_FILES, ids=lambda path: str(path.relative_to(FOLDER)))
@pytest.mark.filterwarnings("ignore")
def test_our_facts_are_those_that_pydicom_reads(path: Path) -> None:
    data, dataset = path.read_bytes(), pydicom.dcmread(path)
    if path.name in DAMAGED:
        with pytest.raises(RejectedImageError):
            facts_of(data)
        return
    facts = facts_of(data)
    if facts is None:
        assert dataset.file_meta.TransferSyntaxUID == pydicom.uid.DeflatedExplicitVRLittleEndian
        return
    assert facts.transfer_syntax == dataset.file_meta.TransferSyntaxUID
    assert facts.patient_name == name_of(dataset)
    assert facts.patient_birth_date == iso(dataset.get("PatientBirthDate") or "")
    assert facts.study_date == iso(dataset.get("StudyDate") or "")
    for field, keyword in KEYWORDS.items():
        assert getattr(facts, field) == str(dataset.get(keyword) or "").strip(), keyword


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: str(path.relative_to(FOLDER)))
@pytest.mark.filterwarnings("ignore")
def test_dimensions_of_what_we_accept_are_those_that_pydicom_decodes(path: Path) -> None:
    info, dataset = inspect_headers(path.read_bytes()), pydicom.dcmread(path)
    assert (info.height, info.width) == dataset.pixel_array.shape[:2]
    assert (info.bits, info.samples) == (dataset.BitsStored, dataset.SamplesPerPixel)
