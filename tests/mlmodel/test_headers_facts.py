"""What the gate makes of DICOM values: text in any alphabet, dates, ages, names, lengths that fit the columns."""

import pytest

from mlmodel.api import DicomFacts
from mlmodel.headers import inspect_headers
from mlmodel.headers.charsets import decode_text
from mlmodel.headers.facts import clean
from tests.corpus.dicom_writer import Tags, film

AGE, BIRTH, STUDY, NAME, PATIENT, CHARSET = 0x00101010, 0x00100030, 0x00080020, 0x00100010, 0x00100020, 0x00080005


def facts(tags: Tags) -> DicomFacts:
    """The facts of a film with these tags changed."""
    info = inspect_headers(film(tags))
    assert info.dicom is not None
    return info.dicom


@pytest.mark.parametrize(
    ("age", "years"),
    [("004Y", 4.0), ("018M", 1.5), ("012W", 84 / 365), ("365D", 1.0), ("000D", 0.0), ("62", 62.0), ("4Y", 4.0)],
)
def test_an_age_string_of_any_unit_becomes_years(age: str, years: float) -> None:
    assert facts({AGE: ("AS", age)}).patient_age_years == pytest.approx(years)


def test_without_an_age_the_dates_give_it() -> None:
    told = facts({AGE: None, BIRTH: ("DA", "20200702"), STUDY: ("DA", "20250702")})
    assert told.patient_age_years == 5


@pytest.mark.parametrize(
    ("birth", "study"),
    [
        ("20250702", "20250701"),
        ("17000101", "20250701"),
        ("20200702", "99991231"),
        ("20200702", "00010101"),
        ("", "20250701"),
        ("20250702", ""),
    ],
)
def test_dates_that_make_no_age_leave_it_unknown(birth: str, study: str) -> None:
    assert facts({AGE: ("AS", "4 years"), BIRTH: ("DA", birth), STUDY: ("DA", study)}).patient_age_years is None


@pytest.mark.parametrize(
    ("written", "read"),
    [("20220314", "2022-03-14"), ("2022.03.14", "2022-03-14"), ("20220230", ""), ("2022-03-14", ""), ("", "")],
)
def test_dates_are_iso_or_empty(written: str, read: str) -> None:
    assert facts({BIRTH: ("DA", written)}).patient_birth_date == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Phantom^Paula", "Phantom, Paula"),
        ("Phantom^Paula^Maria^Dr.^MD", "Phantom, Dr. Paula Maria MD"),
        ("Phantom", "Phantom"),
        ("^Paula", "Paula"),
        ("^^^^", ""),
        ("=山田^太郎=やまだ^たろう", "山田, 太郎"),
        ("Yamada^Tarou=山田^太郎", "Yamada, Tarou"),
        ("A^B^C^D^E^F^G", "A, D B C E^F^G"),
        ("", ""),
    ],
)
def test_a_name_is_family_then_given(written: str, read: str) -> None:
    assert facts({NAME: ("PN", written)}).patient_name == read


# The examples of PS3.5 annexes H to K, and one for each alphabet of PS3.3 section C.12.1.1.2
@pytest.mark.parametrize(
    ("charset", "value", "text"),
    [
        ("", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
        ("ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
        ("ISO_IR 101", b"W\xb3odzimierz", "Włodzimierz"),
        ("ISO_IR 109", b"\xe6a\xfddi", "ĉaŭdi"),
        ("ISO_IR 110", b"J\xe3nis", "Jãnis"),
        ("ISO_IR 126", b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος"),
        ("ISO_IR 127", b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار"),
        ("ISO_IR 138", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
        ("ISO_IR 144", b"\xbb\xee\xda\x63\x65\xdc\xd1yp\xd3", "Люкceмбypг"),  # noqa: RUF001
        ("ISO_IR 148", b"\xc7avu\xfeo\xf0lu", "Çavuşoğlu"),
        ("ISO_IR 166", b"\xb9\xd2\xc2", "นาย"),
        ("ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小東=".encode(), "Wang^XiaoDong=王^小東="),
        ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="),
        ("GBK", b"\xcd\xf5^\xd0\xa1\xb6\xab", "王^小东"),
        (
            "\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        (
            "ISO 2022 IR 13\\ISO 2022 IR 87",
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
        ),
        (
            "\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
            "Hong^Gildong=洪^吉洞=홍^길동",
        ),
        ("\\ISO 2022 IR 58", b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", "Zhang^XiaoDong=张^小东="),
        ("ISO 2022 IR 6\\ISO 2022 IR 100\\ISO 2022 IR 144", b"\x1b-AJ\xe9r\xf4me \x1b-L\xbb\xee", "Jérôme Лю"),
    ],
)
def test_every_character_set_of_the_standard_is_read(charset: str, value: bytes, text: str) -> None:
    assert decode_text(value, charset) == text


@pytest.mark.parametrize(
    ("charset", "value"),
    [
        ("ISO_IR 9999", b"M\xfcller"),
        ("ISO_IR 192", b"M\xfcller"),
        ("\\ISO 2022 IR 87", b"M\x1b$B\xff\xff\x1b(Bller"),
        ("GBK", b"M\xffller"),
    ],
)
def test_what_cannot_be_decoded_is_replaced(charset: str, value: bytes) -> None:
    text = decode_text(value, charset)
    assert text.startswith("M")
    assert text.endswith("ller")
    assert "\ufffd" in text


def test_a_film_without_a_character_set_is_read_as_latin_1() -> None:
    assert facts({CHARSET: None, NAME: ("PN", b"M\xfcller^Zo\xeb")}).patient_name == "Müller, Zoë"


def test_control_and_override_characters_are_dropped_and_joiners_stay() -> None:
    assert clean("a\0b\x1b[31m\u202ec\u200bd\r\ne\ufffe", 64) == "ab[31mcde"
    persian = "می\u200cخواهم"  # noqa: RUF001
    assert clean(persian, 64) == persian


def test_values_are_cut_to_the_columns_they_go_into() -> None:
    long = facts(
        {NAME: ("PN", "N" * 900), PATIENT: ("LO", "P" * 900), 0x00080050: ("SH", "A" * 900), 0x00185101: ("CS", "V" * 900)}
    )
    lengths = [len(value) for value in (long.patient_name, long.patient_id, long.accession_number, long.view_position)]
    assert lengths == [200, 64, 64, 16]


@pytest.mark.parametrize("uid", ["1.2.x", "../../etc", "1" * 65, ""])
def test_a_uid_that_is_none_is_left_empty(uid: str) -> None:
    assert facts({0x0020000D: ("UI", uid)}).study_instance_uid == ""


@pytest.mark.parametrize(("written", "read"), [("F", "F"), ("M", "M"), ("O", "O"), ("X", ""), ("female", ""), ("", "")])
def test_sex_is_a_letter_of_the_standard_or_empty(written: str, read: str) -> None:
    assert facts({0x00100040: ("CS", written)}).patient_sex == read
