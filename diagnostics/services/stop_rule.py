"""The stop rule acts: a version that is beyond its bound is taken out of service, and the operators hear of it."""

import logging

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone

from accounts.mailing import send_in_background
from accounts.models import Role, User
from diagnostics.models import Case
from diagnostics.monitoring.standing import Standing, take_standing
from mlmodel import api

RULES = {
    "drift": "its scores have moved away from those of its validation",
    "agreement": "clinicians disagree with it too often",
}

logger = logging.getLogger(__name__)


def enforce_stop_rule() -> bool:
    """Take the version in service out of it where a stop rule is broken; true for the one caller that did.

    Never below the counts that `standing` asks for. What cannot be done is logged, and the alert StopRuleBroken goes on.
    """
    if settings.STOP_RULE_ACTION != "suspend" or not (settings.STOP_RULE_PSI or settings.STOP_RULE_AGREEMENT):
        return False
    try:
        if api.versions_in_service().active is None:
            return False
        standing = take_standing()
        broken = [rule for rule, is_broken in standing.broken_rules.items() if is_broken]
        return bool(broken) and _suspend(standing, broken)
    except api.ModelError as error:
        logger.error("the stop rule could not be applied: %s", error)  # noqa: TRY400 - the reason is in the text
        return False


def _suspend(standing: Standing, broken: list[str]) -> bool:
    version, since = standing.version, timezone.now()
    with transaction.atomic():
        if not api.suspend_version(version=version, reason=f"Stop rule: {', '.join(broken)}. {_figures(standing)}"):
            return False
        transaction.on_commit(lambda: _tell_operators(standing, broken), robust=True)
    logger.error("version %s is out of service since %s: stop rule of %s", version, since.isoformat(), ", ".join(broken))
    return True


def _figures(standing: Standing) -> str:
    """What the bounds were compared with, for the record."""
    told = []
    if (psi := standing.psi) is not None:
        told.append(f"PSI {psi:.3f} of {len(standing.scores)} films, bound {settings.STOP_RULE_PSI:g}")
    if (agreement := standing.agreement) is not None:
        bound = settings.STOP_RULE_AGREEMENT
        told.append(f"agreement {agreement:.3f} of {len(standing.signed)} verdicts, bound {bound:g}")
    return "; ".join(told) + "."


def _tell_operators(standing: Standing, broken: list[str]) -> None:
    """A mail to each operator; figures of the version alone, nothing of a film or a patient."""
    operators = User.objects.filter(role=Role.OPERATOR, is_active=True)
    context = {
        "version": standing.version,
        "reasons": [RULES[rule] for rule in broken],
        "figures": _figures(standing),
        "waiting": Case.objects.queued().count(),
        "at": timezone.now(),
    }
    subject = f"{settings.ACCOUNT_EMAIL_SUBJECT_PREFIX}Analysis is suspended: version {standing.version} was stopped"
    body = render_to_string("diagnostics/email/suspended.txt", context).strip()
    send_in_background([EmailMessage(subject, body, to=[user.email]) for user in operators], what="analysis suspended")
