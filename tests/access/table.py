"""Reading of `table.txt`: which answer each role gets from each address, by method and object."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("table.txt")
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
# The columns; the first stands for all who have no log-in, or none any more.
COLUMNS: dict[str, list[str]] = {
    "out": ["anonymous", "disabled", "expired"],
    "pend": ["pending"],
    "doct": ["doctor"],
    "coll": ["colleague"],
    "radi": ["radiologist"],
    "stra": ["stranger"],
    "gran": ["granted"],
    "adm": ["admin"],
    "oper": ["operator"],
    "sup": ["superuser"],
    "bare": ["bare"],
}
BRACES = re.compile(r"\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Cell:
    key: str
    object: str
    method: str
    role: str
    expected: str


def read_table(path: Path = TABLE) -> list[Cell]:
    """Every combination of the file: an address, and below it, indented, its lines."""
    cells: list[Cell] = []
    keys: list[str] = []
    sets: dict[str, str] = {}
    named: set[tuple[str, str, str]] = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split()
        if words[0].startswith("@"):
            sets[words[0]] = words[2]
            continue
        if not line.startswith(" "):
            keys = list(_expand(words[0], sets))
            continue
        objects, methods, answers = words[0].split(","), words[1].split(","), words[2:]
        assert len(answers) == len(COLUMNS), f"{len(answers)} columns in: {line}"
        for key, name in itertools.product(keys, objects):
            chosen = [method for method in METHODS if (key, name, method) not in named] if methods == ["rest"] else methods
            named |= {(key, name, method) for method in chosen}
            cells += _cells(key, name, chosen, answers)
    return cells


def sample(cells: list[Cell]) -> list[Cell]:
    """Every GET and POST; of the other methods one cell for each answer that an address gives to them."""
    chosen: dict[tuple[str, str, str], Cell] = {}
    for cell in cells:
        chosen.setdefault((cell.key, cell.method, cell.expected), cell)
    return [cell for cell in cells if cell.method in {"GET", "POST"}] + [
        cell for cell in chosen.values() if cell.method not in {"GET", "POST"}
    ]


def _cells(key: str, name: str, methods: list[str], answers: list[str]) -> Iterator[Cell]:
    for method, (roles, expected) in itertools.product(methods, zip(COLUMNS.values(), answers, strict=True)):
        for role in roles:
            yield Cell(key, name, method, role, expected)


def _expand(key: str, sets: dict[str, str]) -> Iterator[str]:
    """`a{b,c}` stands for `ab` and `ac`, `@name` in it for what the file's head names."""
    found = BRACES.search(key)
    if found is None:
        yield key
        return
    choices = ",".join(sets.get(choice, choice) for choice in found[1].split(","))
    for choice in choices.split(","):
        yield key[: found.start()] + choice + key[found.end() :]
