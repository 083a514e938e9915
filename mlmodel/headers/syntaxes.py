"""The transfer syntaxes that the decoding child can read (PS3.5 annex A, PS3.6 annex A); all others are turned away."""

from enum import Enum, auto

from mlmodel.headers.elements import Encoding


class Compression(Enum):
    """How the pixels are packed, as far as the gate looks into them."""

    NONE = auto()
    JPEG = auto()  # JPEG-LS too: its frame header has the same layout
    JPEG_2000 = auto()
    RLE = auto()


_EXPLICIT = Encoding(explicit=True, order="<")

# Deflated Explicit VR (1.2.840.10008.1.2.1.99) is left out on purpose: 200 KB of it can inflate to 200 MB.
TRANSFER_SYNTAXES: dict[str, tuple[Encoding, Compression]] = {
    "1.2.840.10008.1.2": (Encoding(explicit=False, order="<"), Compression.NONE),
    "1.2.840.10008.1.2.1": (_EXPLICIT, Compression.NONE),
    "1.2.840.10008.1.2.2": (Encoding(explicit=True, order=">"), Compression.NONE),  # retired, still in archives
    "1.2.840.10008.1.2.4.50": (_EXPLICIT, Compression.JPEG),  # JPEG Baseline
    "1.2.840.10008.1.2.4.51": (_EXPLICIT, Compression.JPEG),  # JPEG Extended
    "1.2.840.10008.1.2.4.57": (_EXPLICIT, Compression.JPEG),  # JPEG Lossless, process 14
    "1.2.840.10008.1.2.4.70": (_EXPLICIT, Compression.JPEG),  # JPEG Lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": (_EXPLICIT, Compression.JPEG),  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.81": (_EXPLICIT, Compression.JPEG),  # JPEG-LS Near-Lossless
    "1.2.840.10008.1.2.4.90": (_EXPLICIT, Compression.JPEG_2000),  # JPEG 2000 Lossless Only
    "1.2.840.10008.1.2.4.91": (_EXPLICIT, Compression.JPEG_2000),  # JPEG 2000
    "1.2.840.10008.1.2.4.201": (_EXPLICIT, Compression.JPEG_2000),  # HTJ2K Lossless Only
    "1.2.840.10008.1.2.4.202": (_EXPLICIT, Compression.JPEG_2000),  # HTJ2K Lossless RPCL
    "1.2.840.10008.1.2.4.203": (_EXPLICIT, Compression.JPEG_2000),  # HTJ2K
    "1.2.840.10008.1.2.5": (_EXPLICIT, Compression.RLE),
}
