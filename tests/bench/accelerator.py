"""`python -m tests.bench.accelerator`: films per second in training and serving on the device that Keras has, a GPU where there
is one.

Each is compared with the same graph on one batch that lies in the device's memory already: the share that is reached says what
picking films, mixing them, moving them and averaging weights cost. KERAS_BACKEND chooses the back end; TensorFlow, Django and
the network are not needed. A table, and JSON in build/bench-accelerator.json.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.bench.films import load_small_films
from tests.bench.report import write_report
from tests.bench.timing import compare

FILMS = 1024  # in memory, the same ones over and over where there are fewer
BATCH, ROUNDS = 32, 5
STEPS, STEPS_ON_CPU = 32, 2  # between two looks at the clock


def load_arrays(size: int) -> tuple[str, NDArray[np.uint8]]:
    """Where the films come from, and (`FILMS`, size, size, 1)."""
    from io import BytesIO

    from PIL import Image

    from mlmodel.preprocessing import prepare_film

    source, films = load_small_films()
    planes = np.stack([prepare_film(Image.open(BytesIO(film)).convert("L"), size) for film in films])
    return source, np.resize(planes, (FILMS, size, size))[..., None]


def measure_training(recipe: Any, films: NDArray[np.uint8], folder: Path, steps: int) -> dict[str, float]:
    """Films per second through the training step of a `Recipe`."""
    import keras

    from mlmodel.training.options import RunOptions
    from mlmodel.training.progress import Progress
    from mlmodel.training.trainer import Examples, Trainer

    truth = (np.arange(len(films)) % 2).astype(np.float32)
    examples, quiet = Examples(films, truth), Progress(quiet=True)
    options = RunOptions(devices="1")
    checkpoint = folder / "unused.npz"
    trainer = Trainer(recipe, examples, examples, options=options, checkpoint=checkpoint, progress=quiet, fingerprint="")
    trainer._compile()
    batch = recipe.batch_size
    pick = np.random.default_rng(1)
    held = [keras.ops.convert_to_tensor(values) for values in (films[:batch], truth[:batch, None], np.ones(batch, np.float32))]

    def real() -> None:
        for _ in range(steps):
            trainer._run_batch(np.sort(pick.choice(len(films), batch, replace=False)))

    def synthetic() -> None:
        for _ in range(steps):
            trainer.model.train_on_batch(*held)

    return compare_rates(real, synthetic, films=steps * batch)


def measure_serving(films: NDArray[np.uint8], steps: int) -> dict[str, float]:
    """Films per second through the shipped version's serving graph, by Keras."""
    import keras

    from mlmodel.artifact import read_metadata
    from mlmodel.engines.keras_engine import KerasEngine
    from mlmodel.registry import newest_shipped

    directory = newest_shipped()
    engine = KerasEngine(directory, read_metadata(directory))
    held = keras.ops.convert_to_tensor(films[:BATCH])

    def real() -> None:
        for step in range(steps):
            start = step * BATCH % (len(films) - BATCH)
            engine.run(films[start : start + BATCH])

    def synthetic() -> None:
        for _ in range(steps):
            engine._model.predict_on_batch(held)

    return compare_rates(real, synthetic, films=steps * BATCH)


def compare_rates(real: Callable[[], None], synthetic: Callable[[], None], *, films: int) -> dict[str, float]:
    """Films per second of each, and the median of their ratio."""
    share, synthetic_seconds, seconds = compare(synthetic, real, rounds=ROUNDS)
    return {"films_per_second": films / seconds, "synthetic_films_per_second": films / synthetic_seconds, "share": share}


def measure() -> dict[str, Any]:
    from mlmodel.training.backend import load_backend

    backend = load_backend()
    import keras

    from mlmodel.training.recipe import read_recipe

    recipe = read_recipe("default")
    source, films = load_arrays(recipe.network.input_size)
    where = str(getattr(keras.ops.convert_to_tensor(films[:1]), "device", "unknown")).rsplit("/", 1)[-1]
    steps = STEPS_ON_CPU if "cpu" in where.lower() else STEPS
    with TemporaryDirectory() as folder:
        training = measure_training(recipe, films, Path(folder), steps)
    return {
        "films": source,
        "backend": backend,
        "device": where,
        "training": training,
        "serving": measure_serving(films, steps),
    }


def show(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Keras by {report['backend']} on {report['device']}; films: {report['films']}")
    for heading in ("what", "films/s", "synthetic, in memory", "share"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for what in ("training", "serving"):
        rates = report[what]
        table.add_row(
            what,
            f"{rates['films_per_second']:.0f}",
            f"{rates['synthetic_films_per_second']:.0f}",
            f"{rates['share']:.2f}",
        )
    Console().print(table)


def main() -> None:
    report = measure()
    show(report)
    write_report("bench-accelerator.json", report)


if __name__ == "__main__":
    main()
