"""The tally of a version in shadow: which films it is to read, and how far it agrees with the version in service."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import F

from mlmodel.models import ShadowTally
from mlmodel.shadow import ShadowReading, ShadowRun


@dataclass(frozen=True, slots=True)
class Agreement:
    """Over `n` films that both read: share of equal labels, mean difference of probability (shadow less active) and its mean
    size; `refused` films the shadow alone turned away. Shares and means are None while nothing was read."""

    version: str
    against: str
    n: int
    refused: int
    label_agreement: float | None = None
    mean_difference: float | None = None
    mean_absolute_difference: float | None = None


def open_run(*, version: str, against: str) -> ShadowRun:
    """The tally of this pair, begun now where there is none."""
    row, _ = ShadowTally.objects.get_or_create(version_id=version, against=against)
    return ShadowRun(row.pk, version, against, row.cursor, row.started_at)


def claim_films(*, run: ShadowRun, cursor: str) -> bool:
    """Move the bookmark on from where `run` found it; false where another worker did, and reads those films."""
    return bool(ShadowTally.objects.filter(pk=run.pk, cursor=run.cursor).update(cursor=cursor))


def record_readings(*, run: ShadowRun, readings: Sequence[ShadowReading], refused: int = 0) -> None:
    """Add films to the tally; call it in the transaction that keeps the readings."""
    differences = [reading.probability - reading.active_probability for reading in readings]
    ShadowTally.objects.filter(pk=run.pk).update(
        n=F("n") + len(readings),
        agreed=F("agreed") + sum(reading.label == reading.active_label for reading in readings),
        refused=F("refused") + refused,
        difference=F("difference") + sum(differences),
        absolute_difference=F("absolute_difference") + sum(map(abs, differences)),
    )


def agreement_of(*, version: str, against: str) -> Agreement | None:
    """What the tally says of the pair, or None where there is none."""
    row = ShadowTally.objects.filter(version=version, against=against).first()
    if row is None:
        return None
    if row.n == 0:
        return Agreement(version, against, 0, row.refused)
    return Agreement(
        version, against, row.n, row.refused, row.agreed / row.n, row.difference / row.n, row.absolute_difference / row.n
    )
