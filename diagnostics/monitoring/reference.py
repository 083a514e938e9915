"""The scores that a version was validated with, counted once for a process: an artifact does not change."""

import logging
from functools import lru_cache

from diagnostics.monitoring.drift import count_by_bin
from mlmodel import api

logger = logging.getLogger(__name__)


@lru_cache(maxsize=4)
def reference_counts(version: str) -> tuple[int, ...]:
    """Films of the evaluation by bin of their score; zeros where the version's predictions are not to be had."""
    try:
        scores = api.reference_scores(version)
    except api.ModelError as error:
        logger.warning("no reference scores of version %s: %s", version, type(error).__name__)
        scores = ()
    return tuple(count_by_bin(scores))
