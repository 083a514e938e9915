"""Pixels of a DICOM film as a screen would show them: modality LUT, window, inversion (PS3.4 section N.2, PS3.3 section C.11).

Imported in the decoding children alone, on files that `mlmodel.headers` has let pass.
"""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, get_decoder

from mlmodel import extended_jpeg
from mlmodel.codes import rejection
from mlmodel.decoding import Pixels
from mlmodel.gate.pixels import is_colour
from mlmodel.headers import MAX_PIXELS

# One plugin per transfer syntax, so that a damaged stream meets one library and not each in turn. gdcm (C++ by SWIG) reads only
# what the others cannot: lossless and 12-bit JPEG.
PLUGINS: dict[str, str] = {
    "1.2.840.10008.1.2": "",
    "1.2.840.10008.1.2.1": "",
    "1.2.840.10008.1.2.2": "",
    "1.2.840.10008.1.2.4.50": "pillow",
    "1.2.840.10008.1.2.4.51": extended_jpeg.PLUGIN,
    "1.2.840.10008.1.2.4.57": "gdcm",
    "1.2.840.10008.1.2.4.70": "gdcm",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg",
    "1.2.840.10008.1.2.4.202": "pylibjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg",
    "1.2.840.10008.1.2.5": "pydicom",
}
extended_jpeg.register()
PERCENTILES = (0.5, 99.5)  # the window of a film that names none


def read_dicom(image: bytes) -> Pixels:
    """The film's first and only frame. Raises `RejectedImageError`, or whatever pydicom raises on a damaged file."""
    dataset = dcmread(BytesIO(image))
    values = _decode(dataset)
    if values.ndim == 3:
        return _grey_from_colour(values)
    bits, inverted = int(dataset.BitsStored), dataset.PhotometricInterpretation == "MONOCHROME1"
    padding = _padding(dataset, values)
    stored = (2**bits - 1 - values if inverted else values).astype(np.uint8 if bits <= 8 else np.uint16)
    grey = window(dataset, values, padding)
    if inverted:
        grey = 1 - grey
    if padding is not None:
        grey[padding] = 0
    return Pixels(Image.fromarray(grey), bits, stored=stored)


def _decode(dataset: Dataset) -> NDArray[Any]:
    """(rows, columns) or, in colour, (rows, columns, 3)."""
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise rejection("MULTI_FRAME")
    if int(dataset.Rows) * int(dataset.Columns) > MAX_PIXELS:
        raise rejection("TOO_MANY_PIXELS")
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in PLUGINS:
        raise rejection("TRANSFER_SYNTAX_NOT_SUPPORTED")
    pixels, _ = get_decoder(syntax).as_array(dataset, decoding_plugin=PLUGINS[syntax])
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
    return pixels


def window(dataset: Dataset, pixels: NDArray[Any], padding: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """Stored values → 0 to 1 by modality LUT, then by the first VOI LUT or window, else by percentiles (8 bits: by full
    range)."""
    values = apply_modality_lut(pixels, dataset).astype(np.float32)
    if dataset.get("VOILUTSequence"):
        table = dataset.VOILUTSequence[0]
        looked_up = apply_voi(values.astype(np.int32), dataset, index=0)
        return np.clip(looked_up.astype(np.float32) / (2 ** int(table.LUTDescriptor[2]) - 1), 0, 1)
    centre, width = _first(dataset.get("WindowCenter")), _first(dataset.get("WindowWidth"))
    if centre is not None and width is not None and width >= 1:
        return apply_window(values, centre, width, str(dataset.get("VOILUTFunction") or "LINEAR"))
    if int(dataset.BitsStored) <= 8 and values.min() >= 0 and values.max() <= 255:
        return values / np.float32(2 ** int(dataset.BitsStored) - 1)
    seen = values if padding is None or padding.all() else values[~padding]
    low, high = np.percentile(seen, PERCENTILES)
    return np.clip((values - np.float32(low)) / np.float32(max(high - low, 1)), 0, 1)


def apply_window(values: NDArray[np.float32], centre: float, width: float, function: str) -> NDArray[np.float32]:
    """0 to 1 by PS3.3 section C.11.2.1.2 (LINEAR) and C.11.2.1.3 (SIGMOID, LINEAR_EXACT)."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - np.float32(centre)) / np.float32(width)))
    if function == "LINEAR_EXACT":
        return np.clip((values - np.float32(centre)) / np.float32(width) + np.float32(0.5), 0, 1)
    return np.clip((values - np.float32(centre - 0.5)) / np.float32(max(width - 1, 1e-3)) + np.float32(0.5), 0, 1)


def _padding(dataset: Dataset, pixels: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where the film has no image (PS3.3 section C.7.5.1.1.2), or None."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((int(value), int(value if limit is None else limit)))
    return (pixels >= low) & (pixels <= high)


def _grey_from_colour(values: NDArray[Any]) -> Pixels:
    """(rows, columns, 3) → luma, as for a JPEG in colour."""
    eight = values if values.dtype == np.uint8 else (values >> 8).astype(np.uint8)
    picture = Image.fromarray(eight)
    grey = picture.convert("L")
    is_coloured = is_colour(np.asarray(picture.resize((64, 64), Image.Resampling.BOX)))
    return Pixels(grey, 8, is_coloured)


def _first(value: Any) -> float | None:
    """The first of a multi-valued element, as a number."""
    if value is None or value == "":
        return None
    return float(value[0] if isinstance(value, list | tuple) or hasattr(value, "__iter__") else value)
