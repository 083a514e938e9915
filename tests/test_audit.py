"""`make lint` tells found vulnerabilities from a database that did not answer."""

import subprocess
from typing import Any
from unittest import mock

import pytest

from tests import audit
from tests.audit import Outcome, judge, read_exceptions

VULNERABLE = {
    "name": "django",
    "version": "5.2.0",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-2025-1", "GHSA-1"], "fix_versions": ["5.2.1"]}],
}
SOUND = {"name": "rq", "version": "3.0.0", "vulns": []}
UNKNOWN = {"name": "redis", "skip_reason": "Dependency not found on PyPI and could not be audited: redis (8.1.0)"}


def outcome_of(*packages: dict[str, Any], ignored: str = "") -> Outcome:
    outcome = Outcome()
    outcome.add({"dependencies": list(packages)}, read_exceptions(ignored))
    return outcome


def test_a_known_vulnerability_fails_whatever_else_was_not_asked() -> None:
    code, said = judge(outcome_of(UNKNOWN, VULNERABLE), required=False)
    assert code == 1
    assert "django 5.2.0: PYSEC-1" in said


def test_packages_that_were_not_asked_for_pass_loudly_and_fail_where_required() -> None:
    outcome = outcome_of(SOUND, UNKNOWN)
    assert judge(outcome, required=False)[0] == 0
    assert "NOT AUDITED" in judge(outcome, required=False)[1]
    assert judge(outcome, required=True)[0] == 1


def test_nothing_known_passes_quietly() -> None:
    assert judge(outcome_of(SOUND), required=True) == (0, "No known vulnerability in what is pinned.")


@pytest.mark.parametrize("name", ["PYSEC-1", "CVE-2025-1", "GHSA-1"])
def test_an_exception_by_any_of_its_names_is_passed_over(name: str) -> None:
    assert judge(outcome_of(VULNERABLE, ignored=f"# why\n{name} we never call it; look again in May\n"), required=True)[0] == 0


def test_an_exception_needs_a_reason() -> None:
    with pytest.raises(audit.ExceptionsError, match="CVE-2025-1"):
        read_exceptions("CVE-2025-1\n")


def test_every_exception_of_ours_has_one() -> None:
    read_exceptions(audit.EXCEPTIONS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("answer", ["", "ERROR: connection refused"])
def test_a_tool_that_says_nothing_is_a_database_that_did_not_answer(answer: str) -> None:
    with mock.patch("subprocess.run", return_value=subprocess.CompletedProcess([], 1, stdout=answer)):
        assert audit.audit().not_asked == ["all of requirements.txt", "all of requirements-dev.txt"]


def test_a_tool_that_hangs_is_one_too() -> None:
    with mock.patch("subprocess.run", side_effect=subprocess.TimeoutExpired("pip-audit", 1)):
        assert audit.ask("requirements.txt") is None
