"""Who must have a second factor, and what opens before it is set up."""

from io import StringIO

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from accounts.models import Role, User
from accounts.second_factor import code_now, enrol_app
from tests.accounts.helpers import activate_totp, confirmed, log_in
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
SET_UP = "/accounts/second-factor/"


@pytest.fixture(params=["admin", "operator", "superuser"])
def bare(request: pytest.FixtureRequest, db: None) -> User:
    """One of those who need a second factor and have none."""
    if request.param == "superuser":
        return UserFactory.create(is_superuser=True, second_factor=False)
    return UserFactory.create(role=request.param, second_factor=False)


def test_the_password_alone_leads_to_the_set_up_and_nowhere_else(client: Client, bare: User) -> None:
    log_in(client, bare.email)
    for path in ["/", "/cases/", "/admin/", "/admin/accounts/user/", "/model/"]:
        assert client.get(path).headers["Location"] == SET_UP
    page = client.get(SET_UP).content.decode()
    assert "Use an authenticator app" in page
    assert "Use a passkey" in page


def test_after_the_set_up_everything_opens(client: Client, bare: User) -> None:
    activate_totp(confirmed(client, bare.email))
    assert client.get("/admin/").status_code == 200
    assert client.get(SET_UP).status_code == 302


def test_switching_it_off_closes_everything_again(client: Client, bare: User) -> None:
    activate_totp(confirmed(client, bare.email))
    client.post(reverse("mfa_deactivate_totp"))
    assert client.get("/admin/").headers["Location"] == SET_UP


def test_recovery_codes_alone_are_no_second_factor(client: Client, bare: User) -> None:
    Authenticator.objects.create(user=bare, type=Authenticator.Type.RECOVERY_CODES, data={})
    log_in(client, bare.email)
    assert client.get("/admin/").headers["Location"] == SET_UP


def test_scripts_are_told_in_a_code(client: Client, bare: User) -> None:
    log_in(client, bare.email)
    answer = client.get("/cases/", headers={"HX-Request": "true"})
    assert answer.status_code == 403
    assert answer.json()["code"] == "SECOND_FACTOR_MISSING"


def test_a_doctor_may_do_without(client: Client, doctor: User) -> None:
    log_in(client, doctor.email)
    assert client.get("/cases/").status_code == 200


def test_by_setting_everybody_needs_one(client: Client, doctor: User, settings: Settings) -> None:
    settings.MFA_REQUIRED_FOR = "all"
    log_in(client, doctor.email)
    assert client.get("/cases/").headers["Location"] == SET_UP
    assert "asks everybody" in client.get(SET_UP).content.decode()


def test_a_role_that_is_given_asks_for_it_at_once(client: Client, doctor: User) -> None:
    log_in(client, doctor.email)
    User.objects.filter(pk=doctor.pk).update(role=Role.ADMIN)
    assert client.get("/cases/").headers["Location"] == SET_UP


def test_a_demo_code_logs_in(client: Client, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> None:
    settings.VAR_DIR = tmp_path_factory.mktemp("var")
    call_command("seed_demo", stdout=StringIO())
    out = StringIO()
    call_command("demo_code", "admin", stdout=out)
    log_in(client, "admin@demo.example", _password(settings))
    client.post(reverse("mfa_authenticate"), {"code": out.getvalue().strip()})
    assert client.get("/admin/").status_code == 200
    with pytest.raises(CommandError, match="no second step"):
        call_command("demo_code", "doctor")


def _password(settings: Settings) -> str:
    from diagnostics.demo import seed_logins

    return seed_logins(settings.VAR_DIR / "demo-logins.json")["admin"]["password"]


def test_log_ins_kept_from_before_get_a_second_factor(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> None:
    from diagnostics.demo import seed_logins

    path = tmp_path_factory.mktemp("var") / "demo-logins.json"
    kept = seed_logins(path)
    assert seed_logins(path) == kept
    path.write_text(path.read_text().replace("totp_secret", "other"))
    assert "totp_secret" in seed_logins(path)["operator"]


def test_the_code_is_that_of_an_authenticator_app(doctor: User) -> None:
    from tests.accounts.helpers import totp_code

    secret = enrol_app(user=doctor)
    before, code, after = totp_code(secret), code_now(secret), totp_code(secret)
    assert code in {before, after}  # the half minute may end in between
