"""A stopped run's state in one file: arrays and a few numbers, replaced atomically."""

import json
import os
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mlmodel.training.dataset import DataError


def save_checkpoint(path: Path, state: dict[str, Any], groups: dict[str, list[NDArray[Any]]]) -> None:
    """`state` is JSON; `groups` are lists of arrays by name. The old checkpoint stands until the new one is whole."""
    arrays = {f"{name}/{index}": array for name, group in groups.items() for index, array in enumerate(group)}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    try:
        with draft.open("wb") as file:
            np.savez(file, allow_pickle=False, state=np.array(json.dumps(state)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, list[NDArray[Any]]]]:
    """State and groups as saved. Raises `DataError` where the file is none."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            state = json.loads(str(archive["state"]))
            groups: dict[str, list[NDArray[Any]]] = {}
            for name in archive.files:
                if name != "state":
                    groups.setdefault(name.rpartition("/")[0], []).append(archive[name])
            return state, groups
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise DataError(f"The checkpoint {path} cannot be read; delete it to begin anew.") from error
