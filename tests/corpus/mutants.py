"""Valid films with bytes flipped, cut out, doubled or lost at the end: the same ones for the same seed."""

import random
from collections.abc import Iterator

from tests.corpus import codestreams
from tests.corpus.dicom_writer import EIGHT_BITS, IMPLICIT, encapsulated, film
from tests.corpus.films import film_with, nested
from tests.corpus.pictures import encode

HEADER = 1200  # bytes at the start, where most of the flips go


def build_seeds() -> dict[str, bytes]:
    """One valid film of each kind, by name."""
    return {
        "jpeg": encode(),
        "png": encode("L", "PNG"),
        "explicit": film(),
        "implicit": film(syntax=IMPLICIT),
        "sequences": film_with(nested(6)),
        "encapsulated jpeg": film(EIGHT_BITS, syntax=codestreams.JPEG, pixels=encapsulated(codestreams.jpeg())),
        "encapsulated jpeg-ls": film(syntax=codestreams.JPEG_LS, pixels=encapsulated(codestreams.jpeg_ls())),
        "encapsulated jpeg 2000": film(syntax=codestreams.JPEG_2000, pixels=encapsulated(codestreams.jpeg_2000())),
        "encapsulated rle": film(syntax=codestreams.RLE, pixels=encapsulated(codestreams.rle())),
    }


def mutate(seed: int, count: int) -> Iterator[bytes]:
    """`count` mutants, each of a valid film."""
    rng = random.Random(seed)
    seeds = list(build_seeds().values())
    for index in range(count):
        yield _mutant(rng, seeds[index % len(seeds)])


def _mutant(rng: random.Random, data: bytes) -> bytes:
    mutant = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place = rng.randrange(min(len(mutant), HEADER) if rng.random() < 0.8 else len(mutant))
        mutant[place] = rng.choice((0, 0xFF, 0x7F, rng.randrange(256), mutant[place] ^ 1 << rng.randrange(8)))
    kind, place = rng.random(), rng.randrange(len(mutant))
    if kind < 0.15:
        del mutant[place:]
    elif kind < 0.22:
        del mutant[place : place + rng.randrange(1, 40)]
    elif kind < 0.29:
        mutant[place:place] = mutant[place : place + rng.randrange(1, 40)]
    return bytes(mutant)
