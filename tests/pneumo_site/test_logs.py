"""What a log line says, and what it never says."""

import json
import logging
import smtplib
import socket
from collections.abc import Iterator
from io import StringIO
from typing import Any
from unittest import mock

import pytest
import requests
from django.db import IntegrityError
from django.test import Client

from accounts import request_context
from accounts.models import User
from diagnostics.views import worklist
from pneumo_site.logs import JsonFormatter, LineFormatter, gunicorn_config, logging_config

CANARY = "ZZPHI" + "CANARY"
REQUEST_ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def lines() -> Iterator[StringIO]:
    """What the portal's JSON log would say meanwhile."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield stream
    finally:
        root.removeHandler(handler)


def record_of(message: str, *args: Any, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("diagnostics.x", logging.WARNING, __file__, 1, message, args, exc_info)


def test_a_line_is_one_object_with_time_level_logger_and_message() -> None:
    line = json.loads(JsonFormatter().format(record_of("case %s is late", "1f3e")))
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "WARNING", "logger": "diagnostics.x", "message": "case 1f3e is late"}


def test_a_line_break_in_a_value_starts_no_second_line() -> None:
    assert "\n" not in JsonFormatter().format(record_of("name %s", "x\n{}"))


def test_what_a_library_attaches_to_its_record_is_not_written() -> None:
    record = record_of("Not Found: %s", "/cases/")
    record.request = f"<WSGIRequest: GET '/cases/?q={CANARY}'>"
    assert CANARY not in JsonFormatter().format(record) + LineFormatter().format(record)


def test_of_an_address_the_query_is_cut() -> None:
    text = LineFormatter().format(record_of("Error handling request %s", f"/cases/?q={CANARY}&page=2"))
    assert "/cases/?…" in text
    assert CANARY not in text


def test_an_errors_text_is_withheld_and_its_kind_and_place_are_told() -> None:
    with pytest.raises(IntegrityError) as caught:
        read_a_record()
    text = json.loads(JsonFormatter().format(record_of("failed", error=caught.value)))["exception"]
    assert CANARY not in text
    assert text.index("ValueError") < text.index("django.db.utils.IntegrityError")
    assert "in read_a_record" in text


def read_a_record() -> None:
    try:
        int(CANARY)
    except ValueError as error:
        raise IntegrityError(f"Key (record_number)=({CANARY}) already exists.") from error


def test_what_the_operating_system_says_is_told_without_the_files_name() -> None:
    error = FileNotFoundError(2, "No such file", f"/var/{CANARY}")
    line = LineFormatter().format(record_of("failed", error=error))
    assert line.endswith("FileNotFoundError: [Errno 2] No such file")
    line = LineFormatter().format(record_of("failed", error=socket.gaierror(-2, "Name or service not known")))
    assert line.endswith("socket.gaierror: [Errno -2] Name or service not known")


@pytest.mark.parametrize(
    "error",
    [
        smtplib.SMTPRecipientsRefused({CANARY: (550, CANARY.encode())}),
        smtplib.SMTPSenderRefused(550, CANARY.encode(), CANARY),
        smtplib.SMTPDataError(554, CANARY),
        smtplib.SMTPServerDisconnected(CANARY),
        requests.ConnectionError(f"https://x.example/{CANARY}"),
        OSError(CANARY),
    ],
)
def test_an_error_of_a_library_that_derives_from_the_systems_is_told_by_its_kind_alone(error: OSError) -> None:
    line = LineFormatter().format(record_of("mail was not sent", error=error))
    assert CANARY not in line
    assert type(error).__qualname__ in line


def test_a_view_that_fails_is_logged_with_request_and_user_and_without_data(
    client: Client, doctor: User, lines: StringIO
) -> None:
    client.force_login(doctor)
    client.raise_request_exception = False
    with mock.patch.object(worklist, "render", side_effect=ValueError(CANARY)):
        answer = client.get(f"/cases/?q={CANARY}", headers={"X-Request-ID": REQUEST_ID})
    assert answer.status_code == 500
    line = next(json.loads(line) for line in lines.getvalue().splitlines() if "django.request" in line)
    assert (line["level"], line["request_id"], line["user_id"]) == ("ERROR", REQUEST_ID, str(doctor.pk))
    assert "ValueError" in line["exception"]
    assert CANARY not in lines.getvalue()


def test_a_refusal_is_logged_with_request_and_user(client: Client, operator: User, lines: StringIO) -> None:
    client.force_login(operator)
    client.get("/cases/", headers={"X-Request-ID": REQUEST_ID})
    line = next(json.loads(line) for line in lines.getvalue().splitlines() if "django.request" in line)
    assert (line["message"], line["request_id"], line["user_id"]) == (
        "Forbidden (Permission denied): /cases/",
        REQUEST_ID,
        str(operator.pk),
    )


def test_a_search_and_a_refused_form_leave_no_trace_of_what_was_typed(client: Client, doctor: User, lines: StringIO) -> None:
    client.force_login(doctor)
    strict = Client(enforce_csrf_checks=True)
    client.get(f"/cases/?q={CANARY}&nothing")
    client.get(f"/nowhere/?q={CANARY}")
    client.post(f"/cases/?q={CANARY}")
    strict.post(
        f"/accounts/login/?next={CANARY}",
        {"login": CANARY},
        headers={"Referer": f"https://elsewhere.example/?q={CANARY}", "X-Forwarded-Proto": "https"},
        secure=True,
    )
    assert "Forbidden" in lines.getvalue()
    assert CANARY not in lines.getvalue()


def test_gunicorn_and_rq_speak_in_the_same_form() -> None:
    config = gunicorn_config(form="json", level="WARNING")
    assert config["formatters"]["json"] == {"()": "pneumo_site.logs.JsonFormatter"}
    assert config["loggers"]["gunicorn.error"] == {"handlers": [], "propagate": True, "level": "WARNING"}
    assert logging_config(form="line", level="INFO")["loggers"]["rq.worker"] == {"level": "WARNING"}


def test_outside_a_request_nothing_is_said_of_one() -> None:
    assert request_context.current().request_id == ""
    assert "request_id" not in LineFormatter().format(record_of("x"))
