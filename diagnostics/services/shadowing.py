"""A version in shadow reads what the version in service has read; while none is in service, what waits for one.

Nobody sees its results, and its failures touch no case.
"""

import logging
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Model, Q, QuerySet

from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError, StoredFilmDamagedError
from diagnostics.models import Case, Prediction
from diagnostics.services import analysis
from diagnostics.services.inference import admit_by_age
from mlmodel import api

if TYPE_CHECKING:
    from mlmodel.api import Predictor

SHARES = 1000  # a case's lot is drawn from so many, by its random id
NONE_IN_SERVICE = ""  # in the tally's place of the version in service
M = TypeVar("M", bound=Model)

logger = logging.getLogger(__name__)


def read_next_in_shadow(*, predictor: "Predictor", against: str) -> bool:
    """Read one film with the version in shadow; false where none is left that `against`, the version in service, has read.

    The film is fetched and decoded anew, as the version in shadow wants it: its input size and its gate may be others. It is
    claimed for all workers by moving the run's bookmark before the model sees it, so that a film that ends the process is not
    met a second time.
    """
    run = api.open_shadow_run(version=predictor.info.version, against=against)
    shown = _next_shown(run)
    if shown is None:
        return False
    return _read_once(run, predictor, shown.case, bookmark=_bookmark(shown.created_at, shown.pk), shown=shown)


def read_next_waiting(*, predictor: "Predictor") -> bool:
    """Read one film that waits because no version is in service; false where none is left. Its case goes on waiting.

    There is no other reading to agree with: what is kept is the version's own, for whoever judges whether it may come back.
    """
    run = api.open_shadow_run(version=predictor.info.version, against=NONE_IN_SERVICE)
    case = _next_waiting(run)
    if case is None:
        return False
    return _read_once(run, predictor, case, bookmark=_bookmark(case.queued_at, case.pk), shown=None)


def _read_once(run: api.ShadowRun, predictor: "Predictor", case: Case, *, bookmark: str, shown: Prediction | None) -> bool:
    """Read the film that the bookmark stands behind; false where it is to be tried again."""
    is_drawn = case.pk.int % SHARES < settings.SHADOW_SHARE * SHARES
    try:
        film = storage.read_film(case.original_key, sha256=case.sha256) if is_drawn else b""
    except StoredFilmDamagedError:
        film = b""
    except StorageUnavailableError as error:
        logger.warning("case %s: not read in shadow yet: %s", case.pk, type(error).__name__)
        return False
    if not api.claim_shadow_films(run=run, cursor=bookmark) or not film:
        return True
    try:
        outcome = _read(predictor, case, film)
    except api.DecoderUnavailableError:
        logger.warning("case %s: not read in shadow: no decoding child", case.pk)
    except Exception:  # whatever a candidate's engine raises: it is a candidate's
        logger.exception("case %s: not read in shadow", case.pk)
    else:
        _keep(run, case, outcome, predictor.engine, shown=shown)
    return True


def _next_waiting(run: api.ShadowRun) -> Case | None:
    """The longest waiting film behind the bookmark that the version has not read."""
    waiting = Case.objects.queued().exclude(predictions__model_version=run.version)
    return _behind(waiting, run.cursor, "queued_at").select_related("patient").first()


def _next_shown(run: api.ShadowRun) -> Prediction | None:
    """The earliest result of the version in service that lies behind the bookmark."""
    shown = Prediction.objects.filter(is_shadow=False, model_version=run.against)
    shown = shown.filter(case__state=Case.State.DONE, case__purged_at=None)
    if not run.cursor:
        shown = shown.filter(created_at__gte=run.since)
    shown = _behind(shown, run.cursor, "created_at")
    return shown.select_related("case__patient").order_by("created_at", "pk").first()


def _behind(rows: QuerySet[M], cursor: str, column: str) -> QuerySet[M]:
    """The rows after the bookmark by that time and their key; all where there is none."""
    if not cursor:
        return rows
    at, pk = cursor.split()
    after = datetime.fromisoformat(at)
    return rows.filter(Q(**{f"{column}__gt": after}) | Q(**{column: after}, pk__gt=UUID(pk)))


def _bookmark(at: datetime, pk: UUID) -> str:
    return f"{at.isoformat()} {pk}"


def _read(predictor: "Predictor", case: Case, film: bytes) -> api.Outcome:
    overridden = analysis.overridden_codes([case])[case.pk]
    decoded = predictor.decode([film], [overridden])[0]
    if isinstance(decoded, api.Refusal):
        return decoded
    admitted = admit_by_age(case, decoded, predictor.info.intended_use)
    return admitted if isinstance(admitted, api.Refusal) else predictor.infer([admitted])[0]


def _keep(run: api.ShadowRun, case: Case, outcome: api.Outcome, engine: str, *, shown: Prediction | None) -> None:
    """The row that nobody sees and the tally, together; a film that the version has read before is not counted again."""
    if isinstance(outcome, api.Refusal):
        api.record_shadow_readings(run=run, readings=[], refused=1)
        return
    with transaction.atomic():
        columns = analysis.prediction_columns(outcome, engine) | {"is_shadow": True}
        _, is_new = Prediction.objects.get_or_create(case=case, model_version=run.version, defaults=columns)
        if is_new and shown:
            reading = api.ShadowReading(outcome.probability, outcome.label, shown.probability, shown.label)
            api.record_shadow_readings(run=run, readings=[reading])
