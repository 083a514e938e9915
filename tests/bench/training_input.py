"""`python -m tests.bench.training_input`: films per second into training, ours against Keras' `ImageDataGenerator`.

Both read the same folder and change films by rotation, shift, zoom, flip and brightness; without a network, then with the same
small one, so that the input is the limit. Ours decodes once: an epoch is what comes after that, a run of `EPOCHS` counts it.
A table, and JSON in build/bench-training.json.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.films import SHARED
from tests.bench.report import write_report

SIZE, BATCH, FILMS, ROUNDS, EPOCHS = 224, 32, 256, 3, 9


def link_films(folder: Path) -> str:
    """At most `FILMS` of them, half of each class; returns where they come from."""
    from diagnostics import phantom

    real = {label: sorted((SHARED / "pediatric" / "train" / label).glob("*.jpeg")) for label in ("NORMAL", "PNEUMONIA")}
    for label, paths in real.items():
        (folder / label).mkdir(parents=True)
        for index in range(FILMS // 2):
            target = folder / label / f"{index:04}.jpeg"
            if paths:
                target.symlink_to(paths[index])
            else:
                target.write_bytes(phantom.encode_jpeg(phantom.draw_film(seed=index, width=SIZE, height=SIZE)))
    return "real, 224 px" if all(real.values()) else "drawn, 224 px"


def rate_of(epoch: Callable[[], None]) -> float:
    started = time.perf_counter()
    epoch()
    return FILMS / (time.perf_counter() - started)


def make_ours(folder: Path) -> tuple[float, Callable[[Any], None]]:
    """Seconds of decoding, and what runs an epoch through a model that takes changed films, or None."""
    import keras
    import numpy as np

    from mlmodel.training.augmentation import Augment

    class AlwaysOn(keras.layers.Layer):
        """Changes films in prediction too."""

        def __init__(self, augment: Augment) -> None:
            super().__init__()
            self.augment = augment

        def call(self, films: Any) -> Any:
            return self.augment(films, training=True)

    from mlmodel.training.dataset import find_films, load_films
    from mlmodel.training.progress import Progress
    from mlmodel.training.recipe import AugmentationConfig

    started = time.perf_counter()
    found = find_films(folder)
    films, _ = load_films(found, SIZE, Progress(quiet=True))
    seconds = time.perf_counter() - started
    truth = np.array([film.label == "PNEUMONIA" for film in found], np.float32)[:, None]
    config = AugmentationConfig(
        rotation=10, shift=0.1, zoom=0.1, stretch=0, brightness=0.1, contrast=0, gamma=0, noise=0, blur=0
    )
    raw = keras.Input((SIZE, SIZE, 1), dtype="uint8")
    # as in training, where the changes are the first layer of the model
    augment = Augment(config, seed=1)
    alone = keras.Model(raw, AlwaysOn(augment)(raw))
    changed = augment(raw)
    whole: dict[int, Any] = {}

    def epoch(network: Any) -> None:
        order = np.random.default_rng(0).permutation(FILMS)
        if network is not None and id(network) not in whole:
            whole[id(network)] = compiled(keras.Model(raw, network(changed)))
        for start in range(0, FILMS, BATCH):
            picked = np.sort(order[start : start + BATCH])
            if network is None:
                alone.predict_on_batch(films[picked])
            else:
                whole[id(network)].train_on_batch(films[picked], truth[picked])

    return seconds, epoch


def make_theirs(folder: Path) -> Callable[[Any], None]:
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    generator = ImageDataGenerator(
        rotation_range=10, width_shift_range=0.1, height_shift_range=0.1, zoom_range=0.1, horizontal_flip=True,
        brightness_range=(0.9, 1.1), fill_mode="constant",
    )  # fmt: skip
    flow = generator.flow_from_directory(
        folder, (SIZE, SIZE), "grayscale", class_mode="binary", batch_size=BATCH, seed=1, follow_links=True
    )

    def epoch(network: Any) -> None:
        for _ in range(FILMS // BATCH):
            films, truth = next(flow)
            if network is not None:
                network.train_on_batch(films, truth[:, None])

    return epoch


def compiled(model: Any) -> Any:
    import keras

    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False)
    return model


def small_network() -> Any:
    import keras

    layers = keras.layers
    film = keras.Input((SIZE, SIZE, 1))
    x = layers.Rescaling(1 / 255)(film)
    for width in (8, 16):
        x = layers.ReLU()(layers.Conv2D(width, 3, 4, padding="same")(x))
    return compiled(keras.Model(film, layers.Dense(1)(layers.GlobalAveragePooling2D()(x))))


def measure(folder: Path) -> dict[str, Any]:
    """In turns, so that whatever else the machine does touches both alike; the first turn of each is not counted."""
    decoding, ours = make_ours(folder)
    theirs, network = make_theirs(folder), small_network()
    rates: dict[str, list[float]] = {"ours": [], "theirs": [], "ours_network": [], "theirs_network": []}
    for _ in range(ROUNDS + 1):
        rates["ours"].append(rate_of(lambda: ours(None)))
        rates["theirs"].append(rate_of(lambda: theirs(None)))
        rates["ours_network"].append(rate_of(lambda: ours(network)))
        rates["theirs_network"].append(rate_of(lambda: theirs(network)))
    middle = {name: statistics.median(values[1:]) for name, values in rates.items()}
    run = EPOCHS * FILMS / (decoding + EPOCHS * FILMS / middle["ours"])
    return {
        "decoding_films_per_second": FILMS / decoding,
        "films_per_second": middle,
        "ratio_input": middle["ours"] / middle["theirs"],
        "ratio_small_network": middle["ours_network"] / middle["theirs_network"],
        "ratio_input_with_decoding": run / middle["theirs"],
    }


def show(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Input of training: {FILMS} films ({report['films']}), {os.cpu_count()} cores")
    for heading in ("what", "films/s", "ImageDataGenerator", "ratio", "wanted"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    rates = report["films_per_second"]
    for what, ours, theirs, ratio, wanted in (
        ("changing films, no network", rates["ours"], rates["theirs"], report["ratio_input"], "≥ 3"),
        ("with a small network", rates["ours_network"], rates["theirs_network"], report["ratio_small_network"], "≥ 3"),
        (f"{EPOCHS} epochs, decoding counted", None, None, report["ratio_input_with_decoding"], ""),
        ("decoding, once", report["decoding_films_per_second"], None, None, ""),
    ):
        table.add_row(what, *("" if value is None else f"{value:.1f}" for value in (ours, theirs, ratio)), wanted)
    Console().print(table)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    from mlmodel.training.backend import load_backend

    load_backend()
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory) / "films"
        source = link_films(folder)
        report = {"films": source, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **measure(folder)}
    show(report)
    write_report("bench-training.json", report)


if __name__ == "__main__":
    main()
