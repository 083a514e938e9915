"""Whatever the bytes, the gate answers with headers or a coded rejection: quickly, in little memory, without heavy imports."""

import subprocess
import sys
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmodel.api import MESSAGES, ImageInfo, RejectedImageError
from mlmodel.headers import MAX_PIXELS, inspect_headers
from tests.corpus import build_corpus, build_seeds, mutate

MUTANTS = 2_000
SECONDS_EACH = 0.1  # of processor time: some ten times what the worst input takes
HEAVY = ("PIL", "numpy", "pydicom", "tensorflow", "keras", "openvino", "django")
MAGICS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", bytes(128) + b"DICM\x02\x00", b"\x08\x00\x05\x00CS")
SEEDS = list(build_seeds().values())


def judge(data: bytes) -> ImageInfo | None:
    """The headers or None for a rejection; any other error fails the test, an unknown code as a KeyError."""
    try:
        info = inspect_headers(data)
    except RejectedImageError as error:
        MESSAGES[error.code]
        return None
    assert 0 < info.width * info.height <= MAX_PIXELS
    assert info.size_bytes == len(data)
    return info


def test_mutants_of_valid_films_are_judged_without_any_other_error_and_at_once() -> None:
    slowest, accepted = 0.0, 0
    for mutant in mutate(seed=2026, count=MUTANTS):
        start = time.thread_time()
        accepted += judge(mutant) is not None
        slowest = max(slowest, time.thread_time() - start)
    assert slowest < SECONDS_EACH
    assert MUTANTS * 0.2 < accepted < MUTANTS * 0.8  # mutations that are all fatal, or none, would prove little


@given(magic=st.sampled_from(MAGICS), rest=st.binary(max_size=3000))
@settings(max_examples=400, deadline=None)
def test_random_bytes_after_a_magic_number_are_judged(magic: bytes, rest: bytes) -> None:
    judge(magic + rest)


@given(data=st.binary(max_size=600))
@settings(max_examples=200, deadline=None)
def test_random_bytes_are_never_an_image(data: bytes) -> None:
    assert judge(data) is None


@given(seed=st.sampled_from(SEEDS), places=st.lists(st.integers(0, 1199), max_size=8), patch=st.binary(min_size=1, max_size=12))
@settings(max_examples=400, deadline=None)
def test_patched_headers_are_judged(seed: bytes, places: list[int], patch: bytes) -> None:
    data = bytearray(seed)
    for place in places:
        data[place : place + len(patch)] = patch
    judge(bytes(data))


@pytest.mark.parametrize("name", ["jpeg plain", "png plain", "dicom explicit little endian", "dicom jpeg 2000"])
def test_no_cut_of_a_valid_film_raises_anything_else(name: str) -> None:
    data = build_corpus()[name].data
    for length in range(min(len(data), 1500)):
        judge(data[:length])
    assert judge(data) is not None


def test_the_worst_of_the_corpus_is_judged_at_once_in_little_memory() -> None:
    for specimen in build_corpus().values():
        tracemalloc.start()
        judge(specimen.data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        start = time.thread_time()
        judge(specimen.data)
        assert time.thread_time() - start < SECONDS_EACH, specimen.name
        assert peak < 2_000_000, specimen.name


def test_the_gate_loads_no_decoder_and_no_tensor_library() -> None:
    code = f"import sys, mlmodel.api, mlmodel.headers; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
