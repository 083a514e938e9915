"""What one case's page shows, and which of its parts are news to a page that is open."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from accounts.models import User
from accounts.permissions import may_override_refusals, may_review
from diagnostics import wording
from diagnostics.codes import sentence
from diagnostics.forms import OverrideForm, ReviewForm
from diagnostics.models import Case, EmergencyAccess, GateOverride, Prediction, Review, UnsavedReview
from diagnostics.services import versions
from diagnostics.services.emergency import live_access
from diagnostics.services.overrides import may_be_overridden
from diagnostics.services.status import Progress, describe_progress
from diagnostics.services.unsaved import find_unsaved_review
from mlmodel import api

# Seconds between two questions of an open page, by how many seconds ago the film was uploaded.
POLL_STEPS = ((20, 0.5), (120, 1.0), (900, 3.0))
POLL_SLOWEST = 10.0
MOST_RELATED = 12


def blank_review(case: Case, user: User | AnonymousUser) -> ReviewForm:
    """An empty form, what the user was typing when the session ended, or the user's own unsigned draft to go on with."""
    draft, result = case.review, case.result
    if isinstance(user, User) and (typed := find_unsaved_review(case=case, author=user)):
        return _restored_review(typed, result)
    if draft is None or draft.signed_at or draft.reviewer_id != user.pk:
        return ReviewForm(prediction=result)
    initial = {"finding": draft.finding, "note": draft.note}
    if result and draft.prediction_id == result.pk:
        initial["verdict"] = draft.verdict
    return ReviewForm(prediction=result, initial=initial)


def _restored_review(typed: UnsavedReview, result: Prediction | None) -> ReviewForm:
    """A verdict counts for the result that was on the screen, and for no later one."""
    initial = {"finding": typed.finding, "note": typed.note}
    if result and typed.judged == result.pk:
        initial["verdict"] = typed.verdict
    return ReviewForm(prediction=result, initial=initial, restored=typed)


@dataclass
class Screen:
    """`shown` holds the stamps of what the open page shows; a part is news where its stamp differs."""

    case: Case
    user: User | AnonymousUser
    shown: Mapping[str, str] = field(default_factory=dict)
    review_form: ReviewForm | None = None
    override_form: OverrideForm | None = None

    @cached_property
    def progress(self) -> Progress:
        return describe_progress(self.case)

    @cached_property
    def poll_seconds(self) -> float:
        age = (timezone.now() - self.case.created_at).total_seconds()
        return next((pause for limit, pause in POLL_STEPS if age < limit), POLL_SLOWEST)

    @property
    def result_stamp(self) -> str:
        """Changes with all that the result panel says, and with the pace of asking."""
        if self.case.is_final:
            return f"{self.case.state}-{self.poll_seconds}"
        progress = self.progress
        trouble = "suspended" if progress.suspended_since else int(progress.is_delayed)
        return f"{self.case.state}-{progress.position or 0}-{trouble}-{self.poll_seconds}"

    @property
    def film_stamp(self) -> str:
        """Changes with all that the film panel shows: the picture, whether there is a heatmap to it, or why there is none."""
        case = self.case
        if case.display == Case.Display.READY:
            return f"ready-{int(bool(case.result and case.result.heatmap_key))}"
        if self.cannot_be_shown:
            return "unavailable"
        if case.is_final:
            return "drawing"
        return "suspended" if self.progress.suspended_since else "waiting"

    @property
    def cannot_be_shown(self) -> bool:
        """No picture of the film is there, and none will be."""
        return self.case.display == Case.Display.UNAVAILABLE or (
            self.case.is_settled and self.case.display != Case.Display.READY
        )

    @property
    def has_news(self) -> bool:
        return self.result_is_news or self.film_is_news

    @property
    def result_is_news(self) -> bool:
        return self.shown.get("result") != self.result_stamp

    @property
    def film_is_news(self) -> bool:
        return self.shown.get("film") != self.film_stamp

    @property
    def tells_result(self) -> bool:
        """Whether the answer holds the result and whose it is. Of a film that waits it tells the progress alone.

        What the page says that it shows has no part in this: anybody can say so of a result never seen.
        """
        return self.case.is_final and self.result_is_news

    @property
    def review_is_news(self) -> bool:
        """The review form comes once, with the result: a later answer must not wipe out a note being typed."""
        return self.case.is_final and not self.shown.get("result", "").startswith(self.case.state)

    @property
    def code(self) -> str:
        return self.case.refusal_code or self.case.failure_code

    @property
    def reviews(self) -> list[Review]:
        return sorted(self.case.reviews.all(), key=lambda review: review.created_at, reverse=True)

    @property
    def overrides(self) -> list[GateOverride]:
        return list(self.case.overrides.all())

    @property
    def flags(self) -> list[str]:
        """The result's warnings in words; a refusal that was set aside is told with who did it, not again here."""
        set_aside = {override.code for override in self.overrides}
        flags = self.case.result.flags if self.case.result else []
        return [api.describe_flag(code) for code in flags if code not in set_aside]

    @property
    def history(self) -> list[tuple[Prediction, Review | None]]:
        """Every result of the film, newest first, each with the verdict on it; empty while the one shown is the only one."""
        rows = sorted(self.case.shown_predictions, key=lambda row: row.created_at, reverse=True)
        if rows == [self.case.result] or not rows:
            return []
        return [(row, wording.signed_review_of(self.case, row)) for row in rows]

    @cached_property
    def emergency(self) -> EmergencyAccess | None:
        """By which the user reads a case of another hospital, and may do nothing else with it."""
        if not isinstance(self.user, User) or self.user.hospital_id == self.case.hospital_id:
            return None
        return live_access(user=self.user, case=self.case)

    @property
    def is_own(self) -> bool:
        """Of the user's hospital: what leads on from the case is open too."""
        return isinstance(self.user, User) and self.user.hospital_id == self.case.hospital_id

    @cached_property
    def may_analyse_again(self) -> bool:
        return self.is_own and may_review(self.user) and versions.may_analyse_again(case=self.case)

    @property
    def version_in_service(self) -> str:
        return versions.in_service()

    @property
    def version_change(self) -> versions.VersionChange | None:
        return versions.recent_change()

    @cached_property
    def may_be_overridden(self) -> bool:
        return self.is_own and may_be_overridden(case=self.case)

    @property
    def related(self) -> list[Case]:
        """Other films of the study and the patient, newest first."""
        case = self.case
        others = Case.objects.visible_to(self.user).exclude(pk=case.pk).with_result().newest_first()
        if case.patient_id:
            return list(others.filter(patient=case.patient_id)[:MOST_RELATED])
        if case.study_instance_uid:
            return list(others.filter(study_instance_uid=case.study_instance_uid)[:MOST_RELATED])
        return []

    @property
    def duplicate(self) -> str:
        return wording.describe_duplicate(self.case.duplicate_of) if self.case.duplicate_of and self.is_own else ""

    def intended_use(self) -> str:
        """The statement of the version that made the result; empty where another version is in service now."""
        prediction = self.case.result
        try:
            model = api.active_model()
        except api.ModelError:
            return ""
        return model.intended_use.statement if prediction and prediction.model_version == model.version else ""

    def context(self) -> dict[str, Any]:
        prediction = self.case.result
        may_sign = self.is_own and may_review(self.user) and self.case.is_final and not self.case.purged_at
        return {
            "screen": self,
            "case": self.case,
            "prediction": prediction,
            "likelihood": wording.likelihood(prediction.probability) if prediction else "",
            "remark": wording.threshold_remark(prediction) if prediction else "",
            "sentence": sentence(self.code) if self.code else "",
            "advice": wording.advice(self.code) if self.code else "",
            "signed": wording.signed_review(self.case),
            "earlier_review": wording.earlier_review(self.case),
            "override_form": self._override_form(),
            "review_form": (self.review_form or blank_review(self.case, self.user)) if may_sign else None,
        }

    def _override_form(self) -> OverrideForm | None:
        if not may_override_refusals(self.user) or not self.may_be_overridden:
            return None
        return self.override_form or OverrideForm()
