"""`python -m tests.audit`: known vulnerabilities of what is pinned, by pip-audit.

Three outcomes: vulnerabilities are found (exit code 1); none is known; or the advisory database did not answer for every
package, which is said loudly and passes here, while AUDIT_REQUIRED=1 makes it fail. (Behind a mirror that keeps no advisories
pip-audit itself asks for none and ends with 0.)
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EXCEPTIONS = ROOT / "audit-exceptions.txt"
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
PATIENCE = 180  # seconds for one file


class ExceptionsError(ValueError):
    """A line of the exceptions' file gives no reason."""


@dataclass
class Outcome:
    """`found`: "package version: id", `not_asked`: packages that nobody could say anything about."""

    found: list[str] = field(default_factory=list)
    not_asked: list[str] = field(default_factory=list)

    def add(self, report: dict[str, Any], ignored: frozenset[str]) -> None:
        for package in report["dependencies"]:
            if "skip_reason" in package:
                self.not_asked.append(package["name"])
            for finding in package.get("vulns", ()):
                names = {finding["id"], *finding.get("aliases", ())}
                if not names & ignored:
                    self.found.append(f"{package['name']} {package['version']}: {finding['id']}")


def read_exceptions(text: str) -> frozenset[str]:
    """The ids. Raises `ExceptionsError` for one without a reason."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if bare := [line for line in lines if len(line.split(maxsplit=1)) < 2]:
        raise ExceptionsError(f"{EXCEPTIONS.name}: no reason is given for {', '.join(bare)}")
    return frozenset(line.split()[0] for line in lines)


def ask(requirements: str) -> dict[str, Any] | None:
    """pip-audit's report; None where the database cannot be reached."""
    command = [
        "pip-audit",
        "--require-hashes",
        "--disable-pip",
        "-r",
        requirements,
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
        report: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None
    return report


def audit() -> Outcome:
    ignored, outcome = read_exceptions(EXCEPTIONS.read_text(encoding="utf-8")), Outcome()
    for requirements in REQUIREMENTS:
        report = ask(requirements)
        if report is None:
            outcome.not_asked.append(f"all of {requirements}")
        else:
            outcome.add(report, ignored)
    return outcome


def judge(outcome: Outcome, *, required: bool) -> tuple[int, str]:
    """Exit code, and what is said."""
    if outcome.found:
        return 1, "Known vulnerabilities:\n  " + "\n  ".join(sorted(set(outcome.found)))
    if outcome.not_asked:
        banner = "!" * 78
        count = f"{len(outcome.not_asked)} package(s), such as {outcome.not_asked[0]}"
        lines = (banner, f"NOT AUDITED: the advisory database did not answer for {count}.", "AUDIT_REQUIRED=1 makes this fail.")
        return int(required), "\n".join((*lines, banner))
    return 0, "No known vulnerability in what is pinned."


def main() -> int:
    try:
        code, said = judge(audit(), required=os.environ.get("AUDIT_REQUIRED", "") not in {"", "0"})
    except ExceptionsError as error:
        code, said = 1, str(error)
    print(said, file=sys.stderr if code or "NOT AUDITED" in said else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
