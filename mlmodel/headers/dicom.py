"""DICOM files (PS3.10 section 7) judged by their headers alone."""

from mlmodel.codes import rejection
from mlmodel.headers.elements import LONG_VRS, SHORT_VRS, Encoding, Walker, malformed, read_element
from mlmodel.headers.facts import FACT_TAGS, MAX_BYTES, MODALITY, Values, read_facts
from mlmodel.headers.pixels import PIXEL_TAGS, check_encapsulated, check_native, read_pixel_module
from mlmodel.headers.syntaxes import TRANSFER_SYNTAXES, Compression
from mlmodel.types import ImageBytes, ImageInfo, RejectedImageError

META_START = 132
MAX_META_ELEMENTS = 64
TRANSFER_SYNTAX_UID = 0x0002_0010
NUMBER_OF_FRAMES = 0x0028_0008
WANTED = FACT_TAGS | PIXEL_TAGS | {NUMBER_OF_FRAMES}
MODALITIES = {"CR", "DX", ""}
TIFF_SIGNATURES = {b"II*\x00", b"MM\x00*"}


def inspect_dicom(image: ImageBytes) -> ImageInfo:
    """What a DICOM file's headers say; the pixels fit the promised dimensions, in pixels, before anything decodes them.

    Raises `RejectedImageError`: UNSAFE_PREAMBLE, TRANSFER_SYNTAX_NOT_SUPPORTED, NO_PIXELS, MULTI_FRAME,
    MODALITY_NOT_SUPPORTED, TOO_MANY_PIXELS, MALFORMED_DICOM.
    """
    _check_preamble(image)
    transfer_syntax, start = _read_meta(image)
    if transfer_syntax not in TRANSFER_SYNTAXES:
        raise rejection("TRANSFER_SYNTAX_NOT_SUPPORTED")
    encoding, compression = TRANSFER_SYNTAXES[transfer_syntax]
    walker = Walker(image, start, encoding, WANTED)
    try:
        pixel_data = walker.run()
    except RejectedImageError:
        _check_kind(Values(image, walker.found))  # a CT whose header is too long to read through is still a CT
        raise
    if pixel_data is None:
        raise rejection("NO_PIXELS")
    values = Values(image, walker.found)
    _check_kind(values)
    facts = read_facts(values, transfer_syntax)
    module = read_pixel_module(image, walker.found, facts.photometric_interpretation, encoding.order)
    if pixel_data.vr not in {b"OB", b"OW", b""}:
        raise malformed()
    if compression is Compression.NONE:
        check_native(module, pixel_data, facts.photometric_interpretation)
    else:
        check_encapsulated(image, module, pixel_data, compression)
    return ImageInfo("DICOM", module.columns, module.rows, module.stored, module.samples, len(image), facts)


def is_bare_data_set(image: ImageBytes) -> bool:
    """Whether the bytes begin like DICOM without its preamble: "DICM" itself, or an element of group 0002 or 0008."""
    if image[:4] == b"DICM":
        return True
    if image[:2] not in {b"\x02\x00", b"\x08\x00", b"\x00\x08"}:
        return False
    length = int.from_bytes(image[4:8], "little")
    return image[4:6] in LONG_VRS | SHORT_VRS or 0 < length <= min(MAX_BYTES, len(image) - 8)


def _check_preamble(image: ImageBytes) -> None:
    """Nothing but zeros, or a TIFF's signature (PS3.10 section 7.1): a program may hide there (CVE-2019-11687)."""
    if any(image[:128]) and image[:4] not in TIFF_SIGNATURES:
        raise rejection("UNSAFE_PREAMBLE")


def _read_meta(image: ImageBytes) -> tuple[str, int]:
    """The transfer syntax UID and where the data set begins. The group's own length is not trusted."""
    transfer_syntax, position = "", META_START
    for _ in range(MAX_META_ELEMENTS):
        if image[position : position + 2] != b"\x02\x00":
            break
        element = read_element(image, position, len(image), Encoding(explicit=True, order="<"))
        position = element.start + element.length
        if element.tag == TRANSFER_SYNTAX_UID:
            if transfer_syntax:
                raise malformed()
            value = image[element.start : min(position, element.start + MAX_BYTES)]
            transfer_syntax = value.strip(b" \0").decode("ascii", "replace")
    if not transfer_syntax:
        raise malformed()
    return transfer_syntax, position


def _check_kind(values: Values) -> None:
    """One frame of a radiograph."""
    frames = values.code(NUMBER_OF_FRAMES) or "1"
    if not (frames.isascii() and frames.isdigit() and int(frames)):
        raise malformed()
    if int(frames) > 1:
        raise rejection("MULTI_FRAME")
    if values.code(MODALITY).upper() not in MODALITIES:
        raise rejection("MODALITY_NOT_SUPPORTED")
