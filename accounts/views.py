"""The portal's own account pages; all others are allauth's."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.views import PasswordResetConfirmView
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, render, resolve_url
from django.urls import reverse_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.audit import Action, record_about
from accounts.invitations import invitation_tokens
from accounts.models import ApiToken, User
from accounts.permissions import needs_second_factor
from accounts.second_factor import has_second_factor
from accounts.sessions import keep_alive, passive, remaining
from accounts.tokens import revoke_api_token
from accounts.users import end_other_sessions


@require_safe
def profile(request: HttpRequest) -> HttpResponse:
    """Who I am here, what stands for me elsewhere, and the way to my security settings."""
    context = {
        "second_factor": has_second_factor(request.user),
        "second_factor_needed": needs_second_factor(request.user),
        "tokens": ApiToken.objects.usable().filter(user=request.user.pk),
    }
    return render(request, "account/profile.html", context)


@require_safe
def set_up_second_factor(request: HttpRequest) -> HttpResponse:
    """Why this log-in opens nothing yet, and what to do about it."""
    if has_second_factor(request.user):
        return HttpResponseRedirect(resolve_url("home"))
    return render(request, "account/set_up_second_factor.html")


@passive
@require_http_methods(["GET", "HEAD", "POST"])
def session(request: HttpRequest) -> HttpResponse:
    """How long the session still lives; a POST says that somebody is there."""
    if request.method == "POST":
        keep_alive(request.session)
    left = remaining(request.session)
    return JsonResponse({"seconds": left.seconds, "final": left.is_final})


@require_POST
def log_out_elsewhere(request: HttpRequest) -> HttpResponse:
    """End the user's sessions in all other browsers."""
    end_other_sessions(request=request)
    messages.success(request, "You are logged out everywhere but here.")
    return HttpResponseRedirect(resolve_url("accounts:profile"))


@require_POST
def revoke_token(request: HttpRequest, pk: UUID) -> HttpResponse:
    """End one of the user's own API tokens."""
    token = get_object_or_404(ApiToken, pk=pk, user=request.user.pk)
    if revoke_api_token(token=token, by=token.user):
        messages.success(request, "The API token is revoked.")
    return HttpResponseRedirect(resolve_url("accounts:profile"))


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
