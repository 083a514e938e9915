"""Two ways to do a thing, timed in turns, so that whatever else the machine does touches both alike."""

import statistics
import time
from collections.abc import Callable


def compare(first: Callable[[], None], second: Callable[[], None], *, rounds: int) -> tuple[float, float, float]:
    """Median of first / second over the rounds, and the median seconds of each; each runs once before it counts."""
    first()
    second()
    pairs = [(_time(first), _time(second)) for _ in range(rounds)]
    ratio = statistics.median(one / other for one, other in pairs)
    return ratio, statistics.median(one for one, _ in pairs), statistics.median(other for _, other in pairs)


def _time(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
