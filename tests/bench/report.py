"""Where a benchmark leaves its figures."""

import json
from typing import Any

from tests.portal import ROOT


def write_report(name: str, report: dict[str, Any]) -> None:
    """As JSON under build/."""
    target = ROOT / "build" / name
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
