"""The rules on pixels refuse what no network need see, and let every film pass."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mlmodel.decoder_child import decode
from mlmodel.gate.pixels import find_fault, grain, is_colour
from mlmodel.types import IntendedUse, RejectedImageError
from tests.mlmodel.films import dicom, draw_12_bits, encode, png
from tests.mlmodel.gate.material import chest_films, colour_photographs, photographed_screen, slices

USE = IntendedUse("tests", 1, 5)


def code_of(image: bytes, overridden: frozenset[str] = frozenset()) -> str:
    try:
        decode(image, 224, USE, overridden)
    except RejectedImageError as error:
        return error.code
    return "read"


def film(seed: int = 0) -> NDArray[np.uint8]:
    return chest_films(4, 224)[seed]


def in_colour(pixels: NDArray[Any], quality: int = 75) -> bytes:
    return encode(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), "JPEG", quality=quality)


@pytest.mark.parametrize("index", range(3))
def test_a_colour_photograph_is_refused_also_a_muted_one(index: int) -> None:
    picture = list(colour_photographs())[index]
    assert code_of(encode(picture, "JPEG")) == "COLOUR_PHOTO"
    muted = Image.blend(picture.convert("L").convert("RGB"), picture, 0.6)
    assert code_of(encode(muted, "JPEG")) == "COLOUR_PHOTO"


@pytest.mark.parametrize("seed", range(4))
def test_a_photograph_of_a_screen_is_a_colour_photograph(seed: int) -> None:
    assert code_of(in_colour(photographed_screen(film(seed), seed))) == "COLOUR_PHOTO"


@pytest.mark.parametrize("tint", [(1.0, 1.0, 1.0), (0.95, 1.0, 1.05), (1.06, 1.0, 0.94), (0.92, 1.0, 1.0)])
def test_a_grey_film_saved_in_colour_passes_with_a_slight_tint_and_noise(tint: tuple[float, ...]) -> None:
    generator = np.random.default_rng(1)
    for seed in range(4):
        noisy = film(seed)[..., None] * np.array(tint) + generator.normal(0, 6, (224, 224, 3))
        assert code_of(in_colour(noisy)) == "read"


def test_a_coloured_mark_on_a_film_passes() -> None:
    marked = np.repeat(film()[..., None], 3, axis=2)
    marked[10:40, 10:50] = (230, 20, 20)
    assert code_of(in_colour(marked)) == "read"


@pytest.mark.parametrize("shade", [0, 7, 128, 255])
def test_a_blank_picture_is_refused(shade: int) -> None:
    assert code_of(png(np.full((300, 260), shade, np.uint8))) == "NOT_CHEST_XRAY"


def test_noise_is_refused() -> None:
    noise = np.random.default_rng(0)
    assert code_of(png(noise.integers(0, 256, (300, 300), dtype=np.uint8))) == "NOT_CHEST_XRAY"
    assert find_fault(np.clip(noise.normal(128, 40, (224, 224)), 0, 255).astype(np.uint8)) == "NOT_CHEST_XRAY"


@pytest.mark.parametrize("is_dark", [False, True])
def test_a_scanned_page_is_refused(is_dark: bool) -> None:
    page = Image.new("L", (850, 1100), 250)
    draw = ImageDraw.Draw(page)
    for line in range(80, 1020, 28):
        draw.text((90, line), "The child was seen in the clinic with fever and a cough for three days. " * 2, fill=20)
    grained = np.asarray(page, float) + np.random.default_rng(2).normal(0, 2, (1100, 850))
    pixels = np.clip(255 - grained if is_dark else grained, 0, 255).astype(np.uint8)
    assert code_of(png(pixels)) == "NOT_CHEST_XRAY"


def test_films_and_slices_are_left_to_the_network() -> None:
    assert [find_fault(one) for one in chest_films(4, 224)] == [None] * 4
    assert all(code_of(encode(picture)) in {"read", "TOO_SMALL"} for picture in slices())


def test_grain_is_the_variance_that_neighbours_do_not_share() -> None:
    generator = np.random.default_rng(3)
    white = generator.normal(128, 20, (400, 400)).clip(0, 255).astype(np.uint8)
    assert grain(white, float(white.var())) == pytest.approx(1 + 1 / 4, rel=0.05)
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    assert grain(ramp, float(ramp.var())) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (in_colour(photographed_screen(np.full((224, 224), 90, np.uint8))), "COLOUR_PHOTO"),
        (png(np.full((300, 260), 9, np.uint8)), "NOT_CHEST_XRAY"),
        (dicom(draw_12_bits(), ViewPosition="LL"), "LATERAL_VIEW"),
        (dicom(draw_12_bits(), BodyPartExamined="HAND"), "NOT_CHEST_XRAY"),
        (dicom(draw_12_bits(), PatientAge="040Y"), "AGE_OUT_OF_RANGE"),
    ],
)
def test_what_a_radiologist_sets_aside_is_passed_and_nothing_else(image: bytes, code: str) -> None:
    assert code_of(image) == code
    assert code_of(image, frozenset({code})) == "read"
    others = frozenset({"COLOUR_PHOTO", "NOT_CHEST_XRAY", "LATERAL_VIEW", "AGE_OUT_OF_RANGE"}) - {code}
    assert code_of(image, others) == code


@pytest.mark.parametrize(
    ("body_part", "code"),
    [
        *[(name, "read") for name in ("CHEST", "THORAX", "CHEST ABDOMEN", "RIBS", "", "PORT", "TORAX")],
        *[(name, "NOT_CHEST_XRAY") for name in ("SKULL", "HAND", "L SPINE", "KNEE", "PELVIS", "LOW_EXM LEG")],
    ],
)
def test_the_body_part_of_the_header_is_believed_where_it_excludes_the_chest(body_part: str, code: str) -> None:
    assert code_of(dicom(draw_12_bits(), BodyPartExamined=body_part)) == code


@pytest.mark.parametrize("view", ["LL", "RL", "LATERAL", "LLD"])
def test_lateral_views_are_known_by_the_header(view: str) -> None:
    assert code_of(dicom(draw_12_bits(), ViewPosition=view)) == ("read" if view == "LLD" else "LATERAL_VIEW")


def test_a_small_film_is_refused_whatever_is_set_aside() -> None:
    buffer = BytesIO()
    Image.fromarray(film()[:100, :100]).save(buffer, "PNG")
    assert code_of(buffer.getvalue(), frozenset({"TOO_SMALL", "UNREADABLE"})) == "TOO_SMALL"


def test_the_colour_rule_looks_at_colours_and_not_at_greys() -> None:
    greys = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    assert not is_colour(greys)
    assert is_colour(np.concatenate([greys[:, :8] // [1, 1, 2], greys[:, 8:]], axis=1).astype(np.uint8))
