"""The gate of the version in the repository, on real films: what it costs and what it catches."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mlmodel.artifact import read_metadata
from mlmodel.predictor import Predictor, load_predictor
from mlmodel.registry import newest_shipped
from mlmodel.types import Finding, Outcome
from tests.mlmodel.films import encode, png
from tests.mlmodel.gate.material import colour_photographs, slices

pytestmark = [pytest.mark.model, pytest.mark.slow]
SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
SHIPPED = newest_shipped()
needs_gate = pytest.mark.skipif("gate" not in read_metadata(SHIPPED), reason="the shipped version was made without a gate")
needs_films = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the real films, which lie beside the project")


@pytest.fixture(scope="module")
def predictor(django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> Iterator[Predictor]:
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        predictor = load_predictor(SHIPPED.name)
    yield predictor
    predictor.close()


def read(predictor: Predictor, images: list[bytes]) -> list[Outcome]:
    return [one for at in range(0, len(images), 16) for one in predictor.predict(images[at : at + 16], display=False)]


@needs_gate
def test_slices_photographs_and_turned_slices_are_refused(predictor: Predictor) -> None:
    pictures = [picture.resize((512, 512)) for picture in slices()]
    grey = [picture.convert("L") for picture in colour_photographs()]
    images = [encode(one) for one in (*pictures, *(one.rotate(90) for one in pictures), *grey, *colour_photographs())]
    assert not [one for one in read(predictor, images) if isinstance(one, Finding)]


@needs_gate
@needs_films
def test_full_size_films_pass_and_the_same_films_inverted_or_turned_do_not(predictor: Predictor) -> None:
    from PIL import Image

    paths = sorted((SHARED / "fullsize").rglob("*.jp*g"))
    assert sum(not isinstance(one, Finding) for one in read(predictor, [path.read_bytes() for path in paths])) <= 1
    films = [np.asarray(Image.open(path).convert("L").resize((600, 500))) for path in paths[::4]]
    spoilt = [png(np.ascontiguousarray(one)) for film in films for one in (255 - film, np.rot90(film), film[::-1])]
    passed = [one for one in read(predictor, spoilt) if isinstance(one, Finding) and not one.flags]
    assert len(passed) <= len(spoilt) * 0.03


@needs_gate
@needs_films
def test_adult_films_of_unknown_age_are_refused_or_marked(predictor: Predictor) -> None:
    paths = sorted((SHARED / "adult" / "images").glob("*.jpg"))[::5]
    outcomes = read(predictor, [path.read_bytes() for path in paths])
    assert np.mean([not isinstance(one, Finding) or bool(one.flags) for one in outcomes]) >= 0.8
