"""BLAS held to one thread where the matrices are small: on a busy machine threads that wait for each other take forty times as
long as one."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


@contextmanager
def one_thread() -> Iterator[None]:
    """For as long as the block lasts, in the whole process; where blocks of several threads overlap, one thread may be what
    remains."""
    before = [(library, library.get_num_threads()) for library in _libraries()]
    try:
        for library, _ in before:
            library.set_num_threads(1)
        yield
    finally:
        for library, threads in before:
            library.set_num_threads(threads)


@lru_cache(maxsize=1)
def _libraries() -> list[Any]:
    """Looked for once: finding them takes longer than judging a film."""
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)
