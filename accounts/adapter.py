"""Where the portal differs from allauth's defaults."""

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class ClosedAccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Nobody signs up: users come by an admin's invitation."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False
