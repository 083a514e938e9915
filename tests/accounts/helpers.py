"""What a person at the log-in form and an authenticator app do."""

import base64
import hashlib
import hmac
import re
import struct
import time
from typing import TYPE_CHECKING, Any

from django.test import Client
from django.urls import reverse

from accounts.models import User
from tests.factories import PASSWORD

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

NEW_PASSWORD = "nine patient herons"


def confirmed(client: Client, email: str) -> Client:
    """The client after log-in and, as pages that change the way in ask for, the password once more."""
    log_in(client, email)
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    return client


def log_in(client: Client, email: str, password: str = PASSWORD) -> "Response":
    return client.post(reverse("account_login"), {"login": email, "password": password})


def is_logged_in(client: Client) -> bool:
    return client.get(reverse("accounts:profile")).status_code == 200


def totp_code(secret: str) -> str:
    """The six digits of RFC 6238 for now; waits out the last seconds of a period, so that a test never straddles two."""
    if time.time() % 30 > 26:
        time.sleep(30 - time.time() % 30)
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
    start = digest[-1] & 0x0F
    number = struct.unpack(">I", digest[start : start + 4])[0] & 0x7FFF_FFFF
    return f"{number % 10**6:06}"


def activate_totp(client: Client) -> str:
    """Switch the authenticator app on for a client that has just confirmed; returns its secret."""
    secret = client.get(reverse("mfa_activate_totp")).context["form"].secret
    response = client.post(reverse("mfa_activate_totp"), {"code": totp_code(secret)})
    assert response.status_code == 302, response.content
    return str(secret)


def change(client: Client, user: User, **changes: Any) -> int:
    """Send the user's form in Django admin with these fields changed; a False leaves a box unticked."""
    form = {"email": user.email, "full_name": user.full_name, "hospital": user.hospital_id, "role": user.role}
    form |= {"is_active": user.is_active, **changes}
    url = reverse("admin:accounts_user_change", args=[user.pk])
    response = client.post(url, {name: value for name, value in form.items() if value is not False})
    user.refresh_from_db()
    return response.status_code


def only_link(text: object) -> str:
    """The path of the one link to the portal in a mail or message."""
    (link,) = set(re.findall(r"https?://testserver(/\S+)", str(text)))
    return str(link)
