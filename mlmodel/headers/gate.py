"""From bytes to a format, by content alone: names and declared types are never asked."""

from mlmodel.codes import rejection
from mlmodel.headers.dicom import inspect_dicom, is_bare_data_set
from mlmodel.headers.jpeg import inspect_jpeg
from mlmodel.headers.png import inspect_png
from mlmodel.types import ImageBytes, ImageInfo

DICOM_MAGIC_AT = 128


def inspect_headers(image: ImageBytes) -> ImageInfo:
    """What the headers say of a film, given as bytes or as a read-only memory map, which is not copied.

    Raises `RejectedImageError` with a code of `mlmodel.codes` for whatever must not be stored, and nothing else.
    """
    if len(image) == 0:
        raise rejection("EMPTY_FILE")
    # DICOM comes first: a file that is a JPEG to one reader and DICOM to another is judged by the stricter rule.
    if image[DICOM_MAGIC_AT : DICOM_MAGIC_AT + 4] == b"DICM":
        return inspect_dicom(image)
    if image[:3] == b"\xff\xd8\xff":
        return inspect_jpeg(image)
    if image[:8] == b"\x89PNG\r\n\x1a\n":
        return inspect_png(image)
    if is_bare_data_set(image):
        raise rejection("MALFORMED_DICOM")
    raise rejection("UNSUPPORTED_FORMAT")
