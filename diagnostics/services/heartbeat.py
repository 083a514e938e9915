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
            "model_error": "",
            "started_at": Now(),
            "beat_at": Now(),
            "stopped_at": None,
        },
    )
    Worker.objects.filter(stopped_at__isnull=False, model_error__gt="").delete()


def describe_model(*, name: str, model_version: str, engine: str, model_error: str) -> None:
    """Which version a worker serves now, and why it is not the active one."""
    Worker.objects.filter(name=name).update(model_version=model_version, engine=engine, model_error=model_error)


def record_failed_start(*, host: str, model_error: str) -> None:
    """A worker that could not begin leaves one row per machine, however often it is started again; it never counts as alive.

    `beat_at` stays at the first failure: the portal says since when there is no worker.
    """
    row, _ = Worker.objects.get_or_create(name=f"{host}:not started"[:100], defaults={"stopped_at": Now()})
    Worker.objects.filter(pk=row.pk).update(model_error=model_error, started_at=Now())


def model_trouble() -> str:
    """What is wrong with the model that workers serve, or refuse to start with; empty where nothing is.

    While a worker is alive the words say which version goes on serving.
    """
    alive = Worker.objects.alive(seconds=SILENT_SECONDS)
    if alive.exists():
        row = alive.filter(model_error__gt="").order_by("-beat_at").first()
        return f"{row.model_error}, still serving {row.model_version}" if row else ""
    failed = Worker.objects.filter(stopped_at__isnull=False, model_error__gt="").order_by("-started_at").first()
    return failed.model_error if failed else ""


def beat(*, name: str) -> None:
    Worker.objects.filter(name=name).update(beat_at=Now())


def stop_worker(*, name: str) -> None:
    Worker.objects.filter(name=name).update(stopped_at=Now())


def forget_old_workers() -> None:
    """Rows of workers that are long gone; the latest stays, so that the portal can say since when there is none."""
    latest = Worker.objects.order_by("-beat_at").values("pk")[:1]
    Worker.objects.filter(beat_at__lt=Now() - FORGET_AFTER).exclude(pk__in=latest).delete()
