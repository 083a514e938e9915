"""The table of a run, on the screen and in Markdown, from the JSON that the run wrote."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.portal import ROOT

BUILD = ROOT / "build"
COLUMNS = (
    ("fault", "fault"),
    ("title", "what happens"),
    ("uploads", "uploads"),
    ("lost", "lost"),
    ("duplicate", "duplicate"),
    ("wrong", "wrong"),
    ("stuck", "stuck"),
    ("late", "late"),
    ("failed", "failed with a code"),
    ("http_500", "HTTP 500"),
    ("orphans", "orphans"),
    ("canaries", "canaries"),
    ("audit", "audit chain"),
    ("storage", "verify_storage"),
    ("recovery_p50", "recovery p50, s"),
    ("recovery_p99", "recovery p99, s"),
    ("bound", "bound, s"),
    ("wait_p99", "wait through all faults p99, s"),
    ("verdict", "verdict"),
)
TEXT = {"title", "audit", "storage", "verdict"}


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def cell(value: Any) -> str:
    return "-" if value is None else str(value)


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    table = Table(title="Faults", show_lines=False)
    for name, title in COLUMNS:
        table.add_column(title, justify="left" if name in TEXT else "right")
    for row in rows:
        table.add_row(*(cell(row[name]) for name, _ in COLUMNS))
    Console(width=220).print(table)
    for row in rows:
        for word in row["words"] if row["broken"] else ():
            print(f"{row['fault']}: {word}")


def as_markdown(run: dict[str, Any]) -> str:
    """The run's table, and from which commit and seed it is."""
    titles = [title for _, title in COLUMNS]
    lines = [
        (
            f"Commit `{run['commit']}`, seed {run['seed']}, {run['count']} uploads a fault, timings: {run['pace']}, "
            f"model: {run['model']}, {run['cores']} processor cores, {run['minutes']} minutes."
        ),
        "",
        "| " + " | ".join(titles) + " |",
        "|" + "|".join("---" if name in TEXT else "--:" for name, _ in COLUMNS) + "|",
    ]
    lines += ["| " + " | ".join(cell(row[name]) for name, _ in COLUMNS) + " |" for row in run["rows"]]
    return "\n".join(lines) + "\n"


def write_json(run: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run, indent=1, default=str), encoding="utf-8")


def fill_page(page: Path, *, name: str, content: str) -> None:
    """Put the content between the page's two marks of that name. Raises `ValueError` where the page has none."""
    begin, end = f"<!-- {name}: generated -->\n", f"<!-- {name}: end -->"
    before, mark, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closing, after = rest.partition(end)
    if not mark or not closing:
        raise ValueError(f"{page.name} has no marks for {name}")
    page.write_text(before + begin + "\n" + content + "\n" + end + after, encoding="utf-8")
