"""How browsers and mail servers are spoken to."""

import smtplib
from collections.abc import Sequence

from django.conf import settings
from django.core import checks
from django.core.mail import get_connection

from diagnostics.services.checkup.findings import Finding, Level, error, ok, warning, worst

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


def check_transport() -> Finding:
    """Django's own checks; in production those for deployment too: TLS, HSTS, cookies."""
    found: Sequence[checks.CheckMessage] = checks.run_checks(include_deployment_checks=not settings.EMBEDDED)
    complaints = [
        Finding(Level.ERROR if message.is_serious() else Level.WARNING, f"{message.id}: {message.msg}", message.hint or "")
        for message in found
        if message.level >= checks.WARNING and not message.is_silenced()
    ]
    if settings.EMBEDDED and (hosts := sorted(set(settings.ALLOWED_HOSTS) - LOOPBACK)):
        complaints.append(
            error(f"plain HTTP on {', '.join(hosts)}", "Patients' data need TLS: use PORTAL_PROFILE=production behind a proxy.")
        )
    return worst(complaints, otherwise="plain HTTP, on loopback alone" if settings.EMBEDDED else "TLS, secure cookies, HSTS")


def check_debug() -> Finding:
    if settings.DEBUG:
        return error("DEBUG is on: error pages show patients' data", "Take DEBUG out of the environment.")
    return ok("off")


def check_mail() -> Finding:
    """Invitations and password resets."""
    if not settings.EMAIL_HOST:
        kept = f"no server: mails are kept as files in {settings.EMAIL_FILE_PATH}"
        return ok(kept) if settings.EMBEDDED else warning(kept, "Set EMAIL_HOST.")
    connection = get_connection()
    try:
        connection.open()
    except (OSError, smtplib.SMTPException) as failure:
        return error(f"{settings.EMAIL_HOST} does not take mails ({type(failure).__name__})", "Look at the EMAIL_… settings.")
    connection.close()
    return ok(f"{settings.EMAIL_HOST} answers")
