"""Decoded films kept on disk, devices asked for, curves drawn: what surrounds the loop."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlmodel.training import dataset
from mlmodel.training.cache import cache_file, read_cache
from mlmodel.training.curves import chosen_epoch, draw_history
from mlmodel.training.dataset import DataError, find_films, load_films
from mlmodel.training.distribution import OneDevice, spread_over
from mlmodel.training.options import RunOptions
from mlmodel.training.progress import Progress
from mlmodel.training.trainer import RunningAUC
from tests.mlmodel.films import draw_uint8, png

pytestmark = pytest.mark.model
QUIET = Progress(quiet=True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for seed, label in enumerate(("NORMAL", "PNEUMONIA", "NORMAL", "PNEUMONIA")):
        (tmp_path / "films" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "films" / label / f"person{seed}_virus_1.png").write_bytes(png(draw_uint8(seed)))
    return tmp_path / "films"


def never(*given: object) -> None:
    raise AssertionError("decoded again")


def test_films_are_decoded_once_and_kept(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    films, hashes = load_films(find_films(data), 32, QUIET, tmp_path / "cache")
    monkeypatch.setattr(dataset, "_decode", never)
    again, same = load_films(find_films(data), 32, QUIET, tmp_path / "cache")
    assert np.array_equal(films, again)
    assert hashes == same


def test_other_films_or_another_size_are_not_taken_from_what_was_kept(data: Path, tmp_path: Path) -> None:
    load_films(find_films(data), 32, QUIET, tmp_path / "cache")
    assert load_films(find_films(data), 48, QUIET, tmp_path / "cache")[0].shape == (4, 48, 48, 1)
    (data / "NORMAL" / "person0_virus_1.png").write_bytes(png(draw_uint8(9)))
    films, _ = load_films(find_films(data), 32, QUIET, tmp_path / "cache")
    assert np.array_equal(films, load_films(find_films(data), 32, QUIET)[0])


def flip(whole: bytes) -> bytes:
    middle = len(whole) // 2
    return whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]


@pytest.mark.parametrize("harm", [lambda whole: whole[: len(whole) // 2], lambda whole: b"", flip])
def test_damaged_films_are_decoded_anew(data: Path, tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    films, hashes = load_films(find_films(data), 32, QUIET, tmp_path)
    path = cache_file(tmp_path, hashes, 32)
    path.write_bytes(harm(path.read_bytes()))
    assert read_cache(path, films.shape) is None
    assert np.array_equal(load_films(find_films(data), 32, QUIET, tmp_path)[0], films)
    assert read_cache(path, films.shape) is not None


def test_a_folder_that_cannot_be_written_does_not_end_the_run(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert load_films(find_films(data), 32, QUIET, tmp_path / "file")[0].shape == (4, 32, 32, 1)


def test_a_film_that_is_gone_is_named(data: Path) -> None:
    films = find_films(data)
    films[2].path.unlink()
    with pytest.raises(DataError, match=films[2].path.name):
        load_films(films, 32, QUIET)


def test_one_device_is_what_a_processor_is() -> None:
    said: list[str] = []
    assert type(spread_over("auto", 32, said.append)) is OneDevice
    assert type(spread_over("1", 32, said.append)) is OneDevice
    assert said == []
    with pytest.raises(ValueError, match="There are"):
        spread_over("64", 64, said.append)


@pytest.mark.parametrize("given", [{"devices": "0"}, {"devices": "two"}, {"checkpoint_seconds": -1.0}])
def test_options_that_cannot_be_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="Received"):
        RunOptions(**given)  # type: ignore[arg-type]


def test_the_curves_are_a_picture_and_mark_the_best_epoch() -> None:
    history = [
        {"loss": 0.7 - 0.1 * epoch, "auc": 0.6 + 0.1 * epoch, "validation_loss": 0.6, "validation_auc": score}
        for epoch, score in enumerate((0.7, 0.9, 0.8))
    ]
    assert chosen_epoch(history) == 2
    with Image.open(BytesIO(draw_history(history))) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300
    assert draw_history(history) != draw_history(history[:2])
    draw_history([{"loss": 0.5, "validation_auc": 0.8}])  # as versions before had it


def test_the_running_auc_is_that_of_the_epoch_not_of_the_batch() -> None:
    metric = RunningAUC(from_logits=True)
    for truth, logit in (([0.0, 1.0], [-2.0, 2.0]), ([0.1, 0.9], [3.0, -3.0])):
        metric.update_state(np.array(truth), np.array(logit))
        metric.reset_state()  # as Keras does at every batch
    assert float(metric.result()) == pytest.approx(0.25, abs=0.01)  # one pair of four in order; 0 by the last batch alone
    metric.start_epoch()
    metric.update_state(np.array([0.0, 1.0]), np.array([-2.0, 2.0]))
    assert float(metric.result()) == pytest.approx(1, abs=0.01)
