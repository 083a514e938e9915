"""What a waiting doctor is told: the position in the queue, since when nothing works on it, or since when no version may."""

from dataclasses import dataclass
from datetime import datetime

from diagnostics.models import Case, Worker
from diagnostics.services.heartbeat import SILENT_SECONDS
from diagnostics.services.versions import suspended_since


@dataclass(frozen=True, slots=True)
class Progress:
    """`position` is 1 for the next film to be analysed, None once a worker has it or the result is there.

    `delayed_since` is when the last worker was heard of, None while one is alive; `no_worker_ever` where none ever was.
    `suspended_since` is since when no version is in service: then there is no position, and workers do not matter.
    """

    position: int | None = None
    delayed_since: datetime | None = None
    no_worker_ever: bool = False
    suspended_since: datetime | None = None

    @property
    def is_delayed(self) -> bool:
        return self.delayed_since is not None or self.no_worker_ever


def describe_progress(case: Case) -> Progress:
    """At most four small queries; none for a case that is final."""
    if case.is_final:
        return Progress()
    if case.state == Case.State.QUEUED and (since := suspended_since()):
        return Progress(suspended_since=since)
    position = Case.objects.ahead_of(case).count() + 1 if case.state == Case.State.QUEUED else None
    if Worker.objects.alive(seconds=SILENT_SECONDS).exists():
        return Progress(position)
    last = Worker.objects.order_by("-beat_at").first()
    if last is None:
        return Progress(position, no_worker_ever=True)
    return Progress(position, delayed_since=last.stopped_at or last.beat_at)
