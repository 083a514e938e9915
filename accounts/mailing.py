"""Mail that nobody waits for: a slow server must neither hold a doctor up nor tell by its time that an address is known."""

import logging
from collections.abc import Callable, Sequence
from smtplib import SMTPException
from threading import Thread

from django.core.mail import EmailMessage, get_connection

logger = logging.getLogger(__name__)


def send_in_background(messages: Sequence[EmailMessage], *, what: str) -> None:
    """Hand these to the mail server from a thread of their own; a failure is logged as that of `what`."""
    run_later(lambda: _send(messages, what))


def run_later(work: Callable[[], None]) -> None:
    # No daemon: a process that is told to end sends first.
    Thread(target=work, name="mail").start()


def _send(messages: Sequence[EmailMessage], what: str) -> None:
    try:
        get_connection().send_messages(messages)
    except (OSError, SMTPException):
        logger.exception("A mail could not be sent: %s", what)
