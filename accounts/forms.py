"""allauth's forms in the portal's words."""

from typing import Any

from allauth.mfa.webauthn.forms import AddWebAuthnForm


class AddKeyForm(AddWebAuthnForm):
    """A passkey unless the user wants a key for the second step alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        passkey = self.fields["passwordless"]
        passkey.label = "Log in with this key alone, without the password"
        passkey.help_text = "The device then asks for fingerprint, face or PIN."
        passkey.initial = True
