"""`python -m tests.bench.model`: the model alone, each speed as a ratio within one run.

What is compared takes turns, round after round, so that whatever else the machine does touches both alike; ratios are medians
over the rounds.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import django
import numpy as np
from rich.console import Console
from rich.table import Table

from tests.bench.films import load_films, load_small_films
from tests.bench.report import ROOT, write_report
from tests.bench.timing import compare

ROUNDS = 11
BATCH = 32
SINGLES = 24


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from mlmodel import api

    source, films = load_small_films()
    predictor = api.load()
    predictor.warm_up()
    arrays = [film.model_input for film in predictor.decode(films) if isinstance(film, api.DecodedFilm)]
    stack = np.stack(arrays)[..., None]
    report: dict[str, Any] = {"films": source, "count": len(films), "engine": predictor.engine}
    report |= folder_against_engine(predictor, films, stack)
    whole = [content for _, content in load_films()[1]]
    for name, some in (("single_full_size", whole), ("single_small", films)):
        report[name] = single_against_bare(predictor, some[:: len(some) // SINGLES], stack.shape[1])
    report |= engine_against_onnx_runtime(predictor, stack)
    predictor.close()
    show(report)
    write_report("bench-model.json", report)


def show(report: dict[str, Any]) -> None:
    table = Table(title=f"{report['count']} films ({report['films']}), {report['engine']}")
    for heading in ("what", "measured", "wanted"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    rows = [
        ("predict over a folder", f"{report['folder_films_per_second']:.1f} films/s", ""),
        ("predict over a folder / engine on arrays", f"{report['folder_to_engine']:.2f}", "≥ 0.90"),
        *_rows_of_single("one film of full size, warm", report["single_full_size"]),
        *_rows_of_single("one film of 224 pixels, warm", report["single_small"]),
        ("ONNX Runtime on the same graph", f"{report['onnx_runtime_films_per_second']:.1f} films/s", ""),
        ("engine / ONNX Runtime", f"{report['engine_to_onnx_runtime']:.2f}", "≥ 1.50"),
    ]
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _rows_of_single(what: str, found: dict[str, float]) -> list[tuple[str, str, str]]:
    ratio = f"{found['to_bare']:.2f}"
    return [(what, f"{found['milliseconds']:.1f} ms", ""), (f"{what} / decoding and forward pass", ratio, "≤ 1.20")]


def folder_against_engine(predictor: Any, films: list[bytes], stack: Any) -> dict[str, float]:
    """`predict` over a folder (files read, decoded, judged, labelled) and the bare engine on decoded arrays."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{index:04}.jpg" for index in range(len(films))]
        for path, content in zip(paths, films, strict=True):
            path.write_bytes(content)

        def read_folder() -> None:
            for _ in predictor.read((path.read_bytes() for path in paths), batch_size=BATCH):
                pass

        ratio, seconds, _ = compare(read_folder, lambda: run_engine(predictor, stack), rounds=ROUNDS)
    return {"folder_to_engine": 1 / ratio, "folder_films_per_second": len(films) / seconds}


def single_against_bare(predictor: Any, films: list[bytes], size: int) -> dict[str, float]:
    """One film after the other through `predict`, and its decoding and forward pass with nothing around them. What a camera or
    a PACS sends is of full size; small films, as the network was trained on, take so little decoding that all else shows."""
    from mlmodel.decoding import read_film
    from mlmodel.preprocessing import DECODED_SIDES, prepare_film

    def bare() -> None:
        for film in films:
            array = prepare_film(read_film(film, at_least=DECODED_SIDES * size).pixels.grey, size)
            run_engine(predictor, array[None, ..., None])

    def served() -> None:
        for film in films:
            predictor.predict([film], display=False)

    ratio, seconds, _ = compare(served, bare, rounds=ROUNDS)
    return {"to_bare": ratio, "milliseconds": seconds / len(films) * 1000}


def engine_against_onnx_runtime(predictor: Any, stack: Any) -> dict[str, float]:
    """The serving graph by our CPU engine and by ONNX Runtime, same batches, same number of threads."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "serving.onnx"
        # TensorFlow, which the export needs, keeps threads that would disturb the measurement
        command = [sys.executable, "-m", "tests.bench.onnx_export", predictor.info.version, str(path)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def by_onnx() -> None:
        for start in range(0, len(stack), BATCH):
            session.run(None, {"film": stack[start : start + BATCH]})

    ratio, seconds, _ = compare(by_onnx, lambda: run_engine(predictor, stack), rounds=ROUNDS)
    return {"engine_to_onnx_runtime": ratio, "onnx_runtime_films_per_second": len(stack) / seconds}


def run_engine(predictor: Any, stack: Any) -> None:
    """Every batch of (count, size, size, 1) through the engine, with nothing done to what comes out."""
    for start in range(0, len(stack), BATCH):
        predictor._engine.run(stack[start : start + BATCH])


if __name__ == "__main__":
    main()
