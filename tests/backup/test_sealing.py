"""What is sealed comes out as it went in, or not at all."""

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.exceptions import BackupError, OtherKeyError
from diagnostics.services.backup.sealing import (
    CHUNK,
    HEADER_BYTES,
    KEY_BYTES,
    TAG_BYTES,
    BackupKey,
    Sealer,
    read_key,
    sealed_size,
    unseal,
)
from tests.backup.site import write_key

KEY = BackupKey(bytes(range(KEY_BYTES)))
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7]
SEALED_CHUNK = CHUNK + TAG_BYTES


class Trickle:
    """A pipe that gives little at a time."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(min(size, 1000) if size >= 0 else size)


def seal(content: bytes, name: str = "objects/a", key: BackupKey = KEY) -> bytes:
    return Sealer(io.BytesIO(content), key, name).read()


def opened(sealed: bytes, name: str = "objects/a", key: BackupKey = KEY) -> bytes:
    return b"".join(unseal(io.BytesIO(sealed), key, name))


@pytest.mark.parametrize("size", SIZES)
def test_every_size_comes_back_and_is_as_long_as_foretold(size: int) -> None:
    content = os.urandom(size)
    sealed = seal(content)
    assert len(sealed) == sealed_size(size)
    assert opened(sealed) == content
    assert size < 16 or content not in sealed


@pytest.mark.parametrize("size", SIZES)
def test_a_pipe_that_gives_little_at_a_time_makes_no_difference(size: int) -> None:
    content = os.urandom(size)
    sealer = Sealer(Trickle(content), KEY, "objects/a")
    sealed = b"".join(iter(lambda: sealer.read(777), b""))
    assert b"".join(unseal(Trickle(sealed), KEY, "objects/a")) == content
    assert (sealer.size, len(sealed)) == (size, sealed_size(size))


@given(st.sampled_from(SIZES), st.data())
def test_a_flipped_bit_anywhere_is_found(size: int, data: st.DataObject) -> None:
    sealed = bytearray(seal(bytes(size)))
    position = data.draw(st.integers(0, len(sealed) - 1))
    sealed[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(BackupError):
        opened(bytes(sealed))


@given(st.sampled_from(SIZES), st.data())
def test_a_file_that_was_cut_off_anywhere_is_found(size: int, data: st.DataObject) -> None:
    sealed = seal(bytes(size))
    with pytest.raises(BackupError):
        opened(sealed[: data.draw(st.integers(0, len(sealed) - 1))])


def test_cutting_between_two_chunks_is_found() -> None:
    with pytest.raises(BackupError, match="cut off"):
        opened(seal(bytes(3 * CHUNK))[: HEADER_BYTES + SEALED_CHUNK])


def test_chunks_that_were_exchanged_doubled_or_added_are_found() -> None:
    sealed = seal(os.urandom(3 * CHUNK))
    head, one, two, three = (
        sealed[:HEADER_BYTES],
        *(sealed[HEADER_BYTES + at * SEALED_CHUNK :][:SEALED_CHUNK] for at in range(3)),
    )
    assert opened(head + one + two + three)
    for wrong in (head + two + one + three, head + one + one + two + three, head + one + three, sealed + three, sealed + b"x"):
        with pytest.raises(BackupError, match="damaged"):
            opened(wrong)


def test_another_name_or_key_opens_nothing() -> None:
    sealed = seal(b"a film")
    with pytest.raises(BackupError, match="objects/b is damaged, cut off, or in another's place"):
        opened(sealed, name="objects/b")
    with pytest.raises(OtherKeyError, match="another key"):
        opened(sealed, key=BackupKey(bytes(KEY_BYTES)))


def test_no_two_files_share_a_salt() -> None:
    assert len({seal(b"the same")[:HEADER_BYTES] for _ in range(50)}) == 50


def test_a_key_file_must_hold_a_key_and_be_private(tmp_path: Path) -> None:
    path = write_key(tmp_path / "key")
    assert read_key(path).name == read_key(path).name
    path.chmod(0o640)
    with pytest.raises(BackupError, match="chmod 600"):
        read_key(path)
    path.chmod(0o600)
    for text in ("", "too short", "c2hvcnQ=", "!" * 44):
        path.write_text(text, encoding="ascii")
        with pytest.raises(BackupError, match="is no key"):
            read_key(path)
    for missing in (None, tmp_path / "none"):
        with pytest.raises(BackupError, match="BACKUP_KEY_FILE"):
            read_key(missing)
