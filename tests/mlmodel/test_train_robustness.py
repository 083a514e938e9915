"""`train_model` as a program: killed, out of disk, out of sorts."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlmodel.artifact import read_metadata, verify_artifact
from mlmodel.training.checkpoint import read_checkpoint
from mlmodel.training.dataset import DataError
from tests.mlmodel.films import draw_film, jpeg

pytestmark = [pytest.mark.model, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
CONFIG = {
    "network": {"input_size": 32, "blocks": [1], "widths": [6], "dropout": 0.3},
    "epochs": 12,
    "patience": 12,
    "batch_size": 8,
    "learning_rate": 0.003,
    "precision": "float32",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number in range(80):
        film = draw_film(number, width=140, height=130) * 200
        label = "PNEUMONIA" if number % 2 else "NORMAL"
        film[40:90, 40:100] += 30 * (number % 2)
        (folder / label).mkdir(exist_ok=True)
        (folder / label / f"person{number}_virus_1.jpeg").write_bytes(jpeg(film.astype(np.uint8)))
    (folder / "tiny.json").write_text(json.dumps(CONFIG))
    return folder


def start(data: Path, out: Path, *arguments: str, largest_file: int | None = None) -> subprocess.Popen[str]:
    """`largest_file` in KiB is the most that the program may write into one: to it, a full disk."""
    given = ["--data", str(data), "--out", str(out), "--config", str(data / "tiny.json"), "--quiet", *arguments]
    limit = f"ulimit -f {largest_file}; " if largest_file else ""
    return subprocess.Popen(
        ["bash", "-c", f'{limit}exec "$@"', "train", sys.executable, "manage.py", "train_model", *given],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def history(out: Path) -> list[dict[str, float]]:
    found: list[dict[str, float]] = verify_artifact(out)["training"]["history"]
    return found


def test_a_run_killed_at_any_moment_goes_on_to_the_same_end(data: Path, tmp_path: Path) -> None:
    whole, killed = start(data, tmp_path / "1.0.0"), start(data, tmp_path / "1.0.1", "--checkpoint-every", "0")
    checkpoint = tmp_path / ".1.0.1-checkpoint.npz"
    until = time.monotonic() + 900
    while time.monotonic() < until and killed.poll() is None and not is_in_second_epoch(checkpoint):
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "1.0.1").exists()
    assert whole.wait(900) == 0
    assert start(data, tmp_path / "1.0.1", "--resume").wait(900) == 0
    assert not checkpoint.exists()
    pairs = zip(history(tmp_path / "1.0.0"), history(tmp_path / "1.0.1"), strict=True)
    for one, other in pairs:
        assert other == pytest.approx(one, abs=0.002)


def is_in_second_epoch(checkpoint: Path) -> bool:
    try:
        state, _ = read_checkpoint(checkpoint)
    except DataError:
        return False
    return bool(state["epoch"] >= 1 and state["step"] >= 1)


@pytest.fixture(scope="module")
def version(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("versions") / "1.0.0"
    run = start(data, out, "--epochs", "1")
    assert run.wait(900) == 0, run.communicate()
    return out


def test_a_full_disk_is_one_line_and_leaves_what_was_there(data: Path, version: Path, tmp_path: Path) -> None:
    """Of 24 KiB, neither the serving graph nor the pictures can be written."""
    shutil.copytree(version, tmp_path / "1.0.0")
    run = start(data, tmp_path / "1.0.1", "--epochs", "1", largest_file=24)
    _, said = run.communicate(timeout=900)
    assert (run.returncode, said.count("\n")) == (1, 1), said
    assert "could not be written" in said
    verify_artifact(tmp_path / "1.0.0")
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith("-checkpoint.npz")] == ["1.0.0"]


def test_bad_input_is_one_line_without_banners(data: Path, tmp_path: Path) -> None:
    run = start(data, tmp_path / "1.0.0", "--data", str(tmp_path / "none"))
    said = run.communicate(timeout=900)
    assert (run.returncode, said) == (1, ("", f"CommandError: {tmp_path / 'none'} is neither a folder nor a manifest.\n"))


def test_a_back_end_that_is_not_there_is_one_line(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "abacus")
    run = start(data, tmp_path / "1.0.0")
    _, said = run.communicate(timeout=900)
    assert (run.returncode, said.count("\n")) == (1, 1), said
    assert "'abacus' cannot be loaded" in said


def test_a_version_is_gone_on_from_with_films_decoded_before(data: Path, version: Path, tmp_path: Path) -> None:
    for name in ("1.0.1", "1.0.2"):
        run = start(
            data, tmp_path / name, "--epochs", "1", "--weights", str(version), "--cache", str(tmp_path / "cache"), "--resume"
        )
        assert run.wait(900) == 0, run.communicate()
    first, second = (read_metadata(tmp_path / name)["training"] for name in ("1.0.1", "1.0.2"))
    assert first["started_from"] == "1.0.0"
    assert first["history"] == second["history"]
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert (tmp_path / "1.0.1" / "training.png").read_bytes().startswith(b"\x89PNG")


def run_with_weights(data: Path, out: Path, given: str) -> tuple[int, Any]:
    run = start(data, out, "--weights", given)
    _, said = run.communicate(timeout=900)
    return run.returncode, said


def test_a_damaged_version_is_not_gone_on_from(data: Path, version: Path, tmp_path: Path) -> None:
    shutil.copytree(version, tmp_path / "0.9.0")
    (tmp_path / "0.9.0" / "weights.npz").write_bytes(b"PK")
    code, said = run_with_weights(data, tmp_path / "1.0.0", str(tmp_path / "0.9.0"))
    assert (code, said.count("\n")) == (1, 1)
    assert "another SHA-256" in said
