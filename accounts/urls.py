"""Account pages, named one by one: sign-up and self-service change of e-mail address are left out on purpose."""

from allauth.account import views as account
from allauth.mfa.urls import urlpatterns as mfa_patterns
from django.urls import include, path, re_path

from accounts import second_factor_audit, views

second_factor_audit.watch(mfa_patterns)

own = [
    path("profile/", views.profile, name="profile"),
    path("profile/log-out-elsewhere/", views.log_out_elsewhere, name="log_out_elsewhere"),
    path("profile/tokens/<uuid:pk>/revoke/", views.revoke_token, name="revoke_token"),
    path("second-factor/", views.set_up_second_factor, name="set_up_second_factor"),
    path("session/", views.session, name="session"),
    path("invitation/<uidb64>/<token>/", views.AcceptInvitation.as_view(), name="accept_invitation"),
]

urlpatterns = [
    path("", include((own, "accounts"))),
    path("login/", account.login, name="account_login"),
    path("logout/", account.logout, name="account_logout"),
    path("inactive/", account.account_inactive, name="account_inactive"),
    path("reauthenticate/", account.reauthenticate, name="account_reauthenticate"),
    path("password/change/", account.password_change, name="account_change_password"),
    path("password/set/", account.password_set, name="account_set_password"),
    path("password/reset/", account.password_reset, name="account_reset_password"),
    path("password/reset/done/", account.password_reset_done, name="account_reset_password_done"),
    path("password/reset/key/done/", account.password_reset_from_key_done, name="account_reset_password_from_key_done"),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        account.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path("2fa/", include(mfa_patterns)),
]
