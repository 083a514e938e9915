"""What lies in a target, all of it sealed:

    objects/<key>!<mark>         film, picture, end of the audit log, file of a model; shared by all backups that name it
    sets/<when>/rows             the database
    sets/<when>/objects          one line for each object, in the order of the keys
    sets/<when>/purged           one line for each film that is removed for good, in the order of the keys
    sets/<when>/manifest         written last: without it there is no backup

The mark is a keyed hash of the object's content: another content under the same key is another file. `!` sorts before every
character of a key, so that names have the order of the keys and all lists can be read side by side.
"""

import json
import re
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from io import BytesIO
from typing import IO, Any, Generic, TypeVar

from django.conf import settings

from diagnostics.exceptions import BackupError, OtherKeyError
from diagnostics.services.backup.sealing import BackupKey, Readable, Sealer, read_key, unseal
from diagnostics.services.backup.targets import Target, open_target

OBJECTS, SETS = "objects/", "sets/"
WHEN = "%Y%m%dT%H%M%SZ"
SET_NAME = re.compile(r"\d{8}T\d{6}Z")
FORMAT = 1
ENTRIES = "audit entries"  # among a manifest's counts
Item = TypeVar("Item")
KEY = re.compile(r"[\w.+-]+(/[\w.+-]+)+", re.ASCII)  # of an object that is ours


@dataclass(frozen=True, slots=True)
class Entry:
    """One object as it was copied. `modified` is what the storage said then: an object that still says so was not changed."""

    key: str
    size: int
    sha256: str
    modified: str


@dataclass(frozen=True, slots=True)
class Part:
    """One of a set's own files, as it was before it was sealed."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. `counts` are of rows and of objects by folder, `audit_key` marks the key that the audit log
    is chained with, `missing` objects were named by rows, and the storage did not hold them."""

    name: str
    began: str
    ended: str
    release: str
    engine: str
    migrations: list[str]
    counts: dict[str, int]
    audit_key: str
    rows: Part
    objects: Part
    purged: Part
    object_bytes: int
    missing: int
    format: int = FORMAT

    @property
    def began_at(self) -> datetime:
        return datetime.fromisoformat(self.began)

    @property
    def entries(self) -> int:
        """Of the audit log, which only grows: a backup that has fewer than an earlier one is of a database that went back."""
        return self.counts.get(ENTRIES, 0)


@dataclass(frozen=True, slots=True)
class Found:
    """The sets of a target: those that count, newest first; without a manifest; with one that does not open."""

    good: list[Manifest]
    unfinished: list[str]
    damaged: list[str]


class Vault:
    """A target and the key that opens it."""

    def __init__(self, target: Target, key: BackupKey) -> None:
        self.target, self.key = target, key

    def put(self, name: str, source: Readable) -> Part:
        sealer = Sealer(source, self.key, name)
        self.target.put(name, sealer)
        return Part(sealer.size, sealer.sha256)

    def read(self, name: str) -> Iterator[bytes]:
        """Proved bytes. Raises `BackupError` for a file that is missing or not as it was written."""
        with self.target.open(name) as sealed:
            yield from unseal(sealed, self.key, name)

    def object_name(self, entry: Entry) -> str:
        return f"{OBJECTS}{entry.key}!{self.key.mark(entry.sha256)[:16].hex()}"

    def entries(self, name: str) -> Generator[Entry, None, None]:
        """Everything that a backup names."""
        for facts in self._lines(f"{SETS}{name}/objects"):
            yield Entry(**facts)

    def object_names(self, name: str) -> Iterator[str]:
        """The same as names in the target."""
        return (self.object_name(entry) for entry in self.entries(name))

    def purged(self, name: str) -> Iterator[tuple[str, datetime]]:
        """The key of each object that was removed for good by the time of that backup, and when it was."""
        return ((facts["key"], datetime.fromisoformat(facts["at"])) for facts in self._lines(f"{SETS}{name}/purged"))

    def find_sets(self) -> Found:
        """Raises `BackupError` where the target does not answer, or its backups have another key or a later format."""
        held: dict[str, set[str]] = {}
        for path, _ in self.target.list(SETS):
            name, _, part = path.removeprefix(SETS).partition("/")
            if SET_NAME.fullmatch(name):
                held.setdefault(name, set()).add(part)
        found = Found([], [], [])
        for name in sorted(held, reverse=True):
            if "manifest" not in held[name]:
                found.unfinished.append(name)
            elif manifest := self._read_manifest(name):
                found.good.append(manifest)
            else:
                found.damaged.append(name)
        return found

    def write_manifest(self, manifest: Manifest) -> None:
        self.put(f"{SETS}{manifest.name}/manifest", BytesIO(json.dumps(asdict(manifest)).encode()))

    def _read_manifest(self, name: str) -> Manifest | None:
        """None for one that is damaged. Raises `BackupError` for the key or the format of another."""
        try:
            facts: dict[str, Any] = json.loads(b"".join(self.read(f"{SETS}{name}/manifest")))
        except OtherKeyError:
            raise
        except BackupError:
            return None
        if facts["format"] > FORMAT:
            raise BackupError(f"Backup {name} was made by release {facts['release']} in a later format: use that release.")
        parts = {part: Part(**facts[part]) for part in ("rows", "objects", "purged")}
        return Manifest(**{**facts, **parts})

    def _lines(self, name: str) -> Iterator[dict[str, Any]]:
        """Read first as a whole, to a file: a target far away would not wait while each line is dealt with."""
        with tempfile.TemporaryFile() as listing:
            for block in self.read(name):
                listing.write(block)
            listing.seek(0)
            yield from map(json.loads, listing)


def open_vault() -> Vault:
    """By the settings. Raises `BackupError` where the target is away or the key is not good."""
    target = open_target()
    return Vault(target, read_key(settings.BACKUP_KEY_FILE))


def write_line(file: IO[bytes], facts: dict[str, Any]) -> None:
    file.write(json.dumps(facts, separators=(",", ":")).encode() + b"\n")


class SideBySide(Generic[Item]):
    """Walks a sorted sequence along with another: `take` gives what has that key, and leaves behind what comes before it."""

    def __init__(self, items: Iterable[Item], key_of: Callable[[Item], str]) -> None:
        self._items, self._key_of = iter(items), key_of
        self._next = next(self._items, None)
        self._at, self._found = "", list[Item]()

    def take(self, key: str) -> list[Item]:
        """Keys are asked for in their order; one that is asked for again gets the same answer."""
        if key != self._at:
            self._at, self._found = key, []
        while self._next is not None and (at := self._key_of(self._next)) <= key:
            if at == key:
                self._found.append(self._next)
            self._next = next(self._items, None)
        return self._found


def key_of(name: str) -> str:
    """The object's key in a file's name."""
    return name.removeprefix(OBJECTS).partition("!")[0]
