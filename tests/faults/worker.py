"""`python -m tests.faults.worker`: `manage.py run_worker` with a stub in place of the network and with places to fall.

What is brought in is brought in here, from the tests' side: the portal has no switch for it.
"""

import os
from collections.abc import Callable
from typing import Any

import django

from tests.faults.clock import mend_sleep
from tests.faults.failpoints import note, reach


def passing(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with a place to fall before it."""

    def call(*given: Any, **named: Any) -> Any:
        reach(name)
        return function(*given, **named)

    return call


def main() -> None:
    mend_sleep()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pneumo_site.settings")
    django.setup()
    from django.core.management import call_command

    from diagnostics import worker
    from diagnostics.services import analysis, heartbeat, inference
    from mlmodel import api
    from tests.faults.marks import network_runs

    if not network_runs():
        from tests.faults import stub

        api.load = stub.load  # type: ignore[assignment]
    heartbeat.BEAT_SECONDS = float(os.environ.get("FAULTS_BEAT_SECONDS", "5"))  # type: ignore[assignment]
    store_results = analysis.store_results

    def store(*, results: Any) -> int:
        reach("worker.before_store")
        written = store_results(results=results)
        note("fenced", len(results) - written)
        reach("worker.after_store")
        return written

    analysis.store_results = store
    inference.infer_batch = passing("worker.in_hand", inference.infer_batch)
    if os.environ.get("FAULTS_NO_FENCE"):
        from diagnostics.models import Case

        analysis.held = lambda case: Case.objects.filter(pk=case.pk)
    worker.InferenceWorker.execute_job = passing(  # type: ignore[method-assign]
        "worker.popped", worker.InferenceWorker.execute_job
    )
    call_command("run_worker")


if __name__ == "__main__":
    main()
