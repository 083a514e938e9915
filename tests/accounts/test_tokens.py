import re
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import ApiToken, User
from accounts.tokens import authenticate_api_token, create_api_token, revoke_api_token
from accounts.users import deactivate_users

pytestmark = pytest.mark.django_db


def test_a_new_token_stands_for_its_user(doctor: User) -> None:
    _, token = create_api_token(user=doctor)
    assert authenticate_api_token(token=token) == doctor


def test_a_token_is_long_and_random_and_safe_in_an_address(doctor: User) -> None:
    tokens = {create_api_token(user=doctor)[1] for _ in range(5)}
    assert len(tokens) == 5
    assert all(re.fullmatch(r"pneumo_[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_the_token_itself_is_not_kept(doctor: User) -> None:
    row, token = create_api_token(user=doctor)
    assert token not in str(vars(row))
    assert re.fullmatch(r"[0-9a-f]{64}", row.digest)


@pytest.mark.parametrize("token", ["", "pneumo_", "pneumo_" + "a" * 43, "x" * 10_000, "\udcff", "é"])
def test_another_text_stands_for_nobody(doctor: User, token: str) -> None:
    create_api_token(user=doctor)
    assert authenticate_api_token(token=token) is None


def test_an_expired_token_is_refused(doctor: User) -> None:
    row, token = create_api_token(user=doctor)
    long_ago = timezone.now() - timedelta(days=2)
    ApiToken.objects.filter(pk=row.pk).update(created_at=long_ago, expires_at=long_ago + timedelta(days=1))
    assert authenticate_api_token(token=token) is None


def test_a_revoked_token_is_refused(doctor: User) -> None:
    row, token = create_api_token(user=doctor)
    assert revoke_api_token(token=row)
    assert authenticate_api_token(token=token) is None


def test_revoking_twice_keeps_the_first_time(doctor: User) -> None:
    row, _ = create_api_token(user=doctor)
    revoke_api_token(token=row)
    first = ApiToken.objects.get(pk=row.pk).revoked_at
    assert not revoke_api_token(token=row)
    assert ApiToken.objects.get(pk=row.pk).revoked_at == first


def test_the_token_of_a_deactivated_user_is_refused(doctor: User) -> None:
    _, token = create_api_token(user=doctor)
    User.objects.filter(pk=doctor.pk).update(is_active=False)
    assert authenticate_api_token(token=token) is None


def test_a_token_stays_dead_when_its_user_comes_back(doctor: User) -> None:
    _, token = create_api_token(user=doctor)
    deactivate_users(users=User.objects.filter(pk=doctor.pk))
    User.objects.filter(pk=doctor.pk).update(is_active=True)
    assert authenticate_api_token(token=token) is None


def test_the_last_use_is_written_at_most_once_a_minute(doctor: User, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    row, token = create_api_token(user=doctor)
    authenticate_api_token(token=token)
    first = ApiToken.objects.get(pk=row.pk).last_used_at
    assert first is not None
    with django_assert_num_queries(1):
        authenticate_api_token(token=token)
    ApiToken.objects.filter(pk=row.pk).update(last_used_at=first - timedelta(seconds=61))
    authenticate_api_token(token=token)
    again = ApiToken.objects.get(pk=row.pk).last_used_at
    assert again is not None
    assert again >= first


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_a_token_lives_one_day_to_ten_years(doctor: User, days: int) -> None:
    with pytest.raises(ValueError, match=f"Received: {days}"):
        create_api_token(user=doctor, days=days)


def test_a_deactivated_user_gets_no_token(doctor: User) -> None:
    doctor.is_active = False
    with pytest.raises(ValueError, match="inactive"):
        create_api_token(user=doctor)
