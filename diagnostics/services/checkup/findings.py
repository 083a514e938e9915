"""What a check says."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """Something to mend now, something to know, or nothing."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` is the case, in words without patients' data or secrets; `mend` says how it is put right, empty where it is."""

    level: Level
    what: str
    mend: str = ""


def ok(what: str) -> Finding:
    return Finding(Level.OK, what)


def warning(what: str, mend: str) -> Finding:
    return Finding(Level.WARNING, what, mend)


def error(what: str, mend: str) -> Finding:
    return Finding(Level.ERROR, what, mend)


def worst(findings: list[Finding], *, otherwise: str) -> Finding:
    """Several complaints of one check as one finding; none is the all-clear."""
    if not findings:
        return ok(otherwise)
    level = Level.ERROR if any(finding.level is Level.ERROR for finding in findings) else Level.WARNING
    return Finding(level, "; ".join(finding.what for finding in findings), " ".join(finding.mend for finding in findings))
