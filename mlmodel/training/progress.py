"""Progress on a terminal: what is done, loss, AUC, time left."""

from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

T = TypeVar("T")
SPEED_SECONDS = 600.0  # the time left is reckoned from, so that validation counts


class Progress:
    """One bar at a time, on standard error; silent where asked to be."""

    def __init__(self, *, quiet: bool = False) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self.console = Console(stderr=True, quiet=quiet)
        self._bars = RichProgress(*columns, console=self.console, speed_estimate_period=SPEED_SECONDS)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._bars.stop()

    def track(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Each item in turn, with a bar; `total` where the items do not know their own number."""
        total = len(items) if isinstance(items, Sized) else total
        task = self._bars.add_task(description, total=total, note="")
        for item in items:
            yield item
            self._bars.advance(task)
        self._bars.remove_task(task)

    def start(self, description: str, *, total: int, done: int = 0) -> TaskID:
        """A bar to be moved by `advance`."""
        return self._bars.add_task(description, total=total, completed=done, note="")

    def advance(self, task: TaskID, description: str, note: str) -> None:
        """One step further; `description` stands before the bar, `note` behind it."""
        self._bars.update(task, advance=1, description=description, note=note)

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(line, highlight=False)
