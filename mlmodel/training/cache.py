"""Decoded films on disk, so that a second run on the same films starts at once."""

import json
import os
import zlib
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mlmodel.preprocessing import Preprocessing


def cache_file(folder: Path, hashes: Sequence[str], size: int) -> Path:
    """Its name says what is in it: which files (by SHA-256, in order), prepared how."""
    content = json.dumps([list(hashes), Preprocessing(size=size).as_dict()])
    return folder / f"films-{sha256(content.encode()).hexdigest()[:32]}.npz"


def read_cache(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """The films, or None where the file is missing, damaged (the archive has a checksum) or holds something else."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            films: NDArray[np.uint8] = archive["films"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
        return None
    return films if films.shape == shape and films.dtype == np.uint8 else None


def write_cache(path: Path, films: NDArray[np.uint8]) -> None:
    """Replaced atomically. Raises `OSError`, and leaves nothing half-written then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            np.savez(file, allow_pickle=False, films=films)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
