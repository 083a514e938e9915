"""Storage, model and workers: the same probes as /readyz asks, with what mends them."""

from typing import Any

from django.conf import settings

from diagnostics import metrics, storage
from diagnostics.models import Case
from diagnostics.services.checkup.findings import Finding, error, ok, warning, worst
from diagnostics.services.versions import suspended_since
from mlmodel import api

OVERDUE_ROUNDS = 6  # of REQUEUE_AFTER_SECONDS; nothing waits so long where somebody calls for it again and again


def check_storage() -> Finding:
    if metrics.check_storage() == "ok":
        return ok("a probe was written, read and deleted")
    where = (
        "the bucket's settings (S3_…)" if settings.STORAGE_BACKEND == "s3" else f"{settings.MEDIA_DIR}, its owner and its disk"
    )
    return error("takes no films", f"Look at {where}. Uploads are answered with 503 until then.")


def check_bucket() -> Finding:
    if settings.STORAGE_BACKEND != "s3":
        return ok("none: films are local files")
    bucket: Any = storage.films()
    facts: dict[str, bool | None] = bucket.describe_bucket()
    mends = {
        "public access is blocked": (error, "Set all four flags of the bucket's public access block."),
        "objects are encrypted": (warning, "Set the bucket's default encryption."),
        "versions are kept": (
            warning,
            "Switch on versioning, with a rule that ends earlier versions after the retention time.",
        ),
    }
    complaints = [
        complain(f"it is not so that {fact}", mend) for fact, (complain, mend) in mends.items() if facts[fact] is False
    ]
    unknown = [fact for fact in mends if facts[fact] is None]
    if unknown:
        complaints.append(warning(f"cannot be told whether {', '.join(unknown)}", "Let the portal's role read these settings."))
    return worst(complaints, otherwise="private, encrypted, versioned")


def check_model() -> Finding:
    """The active version's files against their hashes, then what the workers say of it."""
    mend = "Put its files back, or run: manage.py rollback_model"
    try:
        info = api.verify_version()
    except api.NoVersionInServiceError:
        return warning(metrics.check_model(), "docs/runbook.md, AnalysisSuspended: rollback_model, or activate_model.")
    except api.ArtifactMissingError:
        return error("the active version's files are missing", mend)
    except api.ArtifactCorruptError:
        return error("the active version's files are not those that were registered", mend)
    except api.ArtifactIncompatibleError:
        return error("the active version was made for other software", mend)
    state = metrics.check_model()
    if state != "ok":
        return warning(state, mend)
    return ok(f"version {info.version}, every file as registered")


def check_worker() -> Finding:
    if metrics.check_worker() == "ok":
        return ok("at least one is alive")
    return error("none has been heard of: films are accepted and wait", "Start manage.py run_worker, and look at its log.")


def check_queue() -> Finding:
    seconds = OVERDUE_ROUNDS * settings.REQUEUE_AFTER_SECONDS
    waiting = Case.objects.overdue(seconds=seconds).count()
    if waiting and suspended_since():
        return ok(f"{waiting} film(s) wait for a version to be in service again")
    if waiting:
        return warning(
            f"{waiting} film(s) wait for longer than {seconds} s",
            "Start more workers; and see that manage.py reconcile runs, or WORKER_RECONCILES is set.",
        )
    return ok(f"no film waits for longer than {seconds} s")
