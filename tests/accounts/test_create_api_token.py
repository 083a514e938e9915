import json
from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import ApiToken, User
from accounts.tokens import authenticate_api_token

pytestmark = pytest.mark.django_db


def run(*args: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("create_api_token", *args, stdout=out, stderr=err, no_color=True)
    return out.getvalue(), err.getvalue()


def test_standard_output_is_the_token_alone(doctor: User) -> None:
    out, err = run(doctor.email)
    assert authenticate_api_token(token=out.removesuffix("\n")) == doctor
    assert doctor.email in err


def test_the_address_may_be_typed_in_any_case(doctor: User) -> None:
    assert authenticate_api_token(token=run(doctor.email.upper())[0].strip()) == doctor


def test_days_set_the_expiry(doctor: User) -> None:
    run(doctor.email, "--days", "3")
    left = ApiToken.objects.get().expires_at - timezone.now()
    assert timedelta(days=2, hours=23) < left <= timedelta(days=3)


def test_json_names_token_user_and_expiry(doctor: User) -> None:
    answer = json.loads(run(doctor.email, "--json")[0])
    assert authenticate_api_token(token=answer["token"]) == doctor
    assert answer["email"] == doctor.email
    assert datetime.fromisoformat(answer["expires_at"]) > timezone.now()


@pytest.mark.parametrize(
    "args",
    [
        ("nobody@nowhere.example",),
        ("doctor@riverside.example", "--days", "0"),
        ("doctor@riverside.example", "--days", "soon"),
        ("doctor@riverside.example", "--days", "99999999999"),
    ],
)
def test_bad_input_is_a_one_line_error_and_makes_nothing(doctor: User, args: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as caught:
        run(*args)
    assert "\n" not in str(caught.value)
    assert caught.value.returncode == 1
    assert not ApiToken.objects.exists()
