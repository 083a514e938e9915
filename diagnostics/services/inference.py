"""From claimed rows to results: fetch, decode, one forward pass, store. No step holds a transaction while it computes."""

import logging
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError, StoredFilmDamagedError
from diagnostics.models import Case
from diagnostics.monitoring.instruments import BATCH_FILMS
from diagnostics.services import analysis
from diagnostics.services.ages import age_at_study
from diagnostics.services.analysis import Result
from mlmodel import api

if TYPE_CHECKING:
    from mlmodel.api import DecodedFilm, Predictor

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Batch:
    """Claimed cases on their way through the pipeline: films still to be read, and what is known already."""

    cases: list[Case]
    films: list[tuple[Case, "DecodedFilm"]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    heatmaps: list[tuple[str, bytes]] = field(default_factory=list)
    storage_failed: bool = False


def read_batch(*, cases: list[Case], predictor: "Predictor", executor: Executor) -> Batch:
    """Fetch and decode. A film that cannot be had or read ends alone; the others go on.

    Raises `DecoderUnavailableError` when no decoding child can be started.
    """
    batch = Batch(cases)
    # The threads fetch and leave the rows alone: a database connection of theirs would be closed or renewed by nobody.
    answers = list(zip(cases, executor.map(_fetch, cases), strict=True))
    fetched = [(case, answer) for case, answer in answers if isinstance(answer, bytes)]
    for case, answer in answers:
        if not isinstance(answer, bytes):
            _give_up_fetching(batch, case, answer)
    overridden = analysis.overridden_codes([case for case, _ in fetched])
    decoded = predictor.decode([content for _, content in fetched], [overridden[case.pk] for case, _ in fetched])
    for (case, _), film in zip(fetched, decoded, strict=True):
        admitted = film if isinstance(film, api.Refusal) else admit_by_age(case, film, predictor.info.intended_use)
        if isinstance(admitted, api.Refusal):
            batch.results.append(Result(case, admitted, predictor.engine))
        else:
            batch.films.append((case, admitted))
    return batch


def _fetch(case: Case) -> bytes | StorageUnavailableError | StoredFilmDamagedError:
    try:
        return storage.read_film(case.original_key, sha256=case.sha256)
    except (StorageUnavailableError, StoredFilmDamagedError) as error:
        return error


def _give_up_fetching(batch: Batch, case: Case, error: StorageUnavailableError | StoredFilmDamagedError) -> None:
    if isinstance(error, StoredFilmDamagedError):
        logger.error("case %s: %s", case.pk, error)
        analysis.fail_case(case=case, code="FILM_DAMAGED")
        return
    logger.warning("case %s: storage unavailable: %s", case.pk, error)
    batch.storage_failed = True
    analysis.release_case(case=case, code="STORAGE")


def admit_by_age(case: Case, film: "DecodedFilm", use: api.IntendedUse) -> "DecodedFilm | api.Refusal":
    """The film, or its refusal where the patient's age, as far as it is known, is not one of the version's intended use."""
    age = age_at_study(case, film.study_date)
    is_admitted = age is None or "AGE_OUT_OF_RANGE" in film.overridden or use.covers_age(age)
    return film if is_admitted else api.refusal("AGE_OUT_OF_RANGE")


def infer_batch(*, batch: Batch, predictor: "Predictor") -> None:
    """One forward pass for the batch; if that fails, each film by itself, so that one cannot fail its neighbours."""
    if not batch.films:
        return
    BATCH_FILMS.observe(len(batch.films))
    try:
        outcomes = predictor.infer([film for _, film in batch.films])
    except Exception:  # whatever a tensor library raises: the films are tried one by one
        logger.exception("forward pass of %s films failed", len(batch.films))
        _infer_singly(batch, predictor)
        return
    for (case, _), outcome in zip(batch.films, outcomes, strict=True):
        _add_outcome(batch, case, outcome, predictor.engine)


def _infer_singly(batch: Batch, predictor: "Predictor") -> None:
    for case, film in batch.films:
        try:
            outcome = predictor.infer([film])[0]
        except Exception:  # as above: this film alone is to blame
            logger.exception("case %s: forward pass failed", case.pk)
            analysis.release_case(case=case, code="INTERNAL")
        else:
            _add_outcome(batch, case, outcome, predictor.engine)


def _add_outcome(batch: Batch, case: Case, outcome: api.Outcome, engine: str) -> None:
    if isinstance(outcome, api.Refusal):
        batch.results.append(Result(case, outcome, engine))
        return
    key = storage.new_heatmap_key()
    batch.heatmaps.append((key, outcome.heatmap_png))
    batch.results.append(Result(case, outcome, engine, key))


def store_batch(*, batch: Batch, executor: Executor) -> int:
    """Heatmaps first, then the rows that name them. Where storage does not take a heatmap the case goes back to the queue, with
    its attempt: a disk that is nearly full takes the probe, and would use up all of them."""
    saved = dict(executor.map(_save_heatmap, batch.heatmaps))
    results = []
    for result in batch.results:
        if result.heatmap_key and not saved[result.heatmap_key]:
            batch.storage_failed = True
            analysis.return_case(case=result.case)
        else:
            results.append(result)
    return analysis.store_results(results=results) if results else 0


def _save_heatmap(item: tuple[str, bytes]) -> tuple[str, bool]:
    key, content = item
    try:
        storage.save_derived(key, content)
    except StorageUnavailableError as error:
        logger.warning("heatmap not stored: %s", error)
        return key, False
    return key, True
