"""Activation, which takes evidence and two people: one asks, another approves within a week."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from mlmodel.models import ModelVersion, Promotion
from mlmodel.registry import versions_in_service
from mlmodel.services.errors import LifecycleError
from mlmodel.services.judgement import Judgement, judge_version
from mlmodel.services.lifecycle import Act, activate, find_version
from mlmodel.services.people import check_permission
from mlmodel.services.telling import tell

if TYPE_CHECKING:
    from accounts.models import User

WAITS_FOR = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Activation:
    """What came of asking: the version serves now in place of `replaces`, or a `promotion` waits for a second person."""

    version: str
    replaces: str
    promotion: Promotion | None = None

    @property
    def is_done(self) -> bool:
        return self.promotion is None or self.promotion.state == Promotion.State.APPROVED


def activate_version(
    *, version: str, person: "User", reason: str = "", force: bool = False, margin: float | None = None
) -> Activation:
    """Ask for a version to be activated, or approve it where another person has asked; `person` has been identified.

    Refused (`LifecycleError`, nothing changed): an artifact that is not whole, always; a version that is not calibrated, was
    not evaluated on the films that the active one was, had seen those films, may be worse there by more than `margin` in AUC,
    or was taken out of service by the stop rule, unless each of the two people forces it with a reason. While service is
    suspended the version that was in it last is the one to compare with.
    """
    row, now = find_version(version), versions_in_service()
    if version == now.active:
        return _pin(row, person, reason)
    in_service = now.latest
    waiting = _waiting(row, in_service)
    if waiting and waiting.requested_by_id != person.pk:
        return approve_promotion(promotion=waiting, person=person, reason=reason, force=force)
    if waiting:
        raise LifecycleError(
            f"{person.get_username()} has asked for {version} already: a second person approves it until "
            f"{waiting.expires_at:%Y-%m-%d %H:%M} UTC."
        )
    judgement = judge_version(row, in_service, margin)
    _check_force(judgement.objections, force=force, reason=reason)
    if not settings.MODEL_PROMOTION_SECOND_PERSON:
        forced = bool(judgement.objections)
        act = Act(person, None, reason, forced, judgement.comparison)
        with transaction.atomic():
            _replace(version, act, compared_with=in_service)
        return Activation(version, in_service)
    return Activation(version, in_service, _request(row, in_service, person, reason, judgement))


def approve_promotion(*, promotion: Promotion, person: "User", reason: str = "", force: bool = False) -> Activation:
    """Activate what another person asked for. Raises `LifecycleError`: the same person, no operator, too late, a version in
    service that is not the one it was compared with, an artifact that is not whole any more."""
    check_permission(person)
    if promotion.requested_by_id == person.pk:
        raise LifecycleError(f"{person.get_username()} has asked for it: another person approves it.")
    if not promotion.requested_by.is_active:
        raise LifecycleError(f"The account of {promotion.requested_by} has been disabled: ask anew.")
    if (active := versions_in_service().latest) != promotion.replaces:
        raise LifecycleError(f"It was compared with {promotion.replaces}, and {active} is in service now: ask anew.")
    _check_force(promotion.objections, force=force, reason=reason)
    row = find_version(promotion.version_id)
    with transaction.atomic():
        # The approval is the one conditional UPDATE: of two at once, one finds it pending
        approved = Promotion.objects.filter(pk=promotion.pk, state=Promotion.State.PENDING, expires_at__gt=Now()).update(
            state=Promotion.State.APPROVED, approved_by=person
        )
        if not approved:
            raise LifecycleError("It is no longer waiting: approved, superseded or too old. See list_models.")
        reasons = " / ".join(text for text in (promotion.reason, reason) if text)
        act = Act(promotion.requested_by, person, reasons, bool(promotion.objections), promotion.comparison)
        _replace(row.version, act, compared_with=promotion.replaces)
    promotion.refresh_from_db()
    return Activation(row.version, promotion.replaces, promotion)


def _pin(row: ModelVersion, person: "User", reason: str) -> Activation:
    """The version that serves as shipped is entered as active: a release with a newer one will not replace it."""
    if row.state == ModelVersion.State.ACTIVE:
        raise LifecycleError(f"{row.version} is active already.")
    activate(version=row.version, act=Act(person, reason=reason))
    return Activation(row.version, row.version)


def _waiting(row: ModelVersion, in_service: str) -> Promotion | None:
    """The request that can still be approved; what can not is put away."""
    found = Promotion.objects.filter(version=row, state=Promotion.State.PENDING).select_related("requested_by").first()
    if found is None:
        return None
    if found.expires_at > timezone.now() and found.replaces == in_service and found.requested_by.is_active:
        return found
    Promotion.objects.filter(pk=found.pk, state=Promotion.State.PENDING).update(state=Promotion.State.SUPERSEDED)
    return None


def _request(row: ModelVersion, in_service: str, person: "User", reason: str, judgement: Judgement) -> Promotion:
    try:
        with transaction.atomic():
            promotion = Promotion.objects.create(
                version=row,
                replaces=in_service,
                requested_by=person,
                reason=reason,
                objections=judgement.objections,
                comparison=judgement.comparison,
                expires_at=timezone.now() + WAITS_FOR,
            )
            tell("requested", version=row.version, by=person, forced=bool(judgement.objections))
    except IntegrityError as error:
        raise LifecycleError(f"Another person has asked for {row.version} at this moment: try again to approve it.") from error
    return promotion


def _replace(version: str, act: Act, *, compared_with: str) -> None:
    """Activate, in the caller's transaction, which is rolled back where another version came into service meanwhile."""
    replaced = activate(version=version, act=act)
    if replaced != compared_with:
        raise LifecycleError(f"It was compared with {compared_with}, and {replaced} came into service meanwhile: ask anew.")


def _check_force(objections: list[str], *, force: bool, reason: str) -> None:
    if not objections:
        return
    if not force:
        raise LifecycleError(f"{' '.join(objections)} To have it all the same, two people say --force and a --reason.")
    if not reason.strip():
        raise LifecycleError("--force needs a --reason.")
