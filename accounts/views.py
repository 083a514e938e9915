"""The portal's own account pages; all others are allauth's."""

from allauth.mfa.utils import is_mfa_enabled
from django.contrib import messages
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.views import PasswordResetConfirmView
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse_lazy

from accounts.audit import Action
from accounts.invitations import invitation_tokens
from accounts.models import User
from accounts.users import record_about


def profile(request: HttpRequest) -> HttpResponse:
    """Who I am here, and the way to my security settings."""
    return render(request, "account/profile.html", {"second_factor": is_mfa_enabled(request.user)})


class AcceptInvitation(PasswordResetConfirmView):
    """Sets the first password by an invitation's link, then leads to log-in.

    Django's own reset view does the work: it moves the token from the address into the session, so that it
    reaches no Referer header and no log of the page that follows.
    """

    token_generator = invitation_tokens
    template_name = "account/invitation.html"
    success_url = reverse_lazy("account_login")

    def get_user(self, uidb64: str) -> User | None:
        user = super().get_user(uidb64)
        return user if isinstance(user, User) and user.is_active else None

    @transaction.atomic
    def form_valid(self, form: "SetPasswordForm[User]") -> HttpResponse:
        response = super().form_valid(form)
        record_about(form.user, Action.PASSWORD_SET, by=None, invitation=True)
        messages.success(self.request, "Your password is set. You can log in now.")
        return response
