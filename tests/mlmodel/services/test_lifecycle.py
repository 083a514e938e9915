"""A version's steps: one transaction each, at most one active and one in shadow, and the way back."""

import shutil
from pathlib import Path

import pytest
from django.db import IntegrityError, transaction

from accounts.models import User
from mlmodel.artifact import write_artifact
from mlmodel.models import ModelVersion, ShadowTally, VersionEvent
from mlmodel.registry import active_model_info, locate_version, register_named, versions_in_service
from mlmodel.services import lifecycle
from mlmodel.services.errors import LifecycleError
from mlmodel.services.lifecycle import Act, activate, end_shadow, find_version, put_in_shadow, roll_back, service_stack
from tests.mlmodel.services.conftest import CALIBRATED
from tests.mlmodel.test_artifact import FILES

pytestmark = pytest.mark.django_db


def activate_in_turn(person: User, *versions: str) -> None:
    for version in versions:
        find_version(version)
        activate(version=version, act=Act(person))


def states() -> dict[str, str]:
    return dict(ModelVersion.objects.values_list("version", "state"))


def test_the_first_activation_enters_the_shipped_version_as_the_one_before(operator: User, trained: Path) -> None:
    activate_in_turn(operator, "2.0.0")
    assert states() == {"1.0.0": "retired", "2.0.0": "active"}
    kinds = VersionEvent.objects.values_list("version_id", "kind", "from_state", "to_state")
    assert list(kinds) == [
        ("1.0.0", "activated", "candidate", "active"),
        ("1.0.0", "retired", "active", "retired"),
        ("2.0.0", "activated", "candidate", "active"),
    ]
    assert VersionEvent.objects.last().requested_by == operator  # type: ignore[union-attr]


def test_rollback_returns_to_the_shipped_version(operator: User) -> None:
    activate_in_turn(operator, "2.0.0")
    done = roll_back(act=Act(operator, reason="too many alarms"))
    assert (done.version, done.replaced) == ("1.0.0", "2.0.0")
    assert states() == {"1.0.0": "active", "2.0.0": "retired"}
    assert active_model_info().version == "1.0.0"
    assert VersionEvent.objects.last().reason == "too many alarms"  # type: ignore[union-attr]


def test_rolling_back_twice_goes_back_twice_and_then_no_further(operator: User) -> None:
    activate_in_turn(operator, "2.0.0", "3.0.0")
    assert roll_back(act=Act(operator)).version == "2.0.0"
    assert roll_back(act=Act(operator)).version == "1.0.0"
    with pytest.raises(LifecycleError, match=r"No version is left that was active before 1\.0\.0"):
        roll_back(act=Act(operator))
    assert versions_in_service().active == "1.0.0"


def test_what_was_rolled_back_is_not_gone_back_to(operator: User) -> None:
    activate_in_turn(operator, "2.0.0")
    roll_back(act=Act(operator))
    activate_in_turn(operator, "3.0.0")
    assert service_stack() == ["1.0.0", "3.0.0"]
    assert roll_back(act=Act(operator)).version == "1.0.0"


def test_a_retired_version_may_be_activated_again(operator: User) -> None:
    activate_in_turn(operator, "2.0.0", "3.0.0", "2.0.0")
    assert states() == {"1.0.0": "retired", "2.0.0": "active", "3.0.0": "retired"}
    assert roll_back(act=Act(operator)).version == "3.0.0"


def test_rollback_passes_over_a_version_that_is_not_whole(operator: User, trained: Path) -> None:
    activate_in_turn(operator, "2.0.0", "3.0.0")
    (locate_version("2.0.0").path / "serving.bin").write_bytes(b"harm")
    done = roll_back(act=Act(operator))
    assert (done.version, done.passed_over) == ("1.0.0", ("2.0.0",))


def test_rollback_with_nothing_whole_to_return_to_changes_nothing(operator: User) -> None:
    activate_in_turn(operator, "2.0.0")
    (locate_version("1.0.0").path / "serving.bin").write_bytes(b"harm")
    with pytest.raises(LifecycleError, match=r"1\.0\.0: not whole"):
        roll_back(act=Act(operator))
    assert states() == {"1.0.0": "retired", "2.0.0": "active"}


def test_rollback_before_any_activation_says_so(operator: User) -> None:
    with pytest.raises(LifecycleError, match=r"1\.0\.0 serves as shipped"):
        roll_back(act=Act(operator))


def test_a_release_with_a_newer_shipped_version_changes_nothing_after_an_activation(operator: User, shipped: Path) -> None:
    activate_in_turn(operator, "2.0.0")
    roll_back(act=Act(operator))
    write_artifact(shipped / "9.0.0", {**CALIBRATED, "version": "9.0.0"}, FILES)
    assert versions_in_service().active == "1.0.0"


def test_a_release_that_no_longer_ships_the_active_version_does_not_take_it_away(operator: User, shipped: Path) -> None:
    activate_in_turn(operator, "2.0.0")
    roll_back(act=Act(operator))
    shutil.rmtree(shipped / "1.0.0")
    assert active_model_info().version == "1.0.0"


def test_a_damaged_version_is_neither_registered_nor_found(trained: Path) -> None:
    (trained / "2.0.0" / "serving.bin").write_bytes(b"harm")
    with pytest.raises(LifecycleError, match="another SHA-256"):
        find_version("2.0.0")
    assert not ModelVersion.objects.exists()


def test_a_version_changed_after_it_was_registered_is_refused(trained: Path) -> None:
    find_version("2.0.0")
    metadata = trained / "2.0.0" / "metadata.json"
    metadata.write_text(metadata.read_text().replace("0.4", "0.3"))
    with pytest.raises(LifecycleError, match="not the file that was registered"):
        find_version("2.0.0")


def test_at_most_one_version_is_in_shadow(operator: User) -> None:
    for version in ("2.0.0", "3.0.0"):
        find_version(version)
    assert put_in_shadow(version="2.0.0", act=Act(operator)) is None
    assert put_in_shadow(version="3.0.0", act=Act(operator)) == "2.0.0"
    assert states() == {"2.0.0": "candidate", "3.0.0": "shadow"}
    with pytest.raises(IntegrityError), transaction.atomic():
        ModelVersion.objects.filter(version="2.0.0").update(state="shadow")


def test_the_tally_begins_anew_with_each_time_in_shadow(operator: User) -> None:
    row = find_version("2.0.0")
    ShadowTally.objects.create(version=row, against="1.0.0", n=5, agreed=4)
    put_in_shadow(version="2.0.0", act=Act(operator))
    assert not ShadowTally.objects.exists()


def test_the_version_in_service_is_not_its_own_shadow(operator: User) -> None:
    find_version("1.0.0")
    with pytest.raises(LifecycleError, match="is in service"):
        put_in_shadow(version="1.0.0", act=Act(operator))


def test_a_version_in_shadow_may_be_taken_out_or_activated(operator: User) -> None:
    find_version("2.0.0")
    put_in_shadow(version="2.0.0", act=Act(operator))
    assert versions_in_service().shadow == "2.0.0"
    assert end_shadow(act=Act(operator)) == "2.0.0"
    with pytest.raises(LifecycleError, match="No version is in shadow"):
        end_shadow(act=Act(operator))
    put_in_shadow(version="2.0.0", act=Act(operator))
    activate(version="2.0.0", act=Act(operator))
    assert (versions_in_service().active, versions_in_service().shadow) == ("2.0.0", None)


def test_a_step_that_fails_half_way_leaves_the_states_as_they_were(operator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    find_version("2.0.0")
    real = lifecycle._move

    def fail_at_the_last(row: ModelVersion, state: str, *rest: object) -> None:
        if state == "active" and row.version == "2.0.0":
            raise IntegrityError
        real(row, state, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(lifecycle, "_move", fail_at_the_last)
    with pytest.raises(LifecycleError, match="came in between"):
        activate(version="2.0.0", act=Act(operator))
    assert set(states().values()) == {"candidate"}
    assert not VersionEvent.objects.exists()


def test_a_row_that_changed_after_it_was_read_is_not_moved(operator: User) -> None:
    row = register_named("2.0.0")
    ModelVersion.objects.filter(pk=row.pk).update(state="shadow")
    with pytest.raises(LifecycleError, match="has changed meanwhile"):
        lifecycle._move(row, "active", "activated", Act(operator))
