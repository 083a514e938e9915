"""From a file's bytes to a grey film. Imported in the decoding children and in training tools alone: this is where hostile
bytes meet C libraries.
"""

import re
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageOps

from mlmodel.codes import rejection
from mlmodel.gate.pixels import is_colour
from mlmodel.headers import MAX_PIXELS, inspect_headers
from mlmodel.preprocessing import to_uint8
from mlmodel.types import ImageInfo, IntendedUse, RejectedImageError

MIN_SIDE = 128  # pixels; the films that the network was trained on have 224
LATERAL_VIEWS = frozenset({"LL", "RL", "LLO", "RLO", "LATERAL", "LAT", "LLAT", "RLAT", "LEFT LATERAL", "RIGHT LATERAL"})
# Body Part Examined (PS3.16 annex L, and what consoles write); a word of `OTHER_PARTS` without one of `CHEST_PARTS`
CHEST_PARTS = ("CHEST", "THORAX", "LUNG", "TORAX", "HEART", "RIB", "TRUNK", "WHOLEBODY", "BABYGRAM")
OTHER_PARTS = (
    *(
        "ABDOMEN",
        "ANKLE",
        "ARM",
        "BREAST",
        "CLAVICLE",
        "COCCYX",
        "CSPINE",
        "CALCANEUS",
        "ELBOW",
        "EXTREMITY",
        "FEMUR",
        "FINGER",
    ),
    *(
        "FOOT",
        "FOREARM",
        "HAND",
        "HEAD",
        "HIP",
        "HUMERUS",
        "JAW",
        "KNEE",
        "LEG",
        "LSPINE",
        "MANDIBLE",
        "MAXILLA",
        "NECK",
        "ORBIT",
    ),
    *("PELVIS", "RADIUS", "SCAPULA", "SHOULDER", "SINUS", "SKULL", "SPINE", "THUMB", "TIBIA", "TOE", "ULNA", "WRIST", "ZYGOMA"),
)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)

# How each mode that JPEG and PNG open in becomes grey. None: 16 bits, kept as they are.
MODES: dict[str, tuple[str, ...] | None] = {
    "1": ("L",),
    "L": (),
    "LA": ("RGBA", "on black", "L"),
    "P": ("RGBA", "on black", "colour", "L"),
    "PA": ("RGBA", "on black", "colour", "L"),
    "RGB": ("colour", "L"),
    "RGBA": ("on black", "colour", "L"),
    "CMYK": ("RGB", "colour", "L"),
    "YCbCr": ("RGB", "colour", "L"),
    "I": None,
    "I;16": None,
    "I;16B": None,
}


@dataclass(frozen=True, slots=True)
class Pixels:
    """What a decoder hands over. `grey` is upright, black where little was exposed, of mode L or, from 0 to 1, F. `stored`
    are the grey values as the file holds them, where they are not what `grey` shows."""

    grey: Image.Image
    bits: int
    is_coloured: bool = False
    stored: NDArray[Any] | None = None

    @property
    def pixel_sha256(self) -> str:
        """Known by it is the same film in another container; computed when asked for, since it costs as much as resizing."""
        buffer = self.grey.tobytes() if self.stored is None else np.ascontiguousarray(self.stored).data
        return hash_pixels(*self.grey.size, buffer)


@dataclass(frozen=True, slots=True)
class Film:
    """A decoded film with what its headers say."""

    pixels: Pixels
    info: ImageInfo

    @property
    def age_years(self) -> float | None:
        return self.info.dicom.patient_age_years if self.info.dicom else None

    def as_display(self) -> Image.Image:
        """The film as a screen shows it, of mode L."""
        grey = self.pixels.grey
        return grey if grey.mode == "L" else Image.fromarray(to_uint8(np.asarray(grey)))


def read_film(image: bytes, info: ImageInfo | None = None, *, at_least: int = 0) -> Film:
    """Headers checked, unless `info` says that they were, then pixels decoded.

    `at_least` lets a large JPEG be decoded at a half, a quarter or an eighth of its size, with no side under so many pixels:
    libjpeg scales in the DCT domain, which halves the time. 0 decodes every pixel.

    Raises `RejectedImageError` with the code of `inspect_headers`, or UNREADABLE where a library gives up; `MemoryError` and
    `RecursionError` pass, for the process that meets them is not to be trusted with another film.
    """
    info = info or inspect_headers(image)
    try:
        if info.format == "DICOM":
            from mlmodel.dicom_pixels import read_dicom

            return Film(read_dicom(image), info)
        return Film(_read_picture(image, at_least), info)
    except (MemoryError, RecursionError, RejectedImageError):
        raise
    except Exception as error:  # the libraries raise some twenty unrelated types on damaged files
        raise rejection("UNREADABLE") from error


def check_headers(info: ImageInfo, use: IntendedUse, overridden: Collection[str] = ()) -> None:
    """Raise `RejectedImageError` for what the headers alone rule out: size, view, body part, age (where the file tells it).

    Codes in `overridden` are not raised.
    """
    if min(info.width, info.height) < MIN_SIDE:
        raise rejection("TOO_SMALL")
    facts = info.dicom
    if facts is None:
        return
    faults = {
        "LATERAL_VIEW": facts.view_position.strip().upper() in LATERAL_VIEWS,
        "NOT_CHEST_XRAY": _is_other_part(facts.body_part),
        "AGE_OUT_OF_RANGE": facts.patient_age_years is not None and not use.covers_age(facts.patient_age_years),
    }
    for code, is_found in faults.items():
        if is_found and code not in overridden:
            raise rejection(code)


def _is_other_part(body_part: str) -> bool:
    """Whether the header names a part of the body that excludes the chest; an empty or unknown name says nothing."""
    name = re.sub("[^A-Z]", "", body_part.upper())
    return not any(part in name for part in CHEST_PARTS) and any(part in name for part in OTHER_PARTS)


def hash_pixels(width: int, height: int, stored: Any) -> str:
    """SHA-256 over shape and grey values (a buffer of 8 or 16 bits each), so that the same film in another container is
    known."""
    digest = sha256(f"{width}x{height}:".encode())
    digest.update(stored)
    return digest.hexdigest()


def _read_picture(image: bytes, at_least: int) -> Pixels:
    """JPEG or PNG; the first frame of several counts."""
    if image.startswith(PNG_SIGNATURE):
        # Pillow reads on over a wrong checksum: a flipped bit would be another picture, and nobody would know.
        with Image.open(BytesIO(image), formats=("PNG",)) as picture:
            picture.verify()
    with Image.open(BytesIO(image), formats=("JPEG", "PNG")) as picture:
        if at_least:
            picture.draft(None, (at_least, at_least))  # does nothing to a PNG
        picture.load()
        ImageOps.exif_transpose(picture, in_place=True)
        if picture.mode not in MODES:
            raise rejection("UNREADABLE")
        steps = MODES[picture.mode]
        if steps is None:
            stored = np.asarray(picture).astype(np.uint16)
            grey = Image.fromarray(stored.astype(np.float32) / np.float32(65535))
            return Pixels(grey, 16, stored=stored)
        return _reduce_to_grey(picture, steps)


def _reduce_to_grey(picture: Image.Image, steps: tuple[str, ...]) -> Pixels:
    is_coloured = False
    for step in steps:
        if step == "colour":
            red, green, blue = picture.split()
            if _are_equal(red, green) and _are_equal(red, blue):  # most films in colour are not, and need not be weighed
                return Pixels(red, 8)
            is_coloured = is_colour(np.asarray(picture.resize((64, 64), Image.Resampling.BOX)))
        else:
            picture = _on_black(picture) if step == "on black" else picture.convert(step)
    return Pixels(picture, 8, is_coloured)


def _are_equal(one: Image.Image, other: Image.Image) -> bool:
    return ImageChops.difference(one, other).getbbox() is None


def _on_black(picture: Image.Image) -> Image.Image:
    ground = Image.new("RGB", picture.size)
    ground.paste(picture, mask=picture.getchannel("A"))
    return ground
