"""The RQ job of this project: JSON on the wire, and nothing but our own function behind it."""

from collections.abc import Callable
from typing import Any, ClassVar

from rq.job import Job

ANALYSE_CASE = "diagnostics.tasks.analyse_case"
ALLOWED_FUNCTIONS = frozenset({ANALYSE_CASE})


class AnalysisJob(Job):
    """Whoever can write to Redis can name a function; only ours is ever looked up."""

    allowed: ClassVar[frozenset[str]] = ALLOWED_FUNCTIONS

    @property
    def func(self) -> Callable[..., Any]:
        if self.func_name not in self.allowed:
            raise PermissionError("This job names a function that is not allowed.")
        function: Callable[..., Any] = super().func
        return function
