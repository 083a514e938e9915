"""What a job of the queue does: it wakes the pipeline of the process it runs in."""

import logging

from diagnostics import worker

DRAIN_SECONDS = 20.0

logger = logging.getLogger(__name__)


def analyse_case(case_id: str) -> None:
    """A wake-up call for one case. It ends when the worker has nothing left to do, so that the calls for cases which were
    analysed meanwhile are taken when they take nobody's time."""
    logger.debug("called for case %s", case_id)
    worker.current_pipeline().wake()
    worker.current_pipeline().wait_until_idle(seconds=DRAIN_SECONDS)
