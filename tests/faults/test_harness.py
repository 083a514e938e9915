"""The harness itself: it must be able to say that something is broken."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults import failpoints
from tests.faults.invariants import verify_audit
from tests.faults.scene import late_cases, never_staged, recoveries, waits
from tests.faults.worker_faults import wait_until_hit


def site_whose_command(answer: Exception | str) -> Any:
    def manage(*_: str) -> str:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return SimpleNamespace(portal=SimpleNamespace(manage=manage))


def test_the_audit_chain_is_looked_at() -> None:
    assert verify_audit(site_whose_command("12 entries, in order and unchanged")) == "intact"


def test_a_broken_audit_chain_is_told() -> None:
    error = subprocess.CalledProcessError(1, "verify_audit", stderr="CommandError: Entry 7 is missing.\n")
    assert verify_audit(site_whose_command(error)) == "broken: CommandError: Entry 7 is missing."


def scene_at(folder: Path) -> Any:
    site = SimpleNamespace(points=folder, hits=lambda name: failpoints.hits(folder, name))
    return SimpleNamespace(site=site, aimed_at=set())


def test_a_place_that_no_process_came_to_breaks_the_row(tmp_path: Path) -> None:
    scene = scene_at(tmp_path)
    failpoints.arm(tmp_path, "worker.popped")
    assert not wait_until_hit(scene, "worker.popped", seconds=0)
    assert never_staged(scene) == ["nothing fell at worker.popped"]


def test_a_place_is_judged_by_this_faults_marks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULT_POINTS", str(tmp_path))
    scene = scene_at(tmp_path)
    scene.aimed_at.add("fenced")
    failpoints.note("fenced")
    assert never_staged(scene) == []
    failpoints.forget(tmp_path)
    assert never_staged(scene) == ["nothing fell at fenced"]


def scene_with(*, accepted: dict[str, float], ends: list[float], final: dict[str, float]) -> tuple[Any, Any]:
    """Cases by the second of their acceptance, and the seconds at which faults ended."""
    uploads = {key: SimpleNamespace(at=at) for key, at in accepted.items()}
    scene = SimpleNamespace(client=SimpleNamespace(accepted=uploads), spans=[(end, end) for end in ends], calm_at=max(ends))
    return scene, SimpleNamespace(seen=final)


def test_recovery_counts_from_the_last_fault_and_a_wait_from_the_first_that_a_case_met() -> None:
    scene, watcher = scene_with(accepted={"early": 1, "after": 30}, ends=[5, 20], final={"early": 28, "after": 31})
    assert recoveries(scene, watcher) == [8]
    assert waits(scene, watcher) == [23]


def test_a_case_that_is_final_after_the_bound_breaks_the_row() -> None:
    scene, watcher = scene_with(accepted={"slow": 1, "after": 30}, ends=[20], final={"slow": 33, "after": 39})
    assert late_cases(scene, watcher, 10) == ["slow"]
    assert late_cases(scene, watcher, 11) == []
