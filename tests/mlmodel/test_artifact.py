"""An artifact is whole or it is refused, and corrupt is told from incompatible."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlmodel import artifact
from mlmodel.artifact import METADATA, hash_file, read_info, read_metadata, verify_artifact, write_artifact
from mlmodel.types import ArtifactCorruptError, ArtifactIncompatibleError, ArtifactMissingError

FILES = {"weights.npz": b"weights", "serving.xml": b"<graph/>", "serving.bin": b"\0" * 100}
FACTS: dict[str, Any] = {
    "version": "3.1.0",
    "input_shape": [64, 64, 1],
    "operating_point": {"threshold": 0.4},
    "calibration": {"method": "none"},
    "intended_use": {"statement": "Children", "min_age_years": 1, "max_age_years": 5, "views": ["AP"]},
    "metrics": {"test": {"auc": 0.9}},
}


@pytest.fixture
def version(tmp_path: Path) -> Path:
    return write_artifact(tmp_path / "versions" / "3.1.0", FACTS, FILES)


def test_what_was_written_is_verified_and_described(version: Path) -> None:
    assert verify_artifact(version, hash_file(version / METADATA))["version"] == "3.1.0"
    info = read_info(version)
    assert (info.version, info.threshold, info.input_shape) == ("3.1.0", 0.4, (64, 64, 1))
    assert info.intended_use.max_age_years == 5
    assert info.sha256 == hash_file(version / METADATA)


def test_nothing_but_the_version_is_left_in_its_folder(version: Path) -> None:
    assert [path.name for path in version.parent.iterdir()] == ["3.1.0"]


def test_a_version_is_never_overwritten(version: Path) -> None:
    with pytest.raises(FileExistsError):
        write_artifact(version, FACTS, FILES)
    verify_artifact(version)


@pytest.mark.parametrize("fails_at", range(1, 7))
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
    calls = 0
    flush = artifact._flush

    def full_disk(path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at and not (tmp_path / "3.1.0").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(path)

    monkeypatch.setattr(artifact, "_flush", full_disk)
    if fails_at <= 5:  # three files, metadata, directory: then the name is given
        with pytest.raises(OSError, match="No space"):
            write_artifact(tmp_path / "3.1.0", FACTS, FILES)
        assert list(tmp_path.iterdir()) == []
    else:
        verify_artifact(write_artifact(tmp_path / "3.1.0", FACTS, FILES))


def test_a_version_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError):
        read_metadata(tmp_path / "9.9.9")


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"other"), lambda path: path.write_bytes(b"")])
def test_a_changed_or_missing_file_is_corrupt(version: Path, name: str, harm: Callable[[Path], Any]) -> None:
    harm(version / name)
    with pytest.raises(ArtifactCorruptError, match=name):
        verify_artifact(version)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"files": 3}', b"[" * 100_000])
def test_damaged_metadata_are_corrupt(version: Path, content: bytes) -> None:
    (version / METADATA).write_bytes(content)
    with pytest.raises(ArtifactCorruptError):
        verify_artifact(version)


def test_metadata_other_than_the_registered_ones_are_corrupt(version: Path) -> None:
    with pytest.raises(ArtifactCorruptError, match="registered"):
        verify_artifact(version, "0" * 64)


def change(version: Path, **values: Any) -> None:
    path = version / METADATA
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_another_format_version_is_incompatible_and_not_corrupt(version: Path) -> None:
    change(version, format_version=2)
    with pytest.raises(ArtifactIncompatibleError, match="format version 2"):
        verify_artifact(version)


def test_metadata_that_point_outside_the_version_are_corrupt(version: Path) -> None:
    shutil.copy(version / "weights.npz", version.parent / "weights.npz")
    files = {**read_metadata(version)["files"], "../weights.npz": hash_file(version / "weights.npz")}
    change(version, files=files)
    with pytest.raises(ArtifactCorruptError, match="elsewhere"):
        verify_artifact(version)


def test_a_graph_that_the_metadata_do_not_name_is_corrupt(version: Path) -> None:
    change(version, files={"weights.npz": hash_file(version / "weights.npz")})
    with pytest.raises(ArtifactCorruptError, match="serving"):
        verify_artifact(version)


@pytest.mark.parametrize("name", ["operating_point", "calibration", "intended_use", "metrics", "input_shape"])
def test_a_missing_value_is_corrupt(version: Path, name: str) -> None:
    change(version, **{name: None})
    with pytest.raises(ArtifactCorruptError, match="lacks a value"):
        read_info(version)
