"""A version ready to read films: children that decode, an engine that computes, and the words that come out."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from mlmodel.artifact import read_info, verify_artifact
from mlmodel.calibration import calibrate
from mlmodel.codes import refusal
from mlmodel.decoder_pool import DecoderPool
from mlmodel.engines import Engine, load_engine
from mlmodel.heatmap import draw_heatmap
from mlmodel.preprocessing import Preprocessing
from mlmodel.registry import locate_version
from mlmodel.types import (
    ArtifactIncompatibleError,
    DecodedFilm,
    DisplayPicture,
    Finding,
    ImageBytes,
    ModelInfo,
    Outcome,
    Refusal,
    RejectedImageError,
    Timings,
)


class Predictor:
    """One version. `decode` and `render_display` may be called from several threads; `infer` from one at a time."""

    def __init__(self, info: ModelInfo, metadata: dict[str, Any], engine: Engine, decoders: DecoderPool) -> None:
        self.info, self.engine = info, engine.name
        self._metadata, self._engine, self._decoders = metadata, engine, decoders
        self._threads = ThreadPoolExecutor(decoders.size, thread_name_prefix="decode")
        self._engine_lock = threading.Lock()

    def predict(self, images: Sequence[ImageBytes], display: bool = True) -> list[Outcome]:
        """One outcome per file's bytes, in order; `display` adds the film as a browser shows it.

        Raises `DecoderUnavailableError` alone: a bad image is a `Refusal`, and its neighbours are read.
        """
        decoded = self.decode(images)
        found = iter(self.infer([film for film in decoded if isinstance(film, DecodedFilm)]))
        outcomes: list[Outcome] = [film if isinstance(film, Refusal) else next(found) for film in decoded]
        if display:
            return list(self._threads.map(self._with_display, outcomes, images))
        return outcomes

    def decode(self, images: Sequence[ImageBytes]) -> list[DecodedFilm | Refusal]:
        """Films decoded in the children, in parallel, in order. Raises `DecoderUnavailableError`."""
        return list(self._threads.map(self._decode_one, images))

    def infer(self, films: Sequence[DecodedFilm]) -> list[Finding]:
        """One forward pass for all of them; `display_png` is None. The caller chooses the size of the batch."""
        if not films:
            return []
        started = time.perf_counter()
        batch = np.stack([film.model_input for film in films])[..., None]
        with self._engine_lock:
            outputs = self._engine.run(batch)
        share = (time.perf_counter() - started) * 1000 / len(films)
        return [
            self._find(film, float(logit), activation, share)
            for film, logit, activation in zip(films, outputs.logits, outputs.activations, strict=True)
        ]

    def render_display(self, image: ImageBytes) -> DisplayPicture:
        """The film as a browser shows it. Raises `RejectedImageError` or `DecoderUnavailableError`."""
        return self._decoders.render_display(image)

    def warm_up(self) -> None:
        """Start every child and run the engine once at the sizes of batch that come first."""
        self._decoders.start()
        height, width, _ = self.info.input_shape
        for size in (1, 8):
            self._engine.run(np.zeros((size, height, width, 1), np.uint8))

    def close(self) -> None:
        """End the children."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._decoders.close()

    def _decode_one(self, image: ImageBytes) -> DecodedFilm | Refusal:
        try:
            return self._decoders.decode(image, size=self.info.input_shape[0], use=self.info.intended_use)
        except RejectedImageError as error:
            return refusal(error.code)

    def _with_display(self, outcome: Outcome, image: ImageBytes) -> Outcome:
        if isinstance(outcome, Refusal):
            return outcome
        try:
            png = self.render_display(image).png
        except RejectedImageError as error:
            return refusal(error.code)
        return Finding(
            outcome.probability,
            outcome.label,
            outcome.threshold,
            outcome.model_version,
            outcome.heatmap_png,
            png,
            outcome.timings,
        )

    def _find(self, film: DecodedFilm, logit: float, activation: Any, infer_milliseconds: float) -> Finding:
        probability = calibrate(logit, self.info.calibration)
        started = time.perf_counter()
        heatmap = draw_heatmap(activation, scale=float(self._metadata["heatmap"]["scale"]))
        drawn = (time.perf_counter() - started) * 1000
        return Finding(
            probability=probability,
            label="PNEUMONIA" if probability >= self.info.threshold else "NORMAL",
            threshold=self.info.threshold,
            model_version=self.info.version,
            heatmap_png=heatmap,
            display_png=None,
            timings=Timings(film.decode_milliseconds, infer_milliseconds, drawn),
        )


def load_predictor(version: str | None = None) -> Predictor:
    """Verify the version's artifact, compile its graph, make room for its children (they start with the first film).

    Engine, threads and number of children come from Django's settings where they are configured. Raises `ArtifactMissingError`,
    `ArtifactCorruptError` or `ArtifactIncompatibleError`.
    """
    location = locate_version(version)
    metadata = verify_artifact(location.path, location.sha256)
    info = read_info(location.path)
    expected = Preprocessing(size=info.input_shape[0]).as_dict()
    if metadata.get("preprocessing") != expected:
        raise ArtifactIncompatibleError(f"Version {info.version} was trained with other preprocessing than this code does.")
    calibrate(0.0, info.calibration)
    engine = load_engine(location.path, metadata, engine=_setting("MODEL_ENGINE", "auto"), threads=_setting("MODEL_THREADS", 0))
    return Predictor(info, metadata, engine, DecoderPool(_setting("WORKER_DECODERS", 2)))


def _setting(name: str, default: Any) -> Any:
    from django.conf import settings

    return getattr(settings, name, default) if settings.configured else default
