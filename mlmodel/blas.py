"""BLAS held to one thread where the matrices are small: on a busy machine threads that wait for each other take forty times as
long as one."""

from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, cast

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


def one_thread() -> AbstractContextManager[Any]:
    """For as long as the block lasts, in the whole process; where blocks of several threads overlap, one thread may be what
    remains."""
    return cast("AbstractContextManager[Any]", _blas().limit(limits=1))


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    """Looked for once: finding the libraries takes longer than judging a film."""
    return ThreadpoolController().select(user_api="blas")
