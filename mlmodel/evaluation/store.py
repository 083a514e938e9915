"""Where an evaluation is kept: a folder of its files, and where the version is registered a row that points to it."""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmodel.evaluation.card import write_card
from mlmodel.evaluation.plots import draw_figures
from mlmodel.evaluation.readings import Reading, write_predictions
from mlmodel.types import ModelError

if TYPE_CHECKING:
    from mlmodel.models import ModelVersion

logger = logging.getLogger(__name__)
REPORT, PREDICTIONS, CARD = "evaluation.json", "predictions.csv", "card.md"


def render_files(
    readings: Sequence[Reading], report: dict[str, Any], metadata: Mapping[str, Any], figures: Sequence[str] = ()
) -> dict[str, bytes]:
    """Everything about an evaluation, by file name. `metadata` are the version's; `figures` names pictures that lie there
    besides, such as the training curves."""
    pictures = draw_figures(readings, report)
    return {
        REPORT: (json.dumps(report, indent=2, allow_nan=False) + "\n").encode(),
        PREDICTIONS: write_predictions(readings),
        CARD: write_card(report, metadata, figures=[*pictures, *figures]).encode(),
        **pictures,
    }


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Each file whole or not at all, the report last: where it is new, the others are. Raises `OSError`."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in sorted(files, key=lambda name: name == REPORT):
        draft = directory / f".{name}.draft"
        try:
            with draft.open("wb") as file:
                file.write(files[name])
                file.flush()
                os.fsync(file.fileno())
            draft.replace(directory / name)
        finally:
            draft.unlink(missing_ok=True)


def find_row(version: str) -> "ModelVersion | None":
    """The version's row, made now where it only lies on disk: an evaluation that came before the first activation would
    otherwise be lost to it. None where there is no table or database."""
    from django.core.exceptions import ImproperlyConfigured
    from django.db import DatabaseError

    from mlmodel.registry import register_named

    try:
        return register_named(version)
    except (OSError, ModelError):
        logger.warning("Version %s cannot be registered; the evaluation is not entered in the registry.", version)
        return None
    except (DatabaseError, ImproperlyConfigured) as error:
        if "modelversion" not in str(error):
            logger.warning("The registry of models cannot be read; the evaluation is not entered in it.")
        return None


def enter_evaluation(row: "ModelVersion", report: Mapping[str, Any], directory: Path) -> bool:
    """Enter the evaluation under its version; an earlier one on the same films is replaced. False where the table is not
    there."""
    from django.db import DatabaseError
    from django.utils import timezone

    from mlmodel.models import Evaluation

    values = {
        "n": report["n"],
        "patients": report["patients"],
        "metrics": dict(report),
        "directory": str(directory.resolve()),
        "created_at": timezone.now(),
    }
    try:
        Evaluation.objects.update_or_create(version=row, data_sha256=report["data_sha256"], defaults=values)
    except DatabaseError:
        logger.warning("The evaluation cannot be entered in the registry: the database is not up to date.")
        return False
    return True
