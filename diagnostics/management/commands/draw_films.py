"""Draw films that belong to nobody: to show a portal, to try an installation, and for the gate to know when it is fitted."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import track

SIZES = ((900, 1024), (1400, 1200), (640, 720))


class Command(BaseCommand):
    help = "Draw synthetic chest films as JPEG, every other one with an opacity. The same seed draws the same films."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder, made where it is missing")
        parser.add_argument("--count", type=int, default=40, help="(default: 40)")
        parser.add_argument("--seed", type=int, default=1000, help="of the first film (default: 1000)")

    def handle(self, *args: Any, **options: Any) -> None:
        out: Path = options["out"]
        if options["count"] < 1 or options["seed"] < 0:
            raise CommandError("--count is at least 1 and --seed at least 0.")
        seeds = range(options["seed"], options["seed"] + options["count"])
        try:
            out.mkdir(parents=True, exist_ok=True)
            for seed in track(seeds, "Drawing films", console=Console(stderr=True)):
                (out / f"drawn-{seed:05}.jpg").write_bytes(_draw(seed))
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error.strerror}") from error
        self.stdout.write(f"{len(seeds)} films drawn in {out}")


def _draw(seed: int) -> bytes:
    from diagnostics import phantom

    width, height = SIZES[seed % len(SIZES)]
    side = ("left", "right", "both")[seed % 5 % 3]
    pattern = ("lobar", "patchy")[seed // 2 % 2]
    opacity = phantom.Opacity(pattern=pattern, side=side, strength=0.5 + seed % 6 / 10) if seed % 2 else None  # type: ignore[arg-type]
    return phantom.encode_jpeg(phantom.draw_film(seed=seed, opacity=opacity, width=width, height=height))
