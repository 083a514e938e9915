"""How one run goes about its work, as opposed to the recipe, which says what is trained."""

from dataclasses import dataclass
from pathlib import Path

CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """`weights` is `none`, `imagenet`, an NPZ file or the directory of an earlier version; `imagenet_file` is where `imagenet`
    is found. `cache` is a folder for decoded films. `devices` is `auto` or how many to spread each batch over. A checkpoint is
    written at the end of each epoch and every `checkpoint_seconds`. Raises `ValueError` for a number that is none of these."""

    weights: str = "none"
    imagenet_file: Path | None = None
    resume: bool = False
    cache: Path | None = None
    devices: str = "auto"
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def __post_init__(self) -> None:
        if self.devices != "auto" and not (self.devices.isdecimal() and int(self.devices) > 0):
            raise ValueError(f"devices is auto or a whole number from 1. Received: {self.devices!r}")
        if self.checkpoint_seconds < 0:
            raise ValueError(f"checkpoint_seconds is at least 0. Received: {self.checkpoint_seconds}")
