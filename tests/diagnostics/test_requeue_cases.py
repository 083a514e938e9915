"""`requeue_cases`: by code or by id, and nothing else."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from diagnostics.models import Case
from tests.diagnostics.cases import make_case


def requeue(*ids: str, **options: Any) -> dict[str, int]:
    out = StringIO()
    call_command("requeue_cases", *ids, json=True, stdout=out, **options)
    counts: dict[str, int] = json.loads(out.getvalue())
    return counts


def test_cases_with_a_code_are_analysed_again(doctor: User) -> None:
    outage = make_case(doctor, state="failed", failure_code="STORAGE")
    other = make_case(doctor, state="failed", failure_code="CANCELLED")
    assert requeue(code="STORAGE") == {"found": 1, "requeued": 1}
    assert [Case.objects.get(pk=case.pk).state for case in (outage, other)] == ["queued", "failed"]


def test_a_case_is_named_by_id_and_a_done_one_is_left_alone(doctor: User) -> None:
    refused, done = make_case(doctor, state="refused"), make_case(doctor, state="done")
    assert requeue(str(refused.pk), str(done.pk)) == {"found": 1, "requeued": 1}


def test_a_dry_run_changes_nothing(doctor: User) -> None:
    make_case(doctor, state="failed", failure_code="STORAGE")
    assert requeue(code="STORAGE", dry_run=True) == {"found": 1, "requeued": 0}


@pytest.mark.parametrize(("ids", "options"), [((), {}), (("not-an-id",), {}), (("x",), {"code": "STORAGE"})])
def test_anything_else_is_refused_in_one_line(db: None, ids: tuple[str, ...], options: dict[str, Any]) -> None:
    with pytest.raises(CommandError):
        requeue(*ids, **options)
