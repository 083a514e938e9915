"""Where a benchmark leaves its figures."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def write_report(name: str, report: dict[str, Any]) -> None:
    """As JSON under build/."""
    target = ROOT / "build" / name
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
