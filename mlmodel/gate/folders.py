"""Folders of films that the gate is shown besides the training films, without labels."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlmodel.codes import rejection
from mlmodel.decoding import read_film
from mlmodel.preprocessing import DECODED_SIDES, prepare_film
from mlmodel.training.dataset import SUFFIXES, DataError
from mlmodel.types import RejectedImageError


def read_folder(folder: Path | None, size: int) -> NDArray[np.uint8] | None:
    """Every film under the folder, in the order of their names, (count, size, size); None without a folder.

    Raises `DataError` naming what cannot be read.
    """
    return None if folder is None else np.stack([_read(path, size) for path in list_folder(folder)])


def list_folder(folder: Path) -> list[Path]:
    """Where the films under a folder lie, in the order of their names. Raises `DataError` where there is none."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise DataError(f"{folder} holds no film.")
    return paths


def _read(path: Path, size: int) -> NDArray[np.uint8]:
    try:
        return prepare_film(read_film(path.read_bytes(), at_least=DECODED_SIDES * size).pixels.grey, size)
    except RejectedImageError as error:
        raise DataError(f"{path}: {error.message}") from error
    except (MemoryError, RecursionError) as error:
        raise DataError(f"{path}: {rejection('UNREADABLE').message}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read.") from error
