"""One upload and what must become of it."""

from dataclasses import dataclass

OK = "ok"
REFUSED_AT_READING = "refused at reading"


@dataclass(frozen=True, slots=True)
class Specimen:
    """An upload. `gate` is the code that the gate turns it away with, empty where it lets it pass; `reading` is the code that
    decoding then ends with, empty where the film can be read."""

    name: str
    file_name: str
    data: bytes
    gate: str = ""
    reading: str = ""

    @property
    def expected(self) -> str:
        """The gate's code, `REFUSED_AT_READING` or `OK`."""
        return self.gate or (REFUSED_AT_READING if self.reading else OK)

    def __str__(self) -> str:
        return self.name
