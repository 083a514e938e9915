"""A trained version on disk: a directory whose `metadata.json` names the SHA-256 of every other file.

Written under a temporary name, flushed to disk, then renamed; verified before anything in it is opened. Needs the standard
library alone, so that a web process may read the metadata.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from mlmodel.types import (
    ArtifactCorruptError,
    ArtifactIncompatibleError,
    ArtifactMissingError,
    IntendedUse,
    ModelInfo,
)

FORMAT_VERSION = 1
METADATA, WEIGHTS, GRAPH, GRAPH_WEIGHTS = "metadata.json", "weights.npz", "serving.xml", "serving.bin"
REQUIRED = frozenset({WEIGHTS, GRAPH, GRAPH_WEIGHTS})
MAX_METADATA_BYTES = 1024 * 1024


def write_artifact(directory: Path, metadata: Mapping[str, Any], files: Mapping[str, bytes | Path]) -> Path:
    """Write `files` (bytes, or a path to copy) and the metadata, to which `format_version` and the hashes are added, as
    `directory`.

    Whoever looks sees no directory or a whole one. Raises `FileExistsError` where the version is there already; `OSError` (a
    full disk) leaves nothing behind.
    """
    with _draft_of(directory) as draft:
        hashes = {name: _write_file(draft / name, content) for name, content in sorted(files.items())}
        whole = {"format_version": FORMAT_VERSION, **metadata, "files": hashes}
        _write_file(draft / METADATA, (json.dumps(whole, indent=2, sort_keys=True) + "\n").encode())
    return directory


def check_place(directory: Path) -> None:
    """Whether a folder can be made there, for whoever works for hours before `write_artifact`; leaves nothing behind. Raises
    `OSError`."""
    there = next(folder for folder in directory.absolute().parents if folder.exists())
    Path(mkdtemp(prefix=f".{directory.name}-", dir=there)).rmdir()


def copy_artifact(source: Path, directory: Path) -> Path:
    """The same version, byte for byte, as `directory`; what was copied is verified before it gets its name.

    Raises as `write_artifact` and `verify_artifact` do.
    """
    names = (*verify_artifact(source)["files"], METADATA)
    with _draft_of(directory) as draft:
        for name in names:
            _write_file(draft / name, source / name)
        verify_artifact(draft, hash_file(source / METADATA))
    return directory


@contextmanager
def _draft_of(directory: Path) -> Iterator[Path]:
    """A temporary folder beside `directory`, flushed to disk and renamed at the end, or removed."""
    if directory.exists():
        raise FileExistsError(f"{directory} exists already.")
    directory.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        draft.chmod(0o755)
        yield draft
        _flush(draft)
        draft.rename(directory)
        _flush(directory.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def read_metadata(directory: Path) -> dict[str, Any]:
    """The metadata alone, nothing else opened.

    Raises `ArtifactMissingError` (no directory), `ArtifactCorruptError` (no or damaged metadata) or `ArtifactIncompatibleError`
    (another format version).
    """
    if not directory.is_dir():
        raise ArtifactMissingError(f"There is no artifact at {directory}.")
    try:
        with (directory / METADATA).open("rb") as file:
            metadata = json.loads(file.read(MAX_METADATA_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactCorruptError(f"{directory / METADATA} cannot be read.") from error
    if not isinstance(metadata, dict) or not isinstance(metadata.get("files"), dict):
        raise ArtifactCorruptError(f"{directory / METADATA} is not metadata.")
    if metadata.get("format_version") != FORMAT_VERSION:
        raise ArtifactIncompatibleError(
            f"{directory} has format version {metadata.get('format_version')!r}; this code reads {FORMAT_VERSION}."
        )
    return metadata


def verify_artifact(directory: Path, expected_sha256: str | None = None) -> dict[str, Any]:
    """The metadata, after every file was found with the size and SHA-256 that they name, and they themselves (where it is
    given) with `expected_sha256`. Raises as `read_metadata` does."""
    metadata = read_metadata(directory)
    if expected_sha256 and hash_file(directory / METADATA) != expected_sha256:
        raise ArtifactCorruptError(f"{directory / METADATA} is not the file that was registered.")
    if missing := REQUIRED - set(metadata["files"]):
        raise ArtifactCorruptError(f"{directory / METADATA} names no {sorted(missing)}.")
    for name, expected in metadata["files"].items():
        if Path(name).name != name:
            raise ArtifactCorruptError(f"{directory / METADATA} names a file elsewhere.")
        try:
            found = hash_file(directory / name)
        except OSError as error:
            raise ArtifactCorruptError(f"{directory / name} cannot be read.") from error
        if found != expected:
            raise ArtifactCorruptError(f"{directory / name} has another SHA-256 than the metadata say.")
    return metadata


def read_info(directory: Path) -> ModelInfo:
    """What the metadata say of the version; raises as `read_metadata` does, `ArtifactCorruptError` for a value that is
    missing."""
    metadata = read_metadata(directory)
    try:
        use = metadata["intended_use"]
        height, width, channels = metadata["input_shape"]
        return ModelInfo(
            version=str(metadata["version"]),
            sha256=hash_file(directory / METADATA),
            threshold=float(metadata["operating_point"]["threshold"]),
            input_shape=(int(height), int(width), int(channels)),
            calibration=dict(metadata["calibration"]),
            intended_use=IntendedUse(
                str(use["statement"]), float(use["min_age_years"]), float(use["max_age_years"]), tuple(use["views"])
            ),
            metrics=dict(metadata["metrics"]),
        )
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ArtifactCorruptError(f"{directory / METADATA} lacks a value: {error!r}") from error


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _write_file(path: Path, content: bytes | Path) -> str:
    if isinstance(content, Path):
        shutil.copyfile(content, path)
    else:
        path.write_bytes(content)
    _flush(path)
    return hash_file(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
