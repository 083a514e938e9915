"""The picture of a film for the browser: which worker draws it, and what became of it.

A film is claimed for drawing by columns of its own, so that a picture keeps no film from its analysis. Each try is counted
before the film is opened: one that ends the worker is tried again alone, and at most `ANALYSIS_MAX_ATTEMPTS` times.
"""

import logging
from concurrent.futures import Executor
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import F, Q
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError, StoredFilmDamagedError
from diagnostics.models import Case
from diagnostics.querysets import CaseQuerySet, display_lease
from diagnostics.services.analysis import alone_if_interrupted
from mlmodel import api

if TYPE_CHECKING:
    from mlmodel.api import Predictor

# Before a film whose storage or decoder did not answer has its next turn; the others have theirs meanwhile
RETRY_AFTER = timedelta(seconds=5)

logger = logging.getLogger(__name__)


def draw_displays(
    *, cases: CaseQuerySet, limit: int, predictor: "Predictor", executor: Executor, hands_free: bool = True
) -> int:
    """Draw the browser's picture for the first of these films; returns how many were settled."""
    claimed = claim_displays(cases=cases, limit=limit, hands_free=hands_free)
    # The threads draw and leave the rows alone: a database connection of theirs would be closed or renewed by nobody.
    drawn = list(zip(claimed, executor.map(lambda case: _draw_display(case, predictor), claimed), strict=True))
    settled = 0
    for case, result in drawn:
        if result is None:
            _put_back(case)
        elif result[0] != Case.Display.PENDING:
            settled += 1
            if not set_display(case=case, display=result[0], pixel_sha256=result[1]):
                _forget_display(case)
    return settled


def claim_displays(*, cases: CaseQuerySet, limit: int, hands_free: bool) -> list[Case]:
    """Take the first of these films, each by one conditional UPDATE; one that was interrupted before is taken as
    `analysis.claim_cases` does, and one that has used its tries has no picture."""
    found = {case.pk: case for case in cases[:limit]}
    used_up = [case for case in found.values() if case.display_attempt >= settings.ANALYSIS_MAX_ATTEMPTS]
    for case in used_up:
        logger.error("case %s: picture given up after %s tries", case.pk, case.display_attempt)
        set_display(case=case, display=Case.Display.UNAVAILABLE)
        del found[case.pk]
    chosen = alone_if_interrupted([(pk, case.display_attempt) for pk, case in found.items()], hands_free=hands_free)
    return [found[pk] for pk in chosen if _claim(found[pk])]


def _claim(case: Case) -> bool:
    """False where another worker was first."""
    seen = Case.objects.filter(pk=case.pk, display=Case.Display.PENDING, display_attempt=case.display_attempt)
    return bool(seen.update(display_attempt=F("display_attempt") + 1, display_lease_until=_from_now(display_lease())))


def _put_back(case: Case) -> None:
    """What could not even be begun is tried again after a while, and does not count: the film is not to blame."""
    claimed = Case.objects.filter(pk=case.pk, display=Case.Display.PENDING, display_attempt=case.display_attempt + 1)
    claimed.update(display_attempt=F("display_attempt") - 1, display_lease_until=_from_now(RETRY_AFTER))


def _from_now(time: timedelta) -> CombinedExpression:
    """By the database's clock, as a lease on the analysis."""
    return Now() + time


def _draw_display(case: Case, predictor: "Predictor") -> tuple[str, str] | None:
    """What became of the picture, and the hash of its pixels; `PENDING` where the try counts, None where it does not.

    Runs in a thread that leaves the rows alone.
    """
    try:
        picture = predictor.render_display(storage.read_film(case.original_key, sha256=case.sha256))
        storage.save_derived(storage.display_key(case.pk), picture.png)
    except (StorageUnavailableError, api.DecoderUnavailableError) as error:
        logger.warning("case %s: picture not drawn yet: %s", case.pk, type(error).__name__)
        return None
    except (StoredFilmDamagedError, api.RejectedImageError) as error:
        logger.warning("case %s: picture cannot be drawn: %s", case.pk, type(error).__name__)
        return Case.Display.UNAVAILABLE, ""
    except Exception:  # whatever it is, the pictures drawn beside it are kept
        logger.exception("case %s: picture not drawn", case.pk)
        return Case.Display.PENDING, ""
    return Case.Display.READY, picture.pixel_sha256


def set_display(*, case: Case, display: str, pixel_sha256: str = "") -> bool:
    """The picture for the browser is there, or never will be. Now the pixels are known too, and with them other copies.

    False where nobody waits for it any more.
    """
    case.pixel_sha256 = pixel_sha256
    earlier = Case.objects.same_film(case).order_by("created_at").first()
    pending = Case.objects.filter(pk=case.pk, display=Case.Display.PENDING)
    if not pending.update(display=display, pixel_sha256=pixel_sha256, duplicate_of=earlier, display_lease_until=None):
        return False
    if pixel_sha256:
        _link_later_copies(case, earlier or case)
    return True


def _link_later_copies(case: Case, first: Case) -> None:
    """The newest films are drawn first: a copy whose pixels were known before these could not be told of them."""
    later = Case.objects.filter(
        hospital=case.hospital_id, pixel_sha256=case.pixel_sha256, created_at__gt=case.created_at
    ).exclude(pk=case.pk)
    later.filter(Q(duplicate_of=None) | Q(duplicate_of__created_at__gt=first.created_at)).update(duplicate_of=first)


def _forget_display(case: Case) -> None:
    """A film that was removed or found unreadable while its picture was drawn leaves none behind; another worker's stays."""
    if Case.objects.filter(pk=case.pk, display=Case.Display.UNAVAILABLE).exists():
        storage.delete_quietly(storage.display_key(case.pk))
