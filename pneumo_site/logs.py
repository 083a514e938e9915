"""Log lines: one JSON object each, or plain text, with the request's and the user's id and without patients' data.

The fields are a closed set. (python-json-logger writes every attribute that a library attaches to its record; Django
attaches the request, whose text holds the search for a patient's name.)
"""

import json
import logging
import re
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from accounts import request_context

# A worklist's search is in the query of its address, and libraries quote addresses: of a query nothing is kept.
QUERY = re.compile(r"\?[^\s'\"<>]+")
# Texts that name a part of the program. Others may quote what a user or a database row held.
TOLD = (ImportError, AttributeError, NameError, ImproperlyConfigured)
# Whose `OSError`s are the system's own. Libraries derive from it too: smtplib names the recipients, requests the address.
OF_THE_SYSTEM = {"builtins", "socket", "ssl"}
Error = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class LineFormatter(logging.Formatter):
    """For people: time, level, logger, message, and of a request its id and its user's."""

    def format(self, record: logging.LogRecord) -> str:
        facts = describe(record)
        told = [f"{name}={facts[name]}" for name in ("request_id", "user_id") if name in facts]
        line = " ".join([facts["time"], facts["level"], facts["logger"], facts["message"], *told])
        return f"{line}\n{facts['exception']}" if "exception" in facts else line


class JsonFormatter(logging.Formatter):
    """For programs: the same facts, one object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(describe(record), ensure_ascii=False, default=str)


def describe(record: logging.LogRecord) -> dict[str, Any]:
    """All that is ever written of a record; what is not known is left out."""
    request = getattr(record, "request", None)
    facts: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": QUERY.sub("?…", record.getMessage()),
        "request_id": request_context.context_of(request).request_id,
        "user_id": request_context.current_user_id(request),
    }
    if record.exc_info and record.exc_info[0] is not None:
        facts["exception"] = describe_error(record.exc_info)
    return {name: value for name, value in facts.items() if value not in {None, ""}}


def describe_error(error: Error) -> str:
    """Where it came from and of which kind, with its causes; its text only where that can quote nobody."""
    if error[1] is None:
        return ""
    parts = []
    for cause in reversed(_chain(error[1])):
        kind = f"{type(cause).__module__}.{type(cause).__qualname__}".removeprefix("builtins.")
        told = _tell(cause)
        parts.append("".join(traceback.format_tb(cause.__traceback__)) + kind + (f": {told}" if told else ""))
    return "\n\nwhich led to:\n\n".join(parts)


def _tell(error: BaseException) -> str:
    """What of its text can quote nobody; of an error of the operating system number and meaning, without the file's name."""
    if isinstance(error, TOLD):
        return QUERY.sub("?…", str(error))
    if isinstance(error, OSError) and type(error).__module__ in OF_THE_SYSTEM and isinstance(error.errno, int):
        return f"[Errno {error.errno}] {error.strerror}"
    return ""


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it was raised from, the latest first."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    return chain


def logging_config(*, form: str, level: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`: everything goes to standard error in one form, whichever library says it."""
    formatter = {"json": "JsonFormatter", "line": "LineFormatter"}[form]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {form: {"()": f"{__name__}.{formatter}"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": form}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django": {"level": level},
            "django.server": {"handlers": [], "propagate": True},
            "rq.worker": {"level": "WARNING"},
        },
    }


def gunicorn_config(*, form: str, level: str) -> dict[str, Any]:
    """The same for gunicorn's own loggers. It keeps no access log: the proxy in front does, without the addresses' queries."""
    config = logging_config(form=form, level=level)
    quiet = {"handlers": [], "propagate": True, "level": level}
    return config | {"loggers": config["loggers"] | {"gunicorn.error": quiet, "gunicorn.access": quiet}}
