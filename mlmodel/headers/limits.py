"""The bounds that every format shares."""

from mlmodel.codes import rejection

MAX_PIXELS = 36_000_000  # 6000 x 6000: more than any chest film, little enough for a decoding child's memory
MAX_STEPS = 4_096  # segments of a JPEG, chunks of a PNG, fragments of a DICOM film
MAX_ELEMENTS = 4_096  # elements and items of a DICOM header, nested ones counted
MAX_DEPTH = 16  # sequences within sequences of a DICOM header


def check_pixel_budget(width: int, height: int) -> None:
    """Raise `RejectedImageError` with TOO_MANY_PIXELS where width x height, in pixels, is more than `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise rejection("TOO_MANY_PIXELS")
