"""Decoding children: a film that kills its decoder harms no other, and no child outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
from PIL import Image

from mlmodel import decoder_pool
from mlmodel.decoder_pool import ROOT, DecoderPool
from mlmodel.decoder_protocol import read_message, write_message
from mlmodel.types import DecodedFilm, DecoderUnavailableError, IntendedUse, Refusal, RejectedImageError
from tests.mlmodel.films import dicom, draw_12_bits, draw_uint8, encode, jpeg, png

USE = IntendedUse("Children", min_age_years=1, max_age_years=5)
TAKING_NOTE = """
import struct
child.struct = struct
write_message = child.write_message
def noting(pipe, *given, **named):
    child.ANSWERS = pipe
    return write_message(pipe, *given, **named)
child.write_message = noting
child.main()
"""  # where a film finds the pipe that its child answers by
POISON = b"\xff\xd8\xff poison"


def harmed(line: str) -> tuple[str, ...]:
    """A child in which `line` stands for what a hostile film makes a C library do."""
    code = f"""
import ctypes, time
import mlmodel.decoder_child as child
perform = child.perform
def poisoned(head, image):
    if image == {POISON!r}:
        {line}
    return perform(head, image)
child.perform = poisoned
child.main()
"""
    return sys.executable, "-c", code


def read(pool: DecoderPool, image: bytes) -> DecodedFilm:
    (film,) = pool.decode([image], size=64, use=USE)
    assert isinstance(film, DecodedFilm), film.code
    return film


def code_of(pool: DecoderPool, image: bytes) -> str:
    return code(*pool.decode([image], size=64, use=USE))


def code(film: DecodedFilm | Refusal) -> str:
    return film.code if isinstance(film, Refusal) else "read"


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    pool = DecoderPool(2)
    yield pool
    pool.close()


def test_a_film_comes_back_as_the_network_reads_it(pool: DecoderPool) -> None:
    film = read(pool, png(draw_uint8(width=300, height=200)))
    assert film.model_input.shape == (64, 64)
    assert film.model_input.dtype == np.uint8
    assert (film.bits, film.age_years) == (8, None)
    assert film.decode_milliseconds > 0


def test_refusals_come_back_with_their_code_and_the_child_lives_on(pool: DecoderPool) -> None:
    pool.start()
    before = sorted(pool.process_ids())
    assert code_of(pool, b"") == "EMPTY_FILE"
    assert code_of(pool, jpeg(draw_uint8())[:2000]) == "UNREADABLE"
    assert code_of(pool, dicom(draw_12_bits(), ViewPosition="LL")) == "LATERAL_VIEW"
    assert sorted(pool.process_ids()) == before


def test_many_threads_get_each_the_film_they_asked_for(pool: DecoderPool) -> None:
    films = [png(draw_uint8(number, width=140, height=130 + number)) for number in range(20)]
    alone = [read(pool, film).model_input for film in films]
    with ThreadPoolExecutor(6) as threads:
        decoded = list(threads.map(lambda image: read(pool, image).model_input, films))
    assert len({film.tobytes() for film in alone}) == 20
    for together, single in zip(decoded, alone, strict=True):
        np.testing.assert_array_equal(together, single)


def test_the_display_is_a_bare_grey_png_of_full_size(pool: DecoderPool) -> None:
    exif = Image.Exif()
    exif[0x010E] = "Mustermann, Max"
    film = draw_uint8(width=300, height=200)
    shown = pool.render_display(jpeg(film, exif=exif, comment=b"Mustermann", icc_profile=b"profile"))
    picture = Image.open(BytesIO(shown.png))
    assert (picture.format, picture.mode, picture.size, dict(picture.info)) == ("PNG", "L", (300, 200), {})
    assert b"Mustermann" not in shown.png
    assert len(shown.pixel_sha256) == 64
    assert np.abs(np.asarray(picture).astype(int) - film).max() <= 4


def test_the_display_of_a_broken_film_is_refused(pool: DecoderPool) -> None:
    with pytest.raises(RejectedImageError, match="UNREADABLE"):
        pool.render_display(jpeg(draw_uint8())[:2000])


@pytest.mark.parametrize(
    "line",
    ["ctypes.string_at(0)", "child.os._exit(0)", "raise MemoryError", "raise RecursionError", "raise ZeroDivisionError"],
)
def test_a_film_that_ends_its_child_is_unreadable_and_the_next_one_is_read(line: str) -> None:
    pool = DecoderPool(1, command=harmed(line))
    try:
        pool.start()
        before = pool.process_ids()
        assert code_of(pool, POISON) == "UNREADABLE"
        assert read(pool, png(draw_uint8())).bits == 8
        assert pool.process_ids() != before
    finally:
        pool.close()


def test_a_film_that_takes_too_long_is_unreadable() -> None:
    pool = DecoderPool(1, timeout=0.5, command=harmed("time.sleep(60)"))
    try:
        pool.start()
        started = time.monotonic()
        assert code_of(pool, POISON) == "UNREADABLE"
        assert time.monotonic() - started < 5
        assert read(pool, png(draw_uint8())).bits == 8
    finally:
        pool.close()


def test_a_child_that_computes_too_long_is_ended_by_the_kernel() -> None:
    busy = (
        sys.executable,
        "-c",
        harmed("while True: pass")[2].replace("child.main()", "child.MAX_CPU_SECONDS = 0; child.main()"),
    )
    pool = DecoderPool(1, timeout=30, command=busy)
    try:
        assert code_of(pool, POISON) == "UNREADABLE"
    finally:
        pool.close()


def test_a_film_too_big_for_the_childs_memory_is_unreadable_and_others_are_read() -> None:
    small = harmed("pass")[2].replace("child.main()", "child.MAX_ADDRESS_SPACE = 600_000_000; child.main()")
    pool = DecoderPool(1, command=(sys.executable, "-c", small))
    big = encode(Image.fromarray(np.zeros((5900, 5900), np.uint16)), compress_level=1)
    try:
        assert code_of(pool, big) == "UNREADABLE"
        assert read(pool, png(draw_uint8())).bits == 8
    finally:
        pool.close()


@pytest.mark.parametrize(
    "line",
    [
        "open({path!r}, 'wb', buffering=0).write(b'x')",
        "held = [open('/dev/null') for _ in range(child.MAX_OPEN_FILES)]",
    ],
    ids=["a file that is written", "more open files than allowed"],
)
def test_what_a_child_may_not_have_makes_its_film_unreadable_and_others_are_read(tmp_path: Path, line: str) -> None:
    path = tmp_path / "written"
    pool = DecoderPool(1, command=harmed(line.format(path=str(path))))
    try:
        assert code_of(pool, POISON) == "UNREADABLE"
        assert not path.exists() or path.read_bytes() == b""
        assert read(pool, png(draw_uint8())).bits == 8
    finally:
        pool.close()


def test_the_largest_film_that_passes_the_gate_fits_the_childs_memory(pool: DecoderPool) -> None:
    film = np.kron(draw_12_bits(), np.ones((40, 34), np.uint16))[:6000, :6000]
    assert film.shape == (6000, 6000)
    assert read(pool, dicom(film)).bits == 12


def test_a_film_fails_alone_while_others_are_being_read() -> None:
    pool = DecoderPool(2, command=harmed("time.sleep(.2); ctypes.string_at(0)"))
    images = [png(draw_uint8()), POISON, png(draw_uint8()), POISON, png(draw_uint8())]

    try:
        with ThreadPoolExecutor(5) as threads:
            films = list(threads.map(lambda image: pool.decode([image], size=64, use=USE)[0], images))
    finally:
        pool.close()
    outcomes = [film.code if isinstance(film, Refusal) else f"{film.bits}" for film in films]
    assert outcomes == ["8", "UNREADABLE", "8", "UNREADABLE", "8"]


@pytest.mark.parametrize("line", ["ctypes.string_at(0)", "raise MemoryError", "time.sleep(60)"])
def test_a_film_fails_alone_among_those_that_go_to_a_child_together(line: str) -> None:
    pool = DecoderPool(1, timeout=3, command=harmed(line))
    films = [png(draw_uint8(seed)) for seed in range(4)]
    try:
        pool.start()
        with mock.patch.object(decoder_pool, "_Child", wraps=decoder_pool._Child) as started:
            decoded = pool.decode([films[0], films[1], POISON, films[2], b"", POISON, films[3]], size=64, use=USE)
        assert [code(film) for film in decoded] == ["read", "read", "UNREADABLE", "read", "EMPTY_FILE", "UNREADABLE", "read"]
        assert started.call_count == 3  # one for the group that was lost, one for each poison
        alone = [read(pool, film) for film in films]
    finally:
        pool.close()
    together = [film for film in decoded if isinstance(film, DecodedFilm)]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.model_input, other.model_input)


def test_films_that_are_slow_together_have_the_whole_time_alone() -> None:
    pool = DecoderPool(1, timeout=2, command=harmed("time.sleep(0.8)"))
    try:
        decoded = pool.decode([POISON, POISON, POISON, png(draw_uint8())], size=64, use=USE)
        assert [code(film) for film in decoded] == ["UNREADABLE", "UNREADABLE", "UNREADABLE", "read"]
    finally:
        pool.close()


def test_films_together_have_less_time_than_one_alone(pool: DecoderPool) -> None:
    """Or a hanging film would take its time twice, and its neighbours with it."""
    pool.start()
    limits: list[float] = []

    def note(pipe: int, *, deadline: float) -> Any:
        limits.append(deadline - time.monotonic())
        return read_message(pipe, deadline=deadline)

    with mock.patch.object(decoder_pool, "read_message", side_effect=note):
        pool.decode([png(draw_uint8(1)), png(draw_uint8(2))], size=64, use=USE)
        read(pool, png(draw_uint8(1)))
    together, alone = limits
    assert together <= decoder_pool.GROUP_SECONDS < decoder_pool.TIMEOUT_SECONDS / 2 < alone


def test_after_a_lost_child_films_go_alone_for_a_while() -> None:
    """Among many that end their children, neighbours would be decoded twice, and each child lost twice."""
    pool = DecoderPool(1, command=harmed("ctypes.string_at(0)"))
    films = [b"film"] * 40
    try:
        assert [len(images) for images, _ in pool.group(films)] == [16, 16, 8]
        assert code_of(pool, POISON) == "UNREADABLE"
        assert [len(images) for images, _ in pool.group(films)] == [1] * 40
        with mock.patch.object(time, "monotonic", return_value=time.monotonic() + decoder_pool.ALONE_SECONDS + 1):
            assert [len(images) for images, _ in pool.group(films)] == [16, 16, 8]
    finally:
        pool.close()


def test_a_group_is_no_larger_than_it_may_be_and_the_codes_go_with_their_films(pool: DecoderPool) -> None:
    large = bytes(decoder_pool.GROUP_BYTES // 2 + 1)
    codes = [frozenset({str(number)}) for number in range(5)]
    groups = pool.group([b"a", large, large, b"b", b"c"], codes)
    assert [images for images, _ in groups] == [[b"a", large], [large, b"b", b"c"]]
    assert [one for _, given in groups for one in given] == codes


@pytest.mark.parametrize("answer", ["b'[]'", "b'nothing'", "bytes([255]) * 20"])
def test_an_answer_that_is_none_of_ours_makes_its_film_unreadable(answer: str) -> None:
    line = f"child.os.write(child.ANSWERS, child.struct.pack('<IQ', len({answer}), 0) + {answer})"
    said = harmed(line)[2].replace("child.main()", TAKING_NOTE)
    pool = DecoderPool(1, timeout=5, command=(sys.executable, "-c", said))
    try:
        decoded = pool.decode([png(draw_uint8(1)), POISON, png(draw_uint8(2))], size=64, use=USE)
        assert [code(film) for film in decoded] == ["read", "UNREADABLE", "read"]
    finally:
        pool.close()


def test_a_message_that_says_it_is_enormous_is_not_waited_for() -> None:
    line = "child.os.write(child.ANSWERS, child.struct.pack('<IQ', 2, 2**50)); time.sleep(60)"
    pool = DecoderPool(1, timeout=30, command=(sys.executable, "-c", harmed(line)[2].replace("child.main()", TAKING_NOTE)))
    try:
        pool.start()
        started = time.monotonic()
        assert code_of(pool, POISON) == "UNREADABLE"
        assert time.monotonic() - started < 15
    finally:
        pool.close()


def test_a_film_larger_than_the_pipe_waits_for_room_and_no_longer_than_the_deadline() -> None:
    """The child of a pool reads; this one does not until it is told to."""
    out, into = os.pipe()
    os.set_blocking(into, False)
    film = bytes(3 * 1024 * 1024)
    started, spent = time.monotonic(), time.process_time()
    with pytest.raises(TimeoutError):
        write_message(into, {}, [film], deadline=started + 0.5)
    assert time.monotonic() - started >= 0.5
    assert time.process_time() - spent < 0.25  # it sleeps
    with pytest.raises(BlockingIOError):
        write_message(into, {}, [film])
    os.close(into)
    os.close(out)
    out, into = os.pipe()
    os.set_blocking(into, False)
    with ThreadPoolExecutor(1) as pool:
        heard = pool.submit(read_message, out)
        write_message(into, {"one": 1}, [film[:1000], film], deadline=time.monotonic() + 30)
        assert heard.result() == ({"one": 1}, film[:1000] + film)
    os.close(into)
    os.close(out)


def test_who_breaks_off_leaves_no_answer_to_another_film(pool: DecoderPool) -> None:
    first, second = png(draw_uint8(1)), png(draw_uint8(2))
    wanted = read(pool, second).model_input
    with mock.patch.object(decoder_pool, "read_message", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        read(pool, first)
    for _ in range(2):
        np.testing.assert_array_equal(read(pool, second).model_input, wanted)


@pytest.mark.parametrize("command", [("/nowhere/python",), ("/bin/false",)])
def test_a_child_that_cannot_be_started_is_not_the_films_fault(command: tuple[str, ...]) -> None:
    pool = DecoderPool(1, command=command)
    for _ in range(2):
        with pytest.raises(DecoderUnavailableError):
            read(pool, png(draw_uint8()))
    pool.close()


def test_a_child_runs_under_its_limits_without_the_secrets_of_the_portal(pool: DecoderPool) -> None:
    pool.start()
    child = psutil.Process(pool.process_ids()[0])
    assert child.rlimit(psutil.RLIMIT_AS)[0] == 1_500_000_000
    assert child.rlimit(psutil.RLIMIT_FSIZE)[0] == 0
    assert child.rlimit(psutil.RLIMIT_CORE)[0] == 0
    assert child.rlimit(psutil.RLIMIT_NOFILE)[0] == 64
    assert child.nice() >= 5
    assert "DJANGO_SETTINGS_MODULE" not in child.environ()
    assert not any("django" in one.path or "tensorflow" in one.path or "openvino" in one.path for one in child.memory_maps())


def test_closing_ends_every_child_and_leaves_no_zombie() -> None:
    pool = DecoderPool(2)
    pool.start()
    children = [psutil.Process(number) for number in pool.process_ids()]
    pool.close()
    assert not any(child.is_running() for child in children)
    with pytest.raises(DecoderUnavailableError):
        read(pool, png(draw_uint8()))


def test_children_end_with_a_parent_that_was_killed() -> None:
    code = (
        "from mlmodel.decoder_pool import DecoderPool as P; p = P(2); p.start(); print(*p.process_ids(), flush=True); input()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    children = [psutil.Process(int(number)) for number in parent.stdout.readline().split()]
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    assert psutil.wait_procs(children, timeout=5)[1] == []


def test_a_child_imports_neither_django_nor_a_tensor_library() -> None:
    code = (
        "import sys, mlmodel.decoder_child, mlmodel.dicom_pixels;"
        "print([name for name in ('django', 'tensorflow', 'keras', 'openvino') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_a_shared_pool_ends_with_its_last_holder() -> None:
    pool = DecoderPool(1)
    pool.start()
    (child,) = pool.process_ids()
    other = pool.share()
    pool.close()
    assert read(other, jpeg(draw_uint8())).model_input.shape == (64, 64)
    assert other.process_ids() == [child]
    other.close()
    assert not psutil.pid_exists(child)
