"""Plain values that cross the door for a version in shadow."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ShadowRun:
    """A version in shadow beside the one in service, since when; `cursor` is the caller's bookmark as it was read."""

    pk: int
    version: str
    against: str
    cursor: str
    since: datetime


@dataclass(frozen=True, slots=True)
class ShadowReading:
    """One film by both versions: probabilities 0 to 1, labels each at its own threshold."""

    probability: float
    label: str
    active_probability: float
    active_label: str
