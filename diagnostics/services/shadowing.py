"""A version in shadow reads what the version in service has read. Nobody sees its results, and its failures touch no case."""

import logging
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError, StoredFilmDamagedError
from diagnostics.models import Case, Prediction
from diagnostics.services import analysis
from diagnostics.services.inference import refuse_by_age
from mlmodel import api

if TYPE_CHECKING:
    from mlmodel.api import Predictor

SHARES = 1000  # a case's lot is drawn from so many, by its random id

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
    is_drawn = shown.case_id.int % SHARES < settings.SHADOW_SHARE * SHARES
    try:
        film = storage.read_film(shown.case.original_key, sha256=shown.case.sha256) if is_drawn else b""
    except StoredFilmDamagedError:
        film = b""
    except StorageUnavailableError as error:
        logger.warning("case %s: not read in shadow yet: %s", shown.case_id, type(error).__name__)
        return False
    if not api.claim_shadow_films(run=run, cursor=_bookmark(shown)) or not film:
        return True
    try:
        outcome = _read(predictor, shown.case, film)
    except api.DecoderUnavailableError:
        logger.warning("case %s: not read in shadow: no decoding child", shown.case_id)
    except Exception:  # whatever a candidate's engine raises: it is a candidate's
        logger.exception("case %s: not read in shadow", shown.case_id)
    else:
        _keep(run, shown, outcome, predictor.engine)
    return True


def _next_shown(run: api.ShadowRun) -> Prediction | None:
    """The earliest result of the version in service that lies behind the bookmark."""
    shown = Prediction.objects.filter(is_shadow=False, model_version=run.against)
    shown = shown.filter(case__state=Case.State.DONE, case__purged_at=None)
    if run.cursor:
        at, pk = run.cursor.split()
        after = datetime.fromisoformat(at)
        shown = shown.filter(Q(created_at__gt=after) | Q(created_at=after, pk__gt=UUID(pk)))
    else:
        shown = shown.filter(created_at__gte=run.since)
    return shown.select_related("case__patient").order_by("created_at", "pk").first()


def _bookmark(shown: Prediction) -> str:
    return f"{shown.created_at.isoformat()} {shown.pk}"


def _read(predictor: "Predictor", case: Case, film: bytes) -> api.Outcome:
    overridden = analysis.overridden_codes([case])[case.pk]
    decoded = predictor.decode([film], [overridden])[0]
    if isinstance(decoded, api.Refusal):
        return decoded
    refused = refuse_by_age(case, predictor.info.intended_use, overridden)
    return refused or predictor.infer([decoded])[0]


def _keep(run: api.ShadowRun, shown: Prediction, outcome: api.Outcome, engine: str) -> None:
    """The row that nobody sees and the tally, together; a film that the version has read before is not counted again."""
    if isinstance(outcome, api.Refusal):
        api.record_shadow_readings(run=run, readings=[], refused=1)
        return
    with transaction.atomic():
        columns = analysis.prediction_columns(outcome, engine) | {"is_shadow": True}
        _, is_new = Prediction.objects.get_or_create(case=shown.case, model_version=run.version, defaults=columns)
        if is_new:
            reading = api.ShadowReading(outcome.probability, outcome.label, shown.probability, shown.label)
            api.record_shadow_readings(run=run, readings=[reading])
