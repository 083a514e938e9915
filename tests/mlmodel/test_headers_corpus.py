"""Every upload of the corpus gets its code at the gate, and what passes the gate gets its code when it is read."""

import mmap
import tempfile
from collections import Counter

import pytest

from mlmodel.api import MESSAGES, IntendedUse, RejectedImageError, inspect
from mlmodel.decoding import check_headers, read_film
from tests.corpus import ODD_NAMES, Specimen, build_corpus

CORPUS = list(build_corpus().values())
GATE_CODES = {
    *("EMPTY_FILE", "UNSUPPORTED_FORMAT", "TOO_MANY_PIXELS", "ANIMATED", "MULTI_FRAME", "UNSAFE_PREAMBLE", "NO_PIXELS"),
    *("MALFORMED_DICOM", "TRANSFER_SYNTAX_NOT_SUPPORTED", "MODALITY_NOT_SUPPORTED", "UNREADABLE"),
}
CHILDREN = IntendedUse("Children", min_age_years=0, max_age_years=17)


def gate_code(data: bytes | mmap.mmap) -> str:
    """The gate's code, empty where it lets the upload pass."""
    try:
        inspect(data)
    except RejectedImageError as error:
        return error.code
    return ""


def reading_code(data: bytes) -> str:
    """The code that reading ends with, empty where the film can be read."""
    try:
        film = read_film(data)
        check_headers(film.info, CHILDREN)
    except RejectedImageError as error:
        return error.code
    except RecursionError:  # the decoding child dies of it, and its film is unreadable
        return "UNREADABLE"
    return ""


@pytest.mark.parametrize("specimen", CORPUS, ids=str)
def test_the_gate_answers_with_the_expected_code(specimen: Specimen) -> None:
    assert gate_code(specimen.data) == specimen.gate


@pytest.mark.parametrize("specimen", [one for one in CORPUS if one.data], ids=str)
def test_a_memory_map_is_judged_as_its_bytes_are(specimen: Specimen) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(specimen.data)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert gate_code(mapped) == specimen.gate


@pytest.mark.parametrize("specimen", [one for one in CORPUS if not one.gate], ids=str)
@pytest.mark.filterwarnings("ignore")
def test_what_passes_the_gate_is_read_or_refused_as_expected(specimen: Specimen) -> None:
    assert reading_code(specimen.data) == specimen.reading


def test_the_corpus_has_every_code_of_the_gate_and_odd_names_enough() -> None:
    counts = Counter(specimen.gate for specimen in CORPUS if specimen.gate)
    assert set(counts) == GATE_CODES
    assert set(MESSAGES) >= GATE_CODES
    assert len(CORPUS) >= 60
    assert len(ODD_NAMES) >= 20
