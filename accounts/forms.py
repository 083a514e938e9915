"""allauth's forms in the portal's words."""

from typing import Any

from allauth.account.forms import ResetPasswordForm
from allauth.mfa.webauthn.forms import AddWebAuthnForm
from django.http import HttpRequest

from accounts.models import User


class AddKeyForm(AddWebAuthnForm):
    """A passkey unless the user wants a key for the second step alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        passkey = self.fields["passwordless"]
        passkey.label = "Log in with this key alone, without the password"
        passkey.help_text = "The device then asks for fingerprint, face or PIN."
        passkey.initial = True


class ResetForm(ResetPasswordForm):
    """An unknown address costs the same work as a known one: a link is made and a mail written, for nobody."""

    users: list[User]

    def save(self, request: HttpRequest, **kwargs: Any) -> str:
        if not self.users:
            self.users = [User(email=self.cleaned_data["email"], is_active=False)]
        email: str = super().save(request, **kwargs)
        return email
