"""The harness itself: it must be able to say that something is broken."""

import subprocess
from types import SimpleNamespace
from typing import Any

from tests.faults.invariants import verify_audit


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
