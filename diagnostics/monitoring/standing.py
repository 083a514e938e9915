"""How the version in service stands: its latest scores beside those of its validation, and what clinicians signed.

While service is suspended it is the version that was in it last: what it was suspended for can still be read.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from diagnostics.models import Prediction, Review
from diagnostics.monitoring.drift import MIN_FILMS, count_by_bin, stability_index
from diagnostics.monitoring.reference import reference_counts
from mlmodel import api

SCORES_WITHIN, SCORES_MOST = timedelta(days=30), 1000
SIGNED_WITHIN, SIGNED_MOST = timedelta(days=90), 2000
MIN_SIGNED = 50  # verdicts, before their agreement can break the rule


@dataclass(frozen=True, slots=True)
class Standing:
    """The latest `scores`, and of each case that was signed lately (verdict, the model's label, the clinician's finding)."""

    version: str
    scores: tuple[float, ...]
    signed: tuple[tuple[str, str, str], ...]

    @property
    def psi(self) -> float | None:
        """None while there are few films, or where the version's own scores are not to be had."""
        reference = reference_counts(self.version)
        if len(self.scores) < MIN_FILMS or not any(reference):
            return None
        return stability_index(reference, count_by_bin(self.scores))

    @property
    def agreement(self) -> float | None:
        """Share of the signed verdicts that agree; None while there are few."""
        if len(self.signed) < MIN_SIGNED:
            return None
        return sum(verdict == Review.Verdict.AGREE for verdict, _, _ in self.signed) / len(self.signed)

    @property
    def broken_rules(self) -> dict[str, bool]:
        """The stop rules that are set, and whether each is broken; what cannot be told yet breaks none."""
        rules = {}
        if settings.STOP_RULE_PSI:
            rules["drift"] = self.psi is not None and self.psi > settings.STOP_RULE_PSI
        if settings.STOP_RULE_AGREEMENT:
            rules["agreement"] = self.agreement is not None and self.agreement < settings.STOP_RULE_AGREEMENT
        return rules


def take_standing() -> Standing:
    """A handful of bounded queries. Raises as `api.versions_in_service` does.

    A version that was put back after a suspension starts afresh: what it was suspended for would suspend it again.
    """
    version, now = api.versions_in_service().latest, timezone.now()
    afresh = [one.reinstated_at for one in api.suspensions() if one.version == version and one.reinstated_at]
    since = max(afresh, default=now - SIGNED_WITHIN)
    shown = Prediction.objects.filter(is_shadow=False, model_version=version, created_at__gte=max(since, now - SCORES_WITHIN))
    scores = shown.order_by("-created_at").values_list("probability", flat=True)[:SCORES_MOST]
    signed = Review.objects.latest_signed().filter(
        signed_at__gte=now - SIGNED_WITHIN, prediction__model_version=version, prediction__is_shadow=False
    )
    if afresh:
        signed = signed.filter(prediction__created_at__gte=since)
    rows = signed.order_by("-signed_at").values_list("verdict", "prediction__label", "finding")[:SIGNED_MOST]
    return Standing(version, tuple(scores), tuple(rows))
