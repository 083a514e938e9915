"""What trials have found: a file with a JSON object a line, and a table of it."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from mlmodel.training.dataset import DataError

BEGINNING = b'{"trial": '  # of every line


def read_results(path: Path) -> list[dict[str, Any]]:
    """What earlier calls have found; a last line that was cut off is left out. Raises `DataError` for another kind of file."""
    content = path.read_bytes() if path.exists() else b""
    whole, rest = content[: _whole(content)], content[_whole(content) :]
    try:
        found = [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise DataError(f"{path} holds something else than results.") from error
    if not all(isinstance(each, dict) and "trial" in each for each in found) or not BEGINNING.startswith(
        rest[: len(BEGINNING)]
    ):
        raise DataError(f"{path} holds something else than results.")
    return found


def add_result(path: Path, result: Mapping[str, Any]) -> None:
    """A line more, on the disk when this returns, in the place of one that was cut off; nothing of it where the disk is full.
    `result` begins with its trial. Raises `OSError`."""
    with path.open("a+b") as file:
        file.seek(0)
        end = _whole(file.read())
        try:
            file.truncate(end)
            file.write(json.dumps(result).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise


def is_of(result: Mapping[str, Any], plan: Mapping[str, Any]) -> bool:
    """Whether this was found by what `plan` says, in every setting."""
    return all(result.get(name) == value for name, value in plan.items())


def draw_table(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """Markdown: a row for each trial, the mean over its folds and, behind ±, their standard deviation."""
    by_trial: dict[str, list[Mapping[str, float]]] = {}
    for result in results:
        by_trial.setdefault(result["trial"], []).append(result["measures"])
    if not by_trial:
        return []
    names = list(dict.fromkeys(name for measures in by_trial.values() for each in measures for name in each))
    lines = ["| trial | folds | " + " | ".join(names) + " |", "|---|--:|" + "--:|" * len(names)]
    for trial, measures in by_trial.items():
        cells = [_state([each[name] for each in measures if name in each]) for name in names]
        lines.append(f"| {trial} | {len(measures)} | " + " | ".join(cells) + " |")
    return lines


def _state(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{fmean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def _whole(content: bytes) -> int:
    """How many bytes are whole lines."""
    return content.rfind(b"\n") + 1
