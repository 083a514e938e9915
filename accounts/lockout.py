"""How often a wrong password or token may be tried, and by whom.

A ward sits behind one address, and anybody on the internet can type a doctor's e-mail address. So wrong passwords close the
door for the pair of user and address (`login_failed` in `ACCOUNT_RATE_LIMITS`); those of one user from everywhere close it for
addresses that this user has not lately logged in from; those of one address, whoever's, are slowed down. No colleague is locked
out by another's failures, and nobody for longer than the time of the limit.
"""

from collections.abc import Callable

from allauth.core.internal.ratelimit import RateLimitUsage, consume, get_ip
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponseBase
from django.utils.crypto import salted_hmac

KNOWN_SECONDS = 30 * 24 * 3600
RETRY_SECONDS = 900
APP = "accounts"
# Entries of the audit log about refused tokens: of one token at one address, and of all. Whoever floods the door fills no log.
ENTERED_OF_ONE, ENTERED_OF_ALL = "1/m/key", "60/m/key"


def count_guess(request: HttpRequest, *, email: str) -> RateLimitUsage | None:
    """Note one try for this user from an address that is not known; None where there were too many."""
    if cache.get(_known_key(request, email)):
        return RateLimitUsage(usage=[])
    return consume(request, app=APP, action="user", config={"user": settings.LOGIN_FAILURES_PER_USER}, key=email.lower())


def remember_address(request: HttpRequest, *, email: str) -> None:
    """The user has just given the right password from here."""
    cache.set(_known_key(request, email), True, KNOWN_SECONDS)


def too_many_tokens(request: HttpRequest) -> bool:
    """Count one invalid API token of this address; whether there were too many. A valid one is never asked about."""
    config = {"token": settings.INVALID_TOKENS_PER_ADDRESS}
    return not consume(request, app=APP, action="token", config=config, limit_get=True)


def enters_refusal(request: HttpRequest, *, token: str) -> bool:
    """Whether the refusal of this token, told by anything but its text, is entered: the first of a minute at each address."""
    rates = ((ENTERED_OF_ONE, f"{get_ip(request)} {token}"), (ENTERED_OF_ALL, "all"))
    return all(
        consume(request, app=APP, action="refusal", config={"refusal": rate}, key=key, limit_get=True) for rate, key in rates
    )


def middleware(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """The form that says "too many" comes with the status that says so."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if getattr(request, "too_many_failures", False):
            response.status_code = 429
            response.headers["Retry-After"] = str(RETRY_SECONDS)
        return response

    return answer


def _known_key(request: HttpRequest, email: str) -> str:
    return "accounts:known:" + salted_hmac("accounts.lockout", f"{email.lower()} {get_ip(request)}").hexdigest()
