"""Cases for tests, made the way the portal makes them or directly in a state."""

from typing import Any
from uuid import uuid4

from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from accounts.models import User
from diagnostics import storage
from diagnostics.models import Case, Prediction
from diagnostics.services.uploads import AcceptedUpload, accept_upload

WORKER = "test-worker:1"


def upload(uploader: User, content: bytes, *, name: str = "film.jpg", **fields: Any) -> AcceptedUpload:
    """Through the gate, as a view or the API would."""
    return accept_upload(uploader=uploader, file=SimpleUploadedFile(name, content), **fields)


def make_case(uploader: User, *, state: str = "queued", **columns: Any) -> Case:
    """A row in that state, with what the state's constraints ask for and no stored film."""
    case_id = columns.pop("id", None) or uuid4()
    final = state in {"done", "refused", "failed"}
    defaults: dict[str, Any] = {
        "hospital": uploader.hospital,
        "file_name": "film.jpg",
        "original_key": storage.original_key(case_id),
        "sha256": case_id.hex * 2,
        "format": "JPEG",
        "size_bytes": 1000,
        "width": 900,
        "height": 1024,
        "finished_at": timezone.now() if final else None,
        "lease_until": timezone.now() if state == "processing" else None,
        "refusal_code": "COLOUR_PHOTO" if state == "refused" else "",
        "failure_code": "INTERNAL" if state == "failed" else "",
        "display": "ready" if final else "pending",
        "attempt": 0 if state == "queued" else 1,
        "worker": "" if state == "queued" else WORKER,
    }
    return Case.objects.create(id=case_id, uploader=uploader, state=state, **(defaults | columns))


def make_prediction(case: Case, *, probability: float = 0.9, threshold: float = 0.5, **columns: Any) -> Prediction:
    """What the model says of it; the label follows."""
    label = "PNEUMONIA" if probability >= threshold else "NORMAL"
    defaults = {"model_version": "1.0.0", "engine": "test", "heatmap_key": storage.new_heatmap_key()}
    return Prediction.objects.create(
        case=case, probability=probability, threshold=threshold, label=label, **(defaults | columns)
    )
