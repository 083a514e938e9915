"""`python -m tests.backup.fill NUMBER`: cases with films, results and reviews where the environment says."""

import hashlib
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pneumo_site.settings")


def fill(count: int) -> None:
    from django.utils import timezone

    from accounts import audit
    from diagnostics import storage
    from diagnostics.models import Review
    from diagnostics.services.reconciliation import keep_audit_head
    from tests.diagnostics.cases import make_case, make_prediction
    from tests.factories import HospitalFactory, UserFactory

    hospital = HospitalFactory(name="Riverside")
    doctor = UserFactory(hospital=hospital, email="doctor@riverside.example")
    for number in range(count):
        film = hashlib.shake_256(str(number).encode()).digest(70_000 * (number + 1))  # over one chunk
        case = make_case(doctor, state="done", sha256=hashlib.sha256(film).hexdigest(), size_bytes=len(film))
        prediction = make_prediction(case)
        for key, content in (
            (case.original_key, film),
            (storage.display_key(case.pk), film[:5000]),
            (prediction.heatmap_key, film[:300]),
        ):
            storage.save_derived(key, content)
        Review.objects.create(
            case=case, prediction=prediction, reviewer=doctor, verdict="agree", finding="PNEUMONIA", signed_at=timezone.now()
        )
        audit.record(audit.Action.CASE_VIEWED, actor=doctor, object_type="case", object_id=case.pk)
    keep_audit_head()


if __name__ == "__main__":
    django.setup()
    fill(int(sys.argv[1]))
