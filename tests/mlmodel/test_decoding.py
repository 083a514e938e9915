"""JPEG and PNG of every mode become the same grey film; what is none is refused with its code."""

import numpy as np
import pytest
from PIL import Image

from mlmodel.decoding import check_headers, read_film
from mlmodel.headers import inspect_headers
from mlmodel.types import IntendedUse, RejectedImageError
from tests.mlmodel.films import dicom, draw_12_bits, draw_film, draw_uint8, encode, jpeg, png

TODDLERS = IntendedUse("Children", min_age_years=1, max_age_years=5)


def grey(image: bytes) -> np.ndarray:
    return np.asarray(read_film(image).as_display()).astype(int)


def code_of(image: bytes) -> str:
    """The code that the film is refused with, empty where it is read."""
    try:
        info = inspect_headers(image)
        check_headers(info, TODDLERS)
        return "COLOUR_PHOTO" if read_film(image, info).pixels.is_coloured else ""
    except RejectedImageError as error:
        return error.code


@pytest.mark.parametrize(
    ("mode", "kind", "tolerance"),
    [
        ("RGB", "PNG", 0),
        ("RGBA", "PNG", 0),
        ("LA", "PNG", 0),
        ("P", "PNG", 0),
        ("CMYK", "JPEG", 6),
        ("RGB", "JPEG", 4),
        ("L", "JPEG", 4),
    ],
)
def test_every_mode_gives_the_grey_film(mode: str, kind: str, tolerance: int) -> None:
    film = draw_uint8()
    image = encode(Image.fromarray(film).convert(mode), kind, **({"quality": 95} if kind == "JPEG" else {}))
    assert np.abs(grey(image) - film).max() <= tolerance


def test_one_bit_becomes_black_and_white() -> None:
    assert set(np.unique(grey(encode(Image.fromarray(draw_uint8()).convert("1"))))) == {0, 255}


def test_what_is_transparent_is_black() -> None:
    picture = Image.fromarray(np.dstack([np.full((150, 180, 3), 200, np.uint8), np.zeros((150, 180, 1), np.uint8)]))
    assert grey(encode(picture)).max() == 0


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    film = draw_film()
    eight, sixteen = grey(png(np.rint(film * 255).astype(np.uint8))), grey(png(np.rint(film * 65535).astype(np.uint16)))
    assert np.abs(eight - sixteen).max() <= 1
    assert read_film(png(np.rint(film * 65535).astype(np.uint16))).pixels.bits == 16


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_a_film_is_turned_upright_by_its_exif_orientation(orientation: int, turns: int) -> None:
    film = draw_uint8()
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.abs(grey(jpeg(film, exif=exif)) - np.rot90(film, turns)).max() <= 4


def test_the_same_pixels_in_another_container_have_the_same_hash() -> None:
    film = draw_uint8()
    hashes = {
        read_film(image).pixels.pixel_sha256
        for image in (png(film), encode(Image.fromarray(film).convert("RGB")), dicom(film, bits=8))
    }
    assert len(hashes) == 1


def test_other_pixels_or_another_shape_have_another_hash() -> None:
    film = draw_uint8()
    changed = film.copy()
    changed[0, 0] ^= 1
    hashes = {read_film(png(pixels)).pixels.pixel_sha256 for pixels in (film, changed, film.reshape(180, 150))}
    assert len(hashes) == 3


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_that_is_cut_short_is_unreadable(kind: str, cut: float) -> None:
    image = encode(Image.fromarray(draw_uint8()), kind)
    assert code_of(image[: int(len(image) * cut)]) == "UNREADABLE"


def test_a_colour_photograph_is_told_from_a_film() -> None:
    waves = [draw_uint8(seed) for seed in (1, 2, 3)]
    assert code_of(encode(Image.fromarray(np.dstack(waves)))) == "COLOUR_PHOTO"


def test_a_film_with_a_coloured_mark_is_still_a_film() -> None:
    film = np.dstack([draw_uint8()] * 3)
    film[:20, :30] = (255, 0, 0)
    assert code_of(encode(Image.fromarray(film))) == ""


@pytest.mark.parametrize(("side", "code"), [(127, "TOO_SMALL"), (128, "")])
def test_the_smaller_side_decides_what_is_too_small(side: int, code: str) -> None:
    assert code_of(png(draw_uint8(width=300, height=side))) == code


@pytest.mark.parametrize(("view", "code"), [("LL", "LATERAL_VIEW"), ("RL", "LATERAL_VIEW"), ("AP", ""), ("PA", ""), ("", "")])
def test_lateral_views_are_refused(view: str, code: str) -> None:
    assert code_of(dicom(draw_12_bits(), ViewPosition=view)) == code


@pytest.mark.parametrize(
    ("age", "code"),
    [
        ("011M", "AGE_OUT_OF_RANGE"),
        ("001Y", ""),
        ("005Y", ""),
        ("006Y", "AGE_OUT_OF_RANGE"),
        ("062Y", "AGE_OUT_OF_RANGE"),
        ("", ""),
    ],
)
def test_the_age_that_the_file_tells_is_held_against_the_intended_use(age: str, code: str) -> None:
    assert code_of(dicom(draw_12_bits(), PatientAge=age)) == code
