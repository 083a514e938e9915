"""The columns of a manifest beyond file, label and patient: where a label comes from, and what is known of the patient."""

import csv
from pathlib import Path

from mlmodel.training.dataset import DataError

# Of the films' origin, and of the patient; a manifest may have any of them
ORIGIN = ("source", "licence")
TRAITS = ("sex", "age_years", "device", "cause")


def read_extras(data: Path) -> dict[str, dict[str, str]]:
    """Column → value of each film by its name in the manifest; nothing for a folder, which says no more than names and classes.

    Raises `DataError` where the manifest cannot be read.
    """
    if not data.is_file():
        return {}
    try:
        with data.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{data} cannot be read.") from error
    return {
        row["file"]: {name: (row.get(name) or "").strip() for name in (*ORIGIN, *TRAITS)} for row in rows if row.get("file")
    }
