"""A version ready to read films: children that decode, an engine that computes, and the words that come out."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlmodel.artifact import read_info, verify_artifact
from mlmodel.blas import one_thread
from mlmodel.calibration import make_calibrator
from mlmodel.codes import OVERRIDABLE, refusal
from mlmodel.decoder_pool import DecoderPool
from mlmodel.engines import Engine, Outputs, load_engine
from mlmodel.gate.judge import Gate, Verdict, load_gate
from mlmodel.heatmap import draw_heatmap
from mlmodel.lungs import shares_in_lung
from mlmodel.preprocessing import Preprocessing
from mlmodel.registry import locate_version
from mlmodel.sharing import Result, SharedWork
from mlmodel.thumbnail import shrink
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

    def __init__(
        self, info: ModelInfo, metadata: dict[str, Any], engine: Engine, decoders: DecoderPool, gate: Gate | None = None
    ) -> None:
        self.info, self.engine = info, engine.name
        self._metadata, self._engine, self._decoders, self._gate = metadata, engine, decoders, gate
        self._calibrate = make_calibrator(info.calibration)
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
            return self._share(self._with_display, list(zip(outcomes, images, strict=True)))
        return outcomes

    def read(self, images: Iterable[ImageBytes], *, batch_size: int, heatmaps: bool = False) -> Iterator[list[Outcome]]:
        """Many files, in order, a batch at a time: while one batch is in the engine the next is being decoded. Without
        `heatmaps` none is drawn and `heatmap_png` is empty. Raises as `predict` does."""
        ahead: SharedWork[list[DecodedFilm | Refusal]] | None = None
        try:
            for batch in _batches(images, batch_size):
                done, ahead = ahead, self._begin(self._decode_group, self._decoders.group(batch))
                if done:
                    yield self._finish(_flatten(done.results()), heatmaps)
            if ahead:
                yield self._finish(_flatten(ahead.results()), heatmaps)
        finally:
            if ahead:
                ahead.stop()

    def decode(
        self, images: Sequence[ImageBytes], overridden: Sequence[frozenset[str]] | None = None
    ) -> list[DecodedFilm | Refusal]:
        """Films decoded in the children, in parallel, in order; `overridden` are, for each, the codes of `OVERRIDABLE` that a
        radiologist has set aside. Raises `DecoderUnavailableError`."""
        return _flatten(self._share(self._decode_group, self._decoders.group(images, overridden)))

    def infer(self, films: Sequence[DecodedFilm], *, heatmaps: bool = True) -> list[Outcome]:
        """One forward pass for all of them: a finding each, whose `display_png` is None, or the gate's refusal. The caller
        chooses the size of the batch. Without `heatmaps` none is drawn."""
        if not films:
            return []
        started = time.perf_counter()
        batch = np.stack([film.model_input for film in films])
        with self._engine_lock:
            outputs = self._engine.run(batch[..., None])
        with one_thread():
            thumbnails = shrink(batch)
            verdicts = self._judge(thumbnails, outputs)
            share = (time.perf_counter() - started) * 1000 / len(films)
            findings = self._find(films, thumbnails, outputs, share, heatmaps)
        return [self._decide(*each) for each in zip(films, verdicts, findings, strict=True)]

    def render_display(self, image: ImageBytes) -> DisplayPicture:
        """The film as a browser shows it. Raises `RejectedImageError` or `DecoderUnavailableError`."""
        return self._decoders.render_display(image)

    def warm_up(self) -> None:
        """Start every child and run the engine once at the sizes of batch that come first."""
        self._decoders.start()
        height, width, _ = self.info.input_shape
        for size in (1, 8):
            self._engine.run(np.zeros((size, height, width, 1), np.uint8))

    def share_decoders(self) -> DecoderPool:
        """The children, for one more predictor; its `close` gives them back."""
        return self._decoders.share()

    def close(self) -> None:
        """End the children, unless another predictor shares them."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._decoders.close()

    def _begin(self, work: Callable[..., Result], items: Sequence[tuple[Any, ...]]) -> SharedWork[Result]:
        return SharedWork(self._threads, self._decoders.size, work, items)

    def _share(self, work: Callable[..., Result], items: Sequence[tuple[Any, ...]]) -> list[Result]:
        """A single item stays on the caller's own thread: handing it over takes a quarter of a millisecond."""
        return [work(*items[0])] if len(items) == 1 else self._begin(work, items).results()

    def _decode_group(self, images: Sequence[ImageBytes], overridden: Sequence[frozenset[str]]) -> list[DecodedFilm | Refusal]:
        codes = [one & OVERRIDABLE for one in overridden]
        return self._decoders.decode(images, size=self.info.input_shape[0], use=self.info.intended_use, overridden=codes)

    def _with_display(self, outcome: Outcome, image: ImageBytes) -> Outcome:
        if isinstance(outcome, Refusal):
            return outcome
        try:
            png = self.render_display(image).png
        except RejectedImageError as error:
            return refusal(error.code)
        return replace(outcome, display_png=png)

    def _finish(self, decoded: Sequence[DecodedFilm | Refusal], heatmaps: bool) -> list[Outcome]:
        films = [film for film in decoded if isinstance(film, DecodedFilm)]
        found = iter(self.infer(films, heatmaps=heatmaps))
        return [film if isinstance(film, Refusal) else next(found) for film in decoded]

    def _judge(self, thumbnails: NDArray[np.float32], outputs: Outputs) -> list[Verdict]:
        if self._gate is None or outputs.features is None:
            return [Verdict(None, is_suspect=False)] * len(thumbnails)
        return self._gate.judge(thumbnails, outputs.features)

    def _decide(self, film: DecodedFilm, verdict: Verdict, finding: Finding) -> Outcome:
        if verdict.code and verdict.code not in film.overridden:
            return refusal(verdict.code)
        flags = set(film.overridden)
        if verdict.is_suspect:
            flags.add("OUT_OF_DISTRIBUTION")
        if finding.heat_in_lung is not None and finding.heat_in_lung < self._metadata["heatmap"].get("least_in_lung", 0.0):
            flags.add("HEAT_OUTSIDE_LUNGS")
        return replace(finding, flags=tuple(sorted(flags)))

    def _find(
        self,
        films: Sequence[DecodedFilm],
        thumbnails: NDArray[np.float32],
        outputs: Outputs,
        infer_milliseconds: float,
        heatmaps: bool,
    ) -> list[Finding]:
        started = time.perf_counter()
        probabilities = [self._calibrate(float(logit)) for logit in outputs.logits]
        positive = np.array(probabilities) >= self.info.threshold
        in_lung = iter(shares_in_lung(thumbnails[positive], outputs.activations[positive]))
        scale = float(self._metadata["heatmap"]["scale"])
        pictures = [draw_heatmap(one, scale=scale) if heatmaps else b"" for one in outputs.activations]
        drawn = (time.perf_counter() - started) * 1000 / len(films)
        return [
            Finding(
                probability=probability,
                label="PNEUMONIA" if is_positive else "NORMAL",
                threshold=self.info.threshold,
                model_version=self.info.version,
                heatmap_png=picture,
                display_png=None,
                timings=Timings(film.decode_milliseconds, infer_milliseconds, drawn),
                heat_in_lung=next(in_lung) if is_positive else None,
            )
            for film, probability, is_positive, picture in zip(films, probabilities, positive, pictures, strict=True)
        ]


def load_predictor(version: str | None = None, *, beside: Predictor | None = None) -> Predictor:
    """Verify the version's artifact, compile its graph, make room for its children (they start with the first film).

    A version that is loaded `beside` another shares its children, which end with the last of the two: they are started already,
    and know no version.
    Engine, threads and number of children come from Django's settings where they are configured. Raises `ArtifactMissingError`,
    `ArtifactCorruptError` or `ArtifactIncompatibleError`.
    """
    location = locate_version(version)
    metadata = verify_artifact(location.path, location.sha256)
    info = read_info(location.path)
    expected = Preprocessing(size=info.input_shape[0]).as_dict()
    if metadata.get("preprocessing") != expected:
        raise ArtifactIncompatibleError(f"Version {info.version} was trained with other preprocessing than this code does.")
    make_calibrator(info.calibration)  # raises before there is anything to close
    engine = load_engine(location.path, metadata, engine=_setting("MODEL_ENGINE", "auto"), threads=_setting("MODEL_THREADS", 0))
    gate = load_gate(location.path, metadata)
    decoders = beside.share_decoders() if beside else DecoderPool(_setting("WORKER_DECODERS", 2))
    return Predictor(info, metadata, engine, decoders, gate)


def _flatten(groups: list[list[DecodedFilm | Refusal]]) -> list[DecodedFilm | Refusal]:
    return [film for group in groups for film in group]


def _batches(images: Iterable[ImageBytes], size: int) -> Iterator[list[ImageBytes]]:
    remaining = iter(images)
    while batch := list(islice(remaining, size)):
        yield batch


def _setting(name: str, default: Any) -> Any:
    from django.conf import settings

    return getattr(settings, name, default) if settings.configured else default
