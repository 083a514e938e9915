"""What a job of the queue does: it wakes the pipeline of the process it runs in."""

from uuid import UUID

from diagnostics import worker

DRAIN_SECONDS = 20.0


def analyse_case(case_id: str) -> None:
    """A wake-up call for one case. By the time later calls are taken, their cases are mostly done: those cost a millisecond."""
    worker.current_pipeline().wake()
    worker.current_pipeline().wait_for(UUID(case_id), seconds=DRAIN_SECONDS)
