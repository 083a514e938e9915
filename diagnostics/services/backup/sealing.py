"""Sealed files: AES-256-GCM in chunks, so that a file of any size streams through little memory.

    b"portal-backup-1\\n" | 8 bytes that name the key | 32 random bytes, the salt | chunk | chunk | … | last chunk

A key of its own for each file is derived from the operator's key and the salt (HKDF-SHA256), so that no nonce is ever used
twice. A chunk is 64 KiB of the file and its tag of 16 bytes; its nonce is its number and, in the last byte, whether it is the
last: chunks that are left out, doubled, exchanged or cut off do not open (the STREAM construction of Hoang, Reyhanitabar,
Rogaway and Vizár, 2015, as age has it). The file's name is associated data: two files that were exchanged do not open either.
No byte is handed out before its chunk's tag was checked.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from diagnostics.exceptions import BackupError, OtherKeyError

MAGIC = b"portal-backup-1\n"
KEY_BYTES, KEY_NAME_BYTES, SALT_BYTES, TAG_BYTES = 32, 8, 32, 16
HEADER_BYTES = len(MAGIC) + KEY_NAME_BYTES + SALT_BYTES
CHUNK = 64 * 1024  # bytes of the file in one chunk
MORE, LAST = b"\0", b"\1"
OTHERS = 0o077


class Readable(Protocol):
    """What bytes come out of: a file, a pipe, an answer of S3."""

    def read(self, size: int = -1, /) -> bytes: ...


class BackupKey:
    """The operator's key: 32 random bytes, and what is derived from them."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._marking = HKDF(SHA256(), KEY_BYTES, None, b"portal backup: marks").derive(secret)
        self.name = self.mark("key")[:KEY_NAME_BYTES]

    def for_file(self, salt: bytes) -> AESGCM:
        return AESGCM(HKDF(SHA256(), KEY_BYTES, salt, b"portal backup: one file").derive(self._secret))

    def mark(self, text: str) -> bytes:
        """A keyed hash: says nothing to whom the key does not belong, not even whether a known film is among the files."""
        return hmac.digest(self._marking, text.encode(), "sha256")


def read_key(path: Path | None) -> BackupKey:
    """The key that `openssl rand -base64 32` made. Raises `BackupError` where it is not there, not one, or open to others."""
    if path is None:
        raise BackupError("BACKUP_KEY_FILE is not set: docs/configuration.md says what it holds.")
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise BackupError(f"BACKUP_KEY_FILE names {path}, which cannot be read.") from error
    if mode & OTHERS:
        raise BackupError(f"BACKUP_KEY_FILE names {path}, which others can read. Run: chmod 600 {path}")
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise BackupError(f"{path} is no key: it holds 32 bytes in base64. Make one: openssl rand -base64 32")
    return BackupKey(secret)


def sealed_size(size: int) -> int:
    """Bytes of a sealed file that holds so many; an empty one has a chunk too."""
    return HEADER_BYTES + size + TAG_BYTES * max(1, -(-size // CHUNK))


class Sealer:
    """A file to read from, the sealed form of `source`. `size` and `sha256` are of what went in so far."""

    def __init__(self, source: Readable, key: BackupKey, name: str) -> None:
        self._source, self._name, self._number, self._digest = source, name.encode(), 0, hashlib.sha256()
        self.size = 0
        salt = os.urandom(SALT_BYTES)
        self._cipher, self._out = key.for_file(salt), bytearray(MAGIC + key.name + salt)
        self._ahead: bytes | None = self._take()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def read(self, size: int = -1, /) -> bytes:
        while self._ahead is not None and (size < 0 or len(self._out) < size):
            self._seal_chunk(self._ahead)
        size = len(self._out) if size < 0 else size
        answer = bytes(self._out[:size])
        del self._out[:size]
        return answer

    def _seal_chunk(self, chunk: bytes) -> None:
        following = self._take() if len(chunk) == CHUNK else b""
        flag = MORE if following else LAST
        self._out += self._cipher.encrypt(_nonce(self._number, flag), chunk, self._name)
        self._number += 1
        self._ahead = following or None

    def _take(self) -> bytes:
        chunk = _read(self._source, CHUNK)
        self._digest.update(chunk)
        self.size += len(chunk)
        return chunk


def unseal(sealed: Readable, key: BackupKey, name: str) -> Iterator[bytes]:
    """The file's bytes, each chunk once it is proved. Raises `BackupError` for what is not whole, not of this name or key."""
    header = _read(sealed, HEADER_BYTES)
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        raise BackupError(f"{name} is damaged: it does not begin as a sealed file does.")
    if header[len(MAGIC) : len(MAGIC) + KEY_NAME_BYTES] != key.name:
        raise OtherKeyError(f"{name} was sealed with another key than the one in BACKUP_KEY_FILE.")
    cipher = key.for_file(header[-SALT_BYTES:])
    number, chunk = 0, _read(sealed, CHUNK + TAG_BYTES)
    while True:
        following = _read(sealed, CHUNK + TAG_BYTES) if len(chunk) == CHUNK + TAG_BYTES else b""
        try:
            yield cipher.decrypt(_nonce(number, MORE if following else LAST), chunk, name.encode())
        except (InvalidTag, ValueError) as error:
            raise BackupError(f"{name} is damaged, cut off, or in another's place (at byte {number * CHUNK}).") from error
        if not following:
            return
        number, chunk = number + 1, following


def _nonce(number: int, flag: bytes) -> bytes:
    return number.to_bytes(11, "big") + flag


def _read(source: Readable, size: int) -> bytes:
    """As many bytes as asked, fewer only at the end: a pipe or a network may give less at a time."""
    block = source.read(size)
    while block and len(block) < size and (more := source.read(size - len(block))):
        block += more
    return block
