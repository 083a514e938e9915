"""A version's steps between candidate, shadow, active and retired. Each call is one transaction and leaves its events.

Nothing here asks whether a version is good enough: `promotion` does, before it calls.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from mlmodel.artifact import verify_artifact
from mlmodel.models import ModelVersion, ShadowTally, VersionEvent
from mlmodel.registry import locate_version, newest_shipped, register_named, versions_in_service
from mlmodel.services.errors import LifecycleError
from mlmodel.services.telling import tell
from mlmodel.types import ModelError

if TYPE_CHECKING:
    from accounts.models import User

State, Kind = ModelVersion.State, VersionEvent.Kind
AS_SHIPPED = "In service as shipped."


@dataclass(frozen=True, slots=True)
class Act:
    """Who has a step done, who approved it, and what they knew: written into the step's events."""

    by: "User | None"
    approved_by: "User | None" = None
    reason: str = ""
    forced: bool = False
    comparison: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The version that serves again, the one it replaces, and those passed over: `passed_over` because their artifacts are not
    whole, `suspended` because the stop rule took them out of service."""

    version: str
    replaced: str
    passed_over: tuple[str, ...] = ()
    suspended: tuple[str, ...] = ()


def find_version(version: str) -> ModelVersion:
    """The row of a version whose artifact is whole, registered now if it only lay on disk. Raises `LifecycleError`."""
    try:
        row = register_named(version)
        location = locate_version(version)
        verify_artifact(location.path, location.sha256)
    except ModelError as error:
        raise LifecycleError(str(error)) from error
    except OSError as error:
        raise LifecycleError(f"{version} cannot be kept in MODEL_DIR: {error.strerror}.") from error
    return row


def activate(*, version: str, act: Act) -> str:
    """Put a version in service; returns the one that it replaces. Raises `LifecycleError`."""
    _register_shipped()
    with _exclusively() as rows:
        row, suspended = _row(rows, version), _suspended(rows)
        active = suspended or _active(rows) or _settle_shipped(rows)
        if row == active and not suspended:
            return row.version
        if not suspended:  # one that is goes on reading in shadow
            _move(active, State.RETIRED, Kind.RETIRED, act)
        _move(row, State.ACTIVE, Kind.ACTIVATED, act)
        return active.version


def suspend(*, version: str, act: Act) -> bool:
    """Take the active version out of service and have it read in shadow, in place of the one that does; none takes its place.

    False where `version` is not the active one any more: of several callers at once one has done it. Raises `LifecycleError`
    where it serves as shipped and cannot be registered.
    """
    if versions_in_service().active != version:
        return False
    _register_shipped()
    with _exclusively() as rows:
        active = None if _suspended(rows) else _active(rows) or _settle_shipped(rows)
        if active is None or active.version != version:
            return False
        if earlier := _shadow(rows):
            _move(earlier, State.CANDIDATE, Kind.WITHDRAWN, act)
        ShadowTally.objects.filter(version=active).delete()
        _move(active, State.SHADOW, Kind.SUSPENDED, act)
        return True


def put_in_shadow(*, version: str, act: Act) -> str | None:
    """Have the workers read beside the active version with this one, unseen; returns the version that it relieves of that.

    The tally of agreement begins anew. Raises `LifecycleError`.
    """
    with _exclusively() as rows:
        row = _row(rows, version)
        as_shipped = not _active(rows) and not _suspended(rows)
        if row.state == State.ACTIVE or (as_shipped and version == newest_shipped().name):
            raise LifecycleError(f"{version} is in service: it cannot be its own shadow.")
        if row.state == State.SHADOW:
            raise LifecycleError(f"{version} is in shadow already.")
        earlier = _shadow(rows)
        if earlier:
            _move(earlier, State.CANDIDATE, Kind.WITHDRAWN, act)
        ShadowTally.objects.filter(version=row).delete()
        _move(row, State.SHADOW, Kind.SHADOWED, act)
        return earlier.version if earlier else None


def end_shadow(*, act: Act) -> str:
    """Take the version in shadow out of it; returns its name. Raises `LifecycleError` where there is none."""
    with _exclusively() as rows:
        row = _shadow(rows)
        if row is None:
            raise LifecycleError("No version is in shadow.")
        if _suspended(rows):
            raise LifecycleError(f"No version is in service: {row.version} is the only one that the workers hold.")
        _move(row, State.CANDIDATE, Kind.WITHDRAWN, act)
        return row.version


def roll_back(*, act: Act) -> RolledBack:
    """Put the version back that was in service before the active one; asking again goes one further back.

    The emergency exit: no evaluation and no second person is asked for. A version whose artifact is not whole any more is
    passed over, and so is one that the stop rule took out of service: that one comes back by `promotion` alone. Raises
    `LifecycleError` where nothing is left.
    """
    with _exclusively() as rows:
        suspended = _suspended(rows)
        active = suspended or _active(rows)
        if active is None:
            raise LifecycleError(f"{newest_shipped().name} serves as shipped, and nothing was active before it.")
        stopped, not_whole, name = _look_back(active.version)
        if name:
            if not suspended:
                _move(active, State.RETIRED, Kind.RETIRED, act)
            _move(_row(rows, name), State.ACTIVE, Kind.ROLLED_BACK, act)
            return RolledBack(name, active.version, not_whole, stopped)
    reasons = {"not whole on the disk": not_whole, "taken out of service by the stop rule": stopped}
    found = "".join(f" ({', '.join(names)}: {reason})" for reason, names in reasons.items() if names)
    raise LifecycleError(f"No version is left that was active before {active.version}{found}.")


def _look_back(active: str) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Versions passed over (suspended ones, those not whole) on the way to the latest that can serve again; empty for none."""
    stopped, not_whole, out = [], [], suspended_versions()
    for name in reversed(service_stack()[:-1]):
        if name == active:
            continue
        if name in out:
            stopped.append(name)
        elif not _is_whole(name):
            not_whole.append(name)
        else:
            return tuple(stopped), tuple(not_whole), name
    return tuple(stopped), tuple(not_whole), ""


def suspended_versions() -> dict[str, datetime]:
    """The versions that the stop rule took out of service and nobody put back, with when."""
    out: dict[str, datetime] = {}
    events = VersionEvent.objects.filter(kind__in=[Kind.ACTIVATED, Kind.ROLLED_BACK, Kind.SUSPENDED]).order_by("pk")
    for version, kind, at in events.values_list("version_id", "kind", "at"):
        if kind == Kind.SUSPENDED:
            out[version] = at
        else:
            out.pop(version, None)
    return out


def service_stack() -> list[str]:
    """The versions that a rollback goes back through, the active one last; read from the events."""
    stack: list[str] = []
    events = VersionEvent.objects.filter(kind__in=[Kind.ACTIVATED, Kind.ROLLED_BACK]).order_by("pk")
    for version, kind in events.values_list("version_id", "kind"):
        if kind == Kind.ACTIVATED:
            stack.append(version)
            continue
        while stack and stack[-1] != version:
            stack.pop()
    return stack


@contextmanager
def _exclusively() -> Iterator[dict[str, ModelVersion]]:
    """All rows, locked, in one transaction. Where two make the first activation at once the constraints let one through."""
    try:
        with transaction.atomic():
            yield {row.version: row for row in ModelVersion.objects.select_for_update().order_by("pk")}
    except IntegrityError as error:
        raise LifecycleError("Another change of versions came in between: see list_models, then try again.") from error


def _move(row: ModelVersion, state: str, kind: str, act: Act) -> None:
    since: dict[str, Any] = {}
    if state == State.ACTIVE or kind == Kind.SUSPENDED:
        ModelVersion.objects.exclude(suspended_at=None).update(suspended_at=None)
    if state == State.ACTIVE:
        since = {"activated_at": Now(), "suspended_at": None}
    elif kind == Kind.SUSPENDED:
        since = {"suspended_at": Now()}
    if not ModelVersion.objects.filter(pk=row.pk, state=row.state).update(state=state, **since):
        raise LifecycleError(f"{row.version} has changed meanwhile: see list_models, then try again.")
    VersionEvent.objects.create(
        version=row,
        kind=kind,
        from_state=row.state,
        to_state=state,
        requested_by=act.by,
        approved_by=act.approved_by,
        reason=act.reason,
        forced=act.forced,
        comparison=act.comparison,
    )
    row.state = state
    tell(kind, version=row.version, by=act.by, approved_by=act.approved_by, forced=act.forced)


def _row(rows: dict[str, ModelVersion], version: str) -> ModelVersion:
    if version not in rows:
        raise LifecycleError(f"{version} is not registered.")
    return rows[version]


def _active(rows: dict[str, ModelVersion]) -> ModelVersion | None:
    return next((row for row in rows.values() if row.state == State.ACTIVE), None)


def _suspended(rows: dict[str, ModelVersion]) -> ModelVersion | None:
    """The version that was taken out of service, while none is back."""
    return None if _active(rows) else next((row for row in rows.values() if row.suspended_at), None)


def _shadow(rows: dict[str, ModelVersion]) -> ModelVersion | None:
    return next((row for row in rows.values() if row.state == State.SHADOW), None)


def _register_shipped() -> None:
    """Before the first activation the version that serves as shipped gets its row, so that a rollback can return to it."""
    if not ModelVersion.objects.filter(Q(state=State.ACTIVE) | Q(suspended_at__isnull=False)).exists():
        find_version(newest_shipped().name)


def _settle_shipped(rows: dict[str, ModelVersion]) -> ModelVersion:
    row = _row(rows, newest_shipped().name)
    _move(row, State.ACTIVE, Kind.ACTIVATED, Act(by=None, reason=AS_SHIPPED))
    return row


def _is_whole(version: str) -> bool:
    try:
        location = locate_version(version)
        verify_artifact(Path(location.path), location.sha256)
    except ModelError:
        return False
    return True
