"""The workers' heartbeats, by the database's clock."""

from datetime import timedelta

from django.db.models.functions import Now

from diagnostics.models import Worker

BEAT_SECONDS = 5
SILENT_SECONDS = 20  # after which a worker counts as gone
FORGET_AFTER = timedelta(days=1)


def start_worker(*, name: str, model_version: str, engine: str) -> None:
    Worker.objects.update_or_create(
        name=name,
        defaults={
            "model_version": model_version,
            "engine": engine,
            "started_at": Now(),
            "beat_at": Now(),
            "stopped_at": None,
        },
    )


def beat(*, name: str) -> None:
    Worker.objects.filter(name=name).update(beat_at=Now())


def stop_worker(*, name: str) -> None:
    Worker.objects.filter(name=name).update(stopped_at=Now())


def forget_old_workers() -> None:
    """Rows of workers that are long gone; the latest stays, so that the portal can say since when there is none."""
    latest = Worker.objects.order_by("-beat_at").values("pk")[:1]
    Worker.objects.filter(beat_at__lt=Now() - FORGET_AFTER).exclude(pk__in=latest).delete()
