"""Two people at the same moment: one of them changes the version, the other is told. Also run on PostgreSQL."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from accounts.models import User
from mlmodel.models import ModelVersion, Promotion, VersionEvent
from mlmodel.services.errors import LifecycleError
from mlmodel.services.lifecycle import Act, activate, find_version, put_in_shadow, roll_back, suspend
from mlmodel.services.promotion import activate_version, approve_promotion
from tests.mlmodel.services.conftest import Evaluate

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*steps: Callable[[], object]) -> list[str]:
    """What came of each: `done`, or the complaint."""
    barrier = threading.Barrier(len(steps))

    def run(step: Callable[[], object]) -> str:
        barrier.wait(10)
        try:
            step()
        except LifecycleError as error:
            return str(error)
        else:
            return "done"
        finally:
            connection.close()

    with ThreadPoolExecutor(len(steps)) as people:
        return list(people.map(run, steps))


def states() -> list[str]:
    return sorted(ModelVersion.objects.values_list("state", flat=True))


def test_of_two_first_activations_at_once_each_leaves_one_version_active(operator: User) -> None:
    for version in ("2.0.0", "3.0.0"):
        find_version(version)
    answers = at_once(
        lambda: activate(version="2.0.0", act=Act(operator)), lambda: activate(version="3.0.0", act=Act(operator))
    )
    assert "done" in answers
    assert ModelVersion.objects.filter(state="active").count() == 1
    last = VersionEvent.objects.filter(kind="activated").last()
    assert last is not None
    assert ModelVersion.objects.get(state="active").version == last.version_id


def test_of_two_approvals_at_once_one_counts(evaluate: Evaluate, operator: User, second: User) -> None:
    evaluate("1.0.0", error=0.05)
    evaluate("2.0.0", error=0.0)
    activate_version(version="2.0.0", person=operator)
    promotion = Promotion.objects.select_related("requested_by").get()
    answers = at_once(*[lambda: approve_promotion(promotion=promotion, person=second)] * 4)
    assert answers.count("done") == 1
    assert VersionEvent.objects.filter(version="2.0.0", kind="activated").count() == 1
    assert states() == ["active", "retired"]


def test_of_two_requests_at_once_one_is_kept(evaluate: Evaluate, operator: User, second: User) -> None:
    evaluate("1.0.0", error=0.05)
    evaluate("2.0.0", error=0.0)
    at_once(
        lambda: activate_version(version="2.0.0", person=operator), lambda: activate_version(version="2.0.0", person=second)
    )
    assert Promotion.objects.exclude(state="superseded").count() == 1


def test_rollbacks_at_once_go_back_one_step_each_and_never_too_far(operator: User) -> None:
    for version in ("2.0.0", "3.0.0"):
        find_version(version)
        activate(version=version, act=Act(operator))
    answers = at_once(*[lambda: roll_back(act=Act(operator))] * 4)
    assert 1 <= answers.count("done") <= 2
    steps = VersionEvent.objects.filter(kind="rolled_back").values_list("version_id", flat=True)
    assert list(steps) == ["2.0.0", "1.0.0"][: len(steps)]
    assert ModelVersion.objects.get(state="active").version == list(steps)[-1]


def test_two_shadows_at_once_leave_one(operator: User) -> None:
    for version in ("2.0.0", "3.0.0"):
        find_version(version)
    at_once(
        lambda: put_in_shadow(version="2.0.0", act=Act(operator)), lambda: put_in_shadow(version="3.0.0", act=Act(operator))
    )
    assert states() == ["candidate", "shadow"]


@pytest.mark.parametrize("as_shipped", [True, False])
def test_of_two_that_apply_the_stop_rule_at_once_one_does(operator: User, as_shipped: bool) -> None:
    find_version("2.0.0")
    version = "1.0.0" if as_shipped else "2.0.0"
    if not as_shipped:
        activate(version=version, act=Act(operator))
    done: list[bool] = []
    at_once(*[lambda: done.append(suspend(version=version, act=Act(None, reason="Stop rule: drift.")))] * 2)
    assert done.count(True) == 1
    assert VersionEvent.objects.filter(kind="suspended").count() == 1


def test_a_version_that_is_suspended_while_another_is_activated_leaves_one_answer(operator: User) -> None:
    for version in ("2.0.0", "3.0.0"):
        find_version(version)
    activate(version="2.0.0", act=Act(operator))
    at_once(
        lambda: suspend(version="2.0.0", act=Act(None, reason="Stop rule: drift.")),
        lambda: activate(version="3.0.0", act=Act(operator)),
    )
    assert ModelVersion.objects.get(state="active").version == "3.0.0"
    assert not ModelVersion.objects.filter(suspended_at__isnull=False).exists()
