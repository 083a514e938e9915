"""DICOM data elements (PS3.5 section 7), walked without recursion: sequences are a list of levels, no call stack."""

import struct
from enum import Enum, auto
from typing import NamedTuple

from mlmodel.codes import rejection
from mlmodel.headers.limits import MAX_DEPTH, MAX_ELEMENTS
from mlmodel.types import ImageBytes, RejectedImageError

UNDEFINED = 0xFFFF_FFFF
PIXEL_DATA = 0x7FE0_0010
ITEM, ITEM_DELIMITER, SEQUENCE_DELIMITER = 0xFFFE_E000, 0xFFFE_E00D, 0xFFFE_E0DD

# PS3.5 section 7.1.2: VRs with a length of 32 bits (after two reserved bytes) and of 16 bits
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())


class Encoding(NamedTuple):
    """How elements are written: with or without their VR, and in which byte order ("<" or ">")."""

    explicit: bool
    order: str


class Element(NamedTuple):
    """An element's tag, VR (empty in implicit VR), where its value starts and how many bytes it has, or `UNDEFINED`."""

    tag: int
    vr: bytes
    start: int
    length: int


class _Kind(Enum):
    DATA_SET = auto()
    ITEMS = auto()
    FRAGMENTS = auto()


class _Level(NamedTuple):
    """One open data set, list of items or list of fragments; nothing of it lies at or beyond `end`."""

    kind: _Kind
    end: int
    delimited: bool
    encoding: Encoding


_HEADS = {order: struct.Struct(order + "HHI") for order in "<>"}
_EXPLICIT_HEADS = {order: struct.Struct(order + "HH2sH") for order in "<>"}
_LONG_LENGTHS = {order: struct.Struct(order + "I") for order in "<>"}
_IMPLICIT = Encoding(explicit=False, order="<")


def malformed() -> RejectedImageError:
    """The error for a header that contradicts itself or the file's size."""
    return rejection("MALFORMED_DICOM")


def read_element(data: ImageBytes, position: int, end: int, encoding: Encoding) -> Element:
    """The element whose header begins at `position`; its value, where its length is defined, lies before `end`.

    Raises `RejectedImageError` with MALFORMED_DICOM.
    """
    if position + 8 > end:
        raise malformed()
    group, number, length = _HEADS[encoding.order].unpack_from(data, position)
    vr, start = b"", position + 8
    if encoding.explicit and group != 0xFFFE:  # item tags never have a VR (PS3.5 section 7.5)
        _, _, vr, length = _EXPLICIT_HEADS[encoding.order].unpack_from(data, position)
        if vr in LONG_VRS:
            if position + 12 > end:
                raise malformed()
            (length,) = _LONG_LENGTHS[encoding.order].unpack_from(data, position + 8)
            start = position + 12
        elif vr not in SHORT_VRS:
            raise malformed()
    if length != UNDEFINED and start + length > end:
        raise malformed()
    return Element(group << 16 | number, vr, start, length)


class Walker:
    """Walks a data set up to its top-level Pixel Data; `found` holds the wanted top-level elements met so far."""

    def __init__(self, data: ImageBytes, start: int, encoding: Encoding, wanted: frozenset[int]) -> None:
        self.found: dict[int, Element] = {}
        self._data, self._position, self._wanted = data, start, wanted
        self._levels = [_Level(_Kind.DATA_SET, len(data), delimited=False, encoding=encoding)]
        self._budget = MAX_ELEMENTS

    def run(self) -> Element | None:
        """The Pixel Data element, or None where the data set ends without one. Raises MALFORMED_DICOM."""
        while self._levels:
            level = self._levels[-1]
            if self._position == level.end and not level.delimited:
                self._levels.pop()
                continue
            element = self._read(level)
            if level.kind is not _Kind.DATA_SET:
                self._step_into_item(level, element)
            elif len(self._levels) == 1 and element.tag == PIXEL_DATA:
                return element
            else:
                self._step_over(level, element)
        return None

    def _read(self, level: _Level) -> Element:
        self._budget -= 1
        if self._budget < 0:
            raise malformed()
        return read_element(self._data, self._position, level.end, level.encoding)

    def _step_into_item(self, level: _Level, item: Element) -> None:
        self._position = item.start
        if item.tag == SEQUENCE_DELIMITER and level.delimited:
            self._levels.pop()
        elif item.tag != ITEM:
            raise malformed()
        elif level.kind is _Kind.FRAGMENTS:
            if item.length == UNDEFINED:
                raise malformed()
            self._position += item.length
        else:
            self._open(_Kind.DATA_SET, level, item, level.encoding)

    def _step_over(self, level: _Level, element: Element) -> None:
        if element.tag >> 16 == 0xFFFE:
            self._close_item(level, element)
        elif self._is_sequence(element):
            # The content of an UN sequence is in implicit VR (PS3.5 section 6.2.2, note 4)
            self._position = element.start
            self._open(_Kind.ITEMS, level, element, _IMPLICIT if element.vr == b"UN" else level.encoding)
        elif element.length == UNDEFINED:
            if element.tag != PIXEL_DATA:
                raise malformed()
            self._position = element.start
            self._open(_Kind.FRAGMENTS, level, element, level.encoding)
        else:
            self._keep(element)
            self._position = element.start + element.length

    def _is_sequence(self, element: Element) -> bool:
        if element.vr == b"SQ" or (element.vr == b"UN" and element.length == UNDEFINED):
            return True
        if element.vr or element.tag == PIXEL_DATA:
            return False
        # Implicit VR does not say it; a value that opens with an item is one
        return element.length == UNDEFINED or self._data[element.start : element.start + 4] == b"\xfe\xff\x00\xe0"

    def _close_item(self, level: _Level, element: Element) -> None:
        if element.tag != ITEM_DELIMITER or not level.delimited:
            raise malformed()
        self._levels.pop()
        self._position = element.start

    def _open(self, kind: _Kind, parent: _Level, element: Element, encoding: Encoding) -> None:
        if len(self._levels) > 2 * MAX_DEPTH:
            raise malformed()
        delimited = element.length == UNDEFINED
        end = parent.end if delimited else element.start + element.length
        self._levels.append(_Level(kind, end, delimited, encoding))

    def _keep(self, element: Element) -> None:
        if len(self._levels) == 1 and element.tag in self._wanted:
            if element.tag in self.found:  # readers differ on which of two values counts
                raise malformed()
            self.found[element.tag] = element
