"""A model that needs no tensor library: its probability follows from the film's bytes. For tests of the pipeline around it."""

import hashlib
from collections.abc import Sequence

from mlmodel import api
from mlmodel.api import DecodedFilm

INFO = api.ModelInfo("stub", "0" * 64, 0.5, (8, 8, 1), {"method": "none"}, api.IntendedUse("tests", 1, 5))
CRASHES_THE_ENGINE = b"poison"
UNREADABLE, STRANGE = b"unreadable", b"strange"


class StubPredictor:
    """Films are their own bytes; `poison` makes any batch that holds it fail, `unreadable` is refused, `strange` only when the
    film is inferred, unless that was set aside."""

    info, engine = INFO, "stub"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def decode(
        self, images: Sequence[bytes], overridden: Sequence[frozenset[str]] | None = None
    ) -> list[DecodedFilm | api.Refusal]:
        set_aside = overridden or [frozenset()] * len(images)
        return [
            api.refusal("UNREADABLE") if image == UNREADABLE else decoded(image, codes)
            for image, codes in zip(images, set_aside, strict=True)
        ]

    def infer(self, films: Sequence[DecodedFilm]) -> list[api.Outcome]:
        self.batches.append(len(films))
        if any(film.model_input == CRASHES_THE_ENGINE for film in films):
            raise RuntimeError("engine failed")
        return [self._decide(film) for film in films]

    def render_display(self, image: bytes) -> api.DisplayPicture:
        if image == UNREADABLE:
            raise api.RejectedImageError("UNREADABLE", "no")
        return api.DisplayPicture(b"png of " + image, hashlib.sha256(image).hexdigest())

    def warm_up(self) -> None:
        """Nothing to warm."""

    def close(self) -> None:
        """Nothing to close."""

    def _decide(self, film: DecodedFilm) -> api.Outcome:
        if film.model_input == STRANGE and "OUT_OF_DISTRIBUTION" not in film.overridden:
            return api.refusal("OUT_OF_DISTRIBUTION")
        probability = probability_of(bytes(film.model_input))
        label: api.Label = "PNEUMONIA" if probability >= 0.5 else "NORMAL"
        flags = tuple(sorted(film.overridden))
        return api.Finding(probability, label, 0.5, "stub", b"heatmap", None, api.Timings(), flags=flags)


def probability_of(content: bytes) -> float:
    return hashlib.sha256(content).digest()[0] / 255


def decoded(content: bytes, overridden: frozenset[str] = frozenset()) -> DecodedFilm:
    return DecodedFilm(
        model_input=content,  # type: ignore[arg-type]
        bits=8,
        age_years=None,
        decode_milliseconds=1.0,
        overridden=overridden,
    )
