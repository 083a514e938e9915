"""A model whose answer follows from the film's SHA-256, so that the harness knows every result. All around it is real:
registry, verification of the artifact, decoding children.
"""

import hashlib
import os
import re
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from mlmodel import api
from mlmodel.artifact import read_info, verify_artifact
from mlmodel.decoder_pool import COMMAND, DecoderPool
from mlmodel.registry import locate_version
from tests.faults.marks import HANGS_THE_ENGINE, SIDE, probability_of

BATCH_SECONDS = 0.05
HEATMAP = bytes.fromhex(  # a PNG of one transparent pixel
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000000020001e221bc330000000049454e44ae426082"
)
HARMED_CHILD = (sys.executable, "-m", "tests.faults.decoder_child")
EVIL = ("a" * 64) + "b"


class HashPredictor:
    """Decodes in the real children, then forgets the pixels and answers from the file's hash."""

    engine = "stub"

    def __init__(self, info: api.ModelInfo, decoders: DecoderPool) -> None:
        self.info, self._decoders = info, decoders
        self._threads = ThreadPoolExecutor(decoders.size)

    def decode(
        self, images: Sequence[bytes], overridden: Sequence[frozenset[str]] | None = None
    ) -> list[api.DecodedFilm | api.Refusal]:
        if not hasattr(self._decoders, "group"):
            return [self._decode_alone(image) for image in images]
        from mlmodel.sharing import SharedWork

        groups = SharedWork(self._threads, self._decoders.size, self._decode_group, self._decoders.group(images)).results()
        return [film for group in groups for film in group]

    def infer(self, films: Sequence[api.DecodedFilm]) -> list[api.Outcome]:
        time.sleep(BATCH_SECONDS)
        for film in films:
            if film.bits == 0:
                re.match(r"(a+)+$", EVIL)  # one C call that never returns and never lets go of the interpreter
        return [self._find(bytes(film.model_input).hex()) for film in films]

    def render_display(self, image: bytes) -> api.DisplayPicture:
        return self._decoders.render_display(image)

    def warm_up(self) -> None:
        self._decoders.start()

    def share_decoders(self) -> DecoderPool:
        return self._decoders.share()

    def close(self) -> None:
        self._threads.shutdown()
        self._decoders.close()

    def _decode_group(
        self, images: Sequence[bytes], overridden: Sequence[frozenset[str]]
    ) -> list[api.DecodedFilm | api.Refusal]:
        decoded = self._decoders.decode(images, size=SIDE, use=self.info.intended_use)
        return [
            film if isinstance(film, api.Refusal) else _forget_pixels(film, image)
            for film, image in zip(decoded, images, strict=True)
        ]

    def _decode_alone(self, image: bytes) -> api.DecodedFilm | api.Refusal:
        """By the children of an earlier release, of which F23 runs a worker."""
        decoders: Any = self._decoders
        try:
            return _forget_pixels(decoders.decode(image, size=SIDE, use=self.info.intended_use), image)
        except api.RejectedImageError as error:
            return api.refusal(error.code)

    def _find(self, sha256: str) -> api.Finding:
        probability = probability_of(sha256)
        label: api.Label = "PNEUMONIA" if probability >= self.info.threshold else "NORMAL"
        return api.Finding(probability, label, self.info.threshold, self.info.version, HEATMAP, None, api.Timings())


def _forget_pixels(film: api.DecodedFilm, image: bytes) -> api.DecodedFilm:
    digest = np.frombuffer(hashlib.sha256(image).digest(), np.uint8)
    return replace(film, model_input=digest, bits=0 if HANGS_THE_ENGINE in image else film.bits)


def load(version: str | None = None, *, beside: Any = None) -> HashPredictor:
    """As `mlmodel.api.load`, without an engine. Raises as it does."""
    location = locate_version(version)
    verify_artifact(location.path, location.sha256)
    info = read_info(location.path)
    if beside is not None:
        return HashPredictor(info, beside.share_decoders())
    command = COMMAND if os.environ.get("FAULTS_PLAIN_CHILDREN") else HARMED_CHILD
    timeout = float(os.environ.get("FAULTS_DECODE_SECONDS", "20"))
    return HashPredictor(info, DecoderPool(int(os.environ.get("WORKER_DECODERS", "2")), timeout=timeout, command=command))
