"""Text of DICOM values by Specific Character Set (PS3.3 section C.12.1.1.2): best effort, never an error."""

import re

# Defined terms without code extensions, and the ISO 2022 terms that name the same repertoires
CODECS: dict[str, str] = {
    "": "latin_1",  # the default is ASCII; eight-bit text under it is most often Latin-1
    "ISO_IR 6": "latin_1",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 100": "iso8859_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 166": "tis_620",
    "ISO_IR 192": "utf_8",
    "ISO_IR 203": "iso8859_15",
    "GB18030": "gb18030",
    "GBK": "gbk",
}

# Escape sequence after ESC -> codec of what follows, and whether the codec wants to see the sequence itself
ESCAPES: dict[bytes, tuple[str, bool]] = {
    b"(B": ("ascii", False),
    b"(J": ("shift_jis", False),
    b")I": ("shift_jis", False),
    b"-A": ("iso8859_1", False),
    b"-B": ("iso8859_2", False),
    b"-C": ("iso8859_3", False),
    b"-D": ("iso8859_4", False),
    b"-F": ("iso8859_7", False),
    b"-G": ("iso8859_6", False),
    b"-H": ("iso8859_8", False),
    b"-L": ("iso8859_5", False),
    b"-M": ("iso8859_9", False),
    b"-T": ("tis_620", False),
    b"-b": ("iso8859_15", False),
    b"$B": ("iso2022_jp", True),
    b"$(D": ("iso2022_jp_2", True),
    b"$)A": ("gb2312", False),
    b"$)C": ("euc_kr", False),
}

_ESCAPE = re.compile(rb"\x1b(\$?[()\-]?[A-Za-z])")


def decode_text(value: bytes, charset: str) -> str:
    """The text of a value under a Specific Character Set, several terms parted by backslashes.

    An unknown term is read as ASCII; what cannot be decoded becomes U+FFFD.
    """
    first = charset.split("\\", maxsplit=1)[0].strip().replace("ISO 2022 IR ", "ISO_IR ")
    codec = CODECS.get(first, "ascii")
    if "ISO 2022" not in charset or b"\x1b" not in value:
        return value.decode(codec, "replace")
    parts = _ESCAPE.split(value)
    decoded = [parts[0].decode(codec, "replace")]
    decoded.extend(_decode_escaped(escape, text, codec) for escape, text in zip(parts[1::2], parts[2::2], strict=True))
    return "".join(decoded)


def _decode_escaped(escape: bytes, text: bytes, default: str) -> str:
    codec, wants_escape = ESCAPES.get(escape, (default, False))
    if not wants_escape:
        return text.decode(codec, "replace")
    return (b"\x1b" + escape + text).decode(codec, "replace")
