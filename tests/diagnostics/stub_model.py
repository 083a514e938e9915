"""A model that needs no tensor library: its probability follows from the film's bytes. For tests of the pipeline around it."""

import hashlib
from collections.abc import Sequence

from mlmodel import api
from mlmodel.api import DecodedFilm

INFO = api.ModelInfo("stub", "0" * 64, 0.5, (8, 8, 1), {"method": "none"}, api.IntendedUse("tests", 1, 5))
CRASHES_THE_ENGINE = b"poison"
UNREADABLE = b"unreadable"


class StubPredictor:
    """Films are their own bytes; `poison` makes any batch that holds it fail, `unreadable` is refused."""

    info, engine = INFO, "stub"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def decode(self, images: Sequence[bytes]) -> list[DecodedFilm | api.Refusal]:
        return [api.refusal("UNREADABLE") if image == UNREADABLE else decoded(image) for image in images]

    def infer(self, films: Sequence[DecodedFilm]) -> list[api.Finding]:
        self.batches.append(len(films))
        if any(film.model_input == CRASHES_THE_ENGINE for film in films):
            raise RuntimeError("engine failed")
        return [self._find(film) for film in films]

    def render_display(self, image: bytes) -> api.DisplayPicture:
        if image == UNREADABLE:
            raise api.RejectedImageError("UNREADABLE", "no")
        return api.DisplayPicture(b"png of " + image, hashlib.sha256(image).hexdigest())

    def warm_up(self) -> None:
        """Nothing to warm."""

    def close(self) -> None:
        """Nothing to close."""

    def _find(self, film: DecodedFilm) -> api.Finding:
        probability = probability_of(bytes(film.model_input))
        label: api.Label = "PNEUMONIA" if probability >= 0.5 else "NORMAL"
        return api.Finding(probability, label, 0.5, "stub", b"heatmap", None, api.Timings())


def probability_of(content: bytes) -> float:
    return hashlib.sha256(content).digest()[0] / 255


def decoded(content: bytes) -> DecodedFilm:
    return DecodedFilm(
        model_input=content,  # type: ignore[arg-type]
        bits=8,
        age_years=None,
        decode_milliseconds=1.0,
    )
