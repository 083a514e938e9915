"""The header values a portal keeps, as clean text that fits its columns."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date

from mlmodel.ages import age_in_years
from mlmodel.headers.charsets import decode_text
from mlmodel.headers.elements import Element
from mlmodel.types import DicomFacts, ImageBytes

SPECIFIC_CHARACTER_SET, SOP_INSTANCE_UID, STUDY_DATE = 0x0008_0005, 0x0008_0018, 0x0008_0020
ACCESSION_NUMBER, MODALITY = 0x0008_0050, 0x0008_0060
PATIENT_NAME, PATIENT_ID, PATIENT_BIRTH_DATE, PATIENT_SEX, PATIENT_AGE = (
    0x0010_0010,
    0x0010_0020,
    0x0010_0030,
    0x0010_0040,
    0x0010_1010,
)
MANUFACTURER, DEVICE_MODEL, BURNED_IN_ANNOTATION = 0x0008_0070, 0x0008_1090, 0x0028_0301
BODY_PART, VIEW_POSITION = 0x0018_0015, 0x0018_5101
STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, PHOTOMETRIC_INTERPRETATION = 0x0020_000D, 0x0020_000E, 0x0028_0004
FACT_TAGS = frozenset(
    {
        *(SPECIFIC_CHARACTER_SET, SOP_INSTANCE_UID, STUDY_DATE, ACCESSION_NUMBER, MODALITY),
        *(PATIENT_NAME, PATIENT_ID, PATIENT_BIRTH_DATE, PATIENT_SEX, PATIENT_AGE, BODY_PART, VIEW_POSITION),
        *(STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, PHOTOMETRIC_INTERPRETATION),
        *(MANUFACTURER, DEVICE_MODEL, BURNED_IN_ANNOTATION),
    }
)

MAX_BYTES = 1024  # of a text value read at all
CODE_LENGTH, ID_LENGTH, NAME_LENGTH = 16, 64, 200
YEARS_PER_UNIT = {"D": 1 / 365, "W": 7 / 365, "M": 1 / 12, "Y": 1.0, "": 1.0}
OLDEST_YEARS = 150

_JOINERS = "\u200c\u200d"  # format characters that Persian and Indic names are spelt with
_AGE = re.compile(r"([0-9]{1,3})([DWMY]?)", re.ASCII)
_DATE = re.compile(r"([0-9]{4})\.?([0-9]{2})\.?([0-9]{2})", re.ASCII)
_UID = re.compile(r"[0-9.]{1,64}", re.ASCII)


class Values:
    """Text of the found elements, by tag; an absent element is empty."""

    def __init__(self, data: ImageBytes, found: Mapping[int, Element]) -> None:
        self._data, self._found = data, found
        self._charset = self.code(SPECIFIC_CHARACTER_SET, length=MAX_BYTES)

    def raw(self, tag: int) -> bytes:
        """The value's bytes without padding, at most `MAX_BYTES` of them."""
        element = self._found.get(tag)
        if element is None:
            return b""
        return self._data[element.start : element.start + min(element.length, MAX_BYTES)].strip(b" \0")

    def code(self, tag: int, length: int = CODE_LENGTH) -> str:
        """A value of the default repertoire (CS, DA, AS, IS), in ASCII."""
        return clean(self.raw(tag).decode("ascii", "replace"), length)

    def text(self, tag: int, length: int) -> str:
        """A value of the file's own character set."""
        return clean(decode_text(self.raw(tag), self._charset), length)

    def uid(self, tag: int) -> str:
        """A UID, or empty where it has a character that no UID has."""
        value = self.raw(tag).decode("ascii", "replace")
        return value if _UID.fullmatch(value) else ""

    def name(self, tag: int) -> str:
        """A person's name as "Family, Given" (PS3.5 section 6.2.1); ideographs where there is no alphabetic group."""
        groups = decode_text(self.raw(tag), self._charset).split("=")
        chosen = next((group for group in groups if group.strip(" ^")), "")
        family, given, middle, prefix, suffix = [*(part.strip() for part in chosen.split("^", 4)), "", "", "", ""][:5]
        rest = " ".join(part for part in (prefix, given, middle, suffix) if part)
        return clean(", ".join(part for part in (family, rest) if part), NAME_LENGTH)

    def date(self, tag: int) -> date | None:
        """A date, also in the notation of ACR-NEMA with dots; None where it is none."""
        match = _DATE.fullmatch(self.code(tag))
        try:
            return date(*map(int, match.groups())) if match else None
        except ValueError:
            return None


def clean(text: str, length: int) -> str:
    """The text without control, direction-override and unassigned characters, at most `length` characters of it."""
    kept = (character for character in text if unicodedata.category(character)[0] != "C" or character in _JOINERS)
    return "".join(kept).strip()[:length].rstrip()


def read_facts(values: Values, transfer_syntax: str) -> DicomFacts:
    """The facts of a file whose top-level elements are `values`."""
    birth, study = values.date(PATIENT_BIRTH_DATE), values.date(STUDY_DATE)
    sex = values.code(PATIENT_SEX)
    return DicomFacts(
        transfer_syntax=transfer_syntax,
        modality=values.code(MODALITY),
        view_position=values.code(VIEW_POSITION),
        body_part=values.code(BODY_PART),
        photometric_interpretation=values.code(PHOTOMETRIC_INTERPRETATION),
        patient_id=values.text(PATIENT_ID, ID_LENGTH),
        patient_name=values.name(PATIENT_NAME),
        patient_birth_date=birth.isoformat() if birth else "",
        patient_age_years=_age_in_years(values.code(PATIENT_AGE), birth, study),
        patient_sex=sex if sex in {"F", "M", "O"} else "",
        accession_number=values.text(ACCESSION_NUMBER, ID_LENGTH),
        study_instance_uid=values.uid(STUDY_INSTANCE_UID),
        series_instance_uid=values.uid(SERIES_INSTANCE_UID),
        sop_instance_uid=values.uid(SOP_INSTANCE_UID),
        study_date=study.isoformat() if study else "",
        manufacturer=values.text(MANUFACTURER, ID_LENGTH),
        device_model=values.text(DEVICE_MODEL, ID_LENGTH),
        burned_in_annotation=values.code(BURNED_IN_ANNOTATION),
    )


def _age_in_years(age: str, birth: date | None, study: date | None) -> float | None:
    """From an Age String (PS3.5 section 6.2; a bare number, as real files have, means years), else from the dates."""
    if match := _AGE.fullmatch(age):
        return int(match[1]) * YEARS_PER_UNIT[match[2]]
    if birth and study:
        years = age_in_years(birth, on=study)
        return years if 0 <= years <= OLDEST_YEARS else None
    return None
