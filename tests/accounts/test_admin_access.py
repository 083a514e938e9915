"""Who gets into Django admin, and whose rows are there."""

import pytest
from django.contrib.admin import site
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import ApiToken, Hospital, User
from accounts.tokens import authenticate_api_token, create_api_token
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
USERS = reverse("admin:accounts_user_changelist")


def change_url(user: User) -> str:
    return reverse("admin:accounts_user_change", args=[user.pk])


def test_django_admin_logs_in_through_the_portals_own_page(client: Client) -> None:
    answer = client.get(reverse("admin:login"))
    assert answer.headers["Location"].startswith(reverse("account_login"))
    assert client.get(USERS).status_code == 302


def test_django_admin_takes_no_password_of_its_own(client: Client, admin_user: User) -> None:
    client.post(reverse("admin:login"), {"username": admin_user.email, "password": "seven quiet lamps"})
    assert "_auth_user_id" not in client.session


def test_django_admin_changes_passwords_on_the_portals_own_page(as_admin: Client) -> None:
    answer = as_admin.get(reverse("admin:password_change"))
    assert answer.headers["Location"] == reverse("account_change_password")


def test_a_doctor_does_not_get_in(as_doctor: Client) -> None:
    assert as_doctor.get(reverse("admin:index"), follow=True).status_code == 403


def test_an_operator_sees_no_users(as_operator: Client) -> None:
    assert as_operator.get(reverse("admin:index")).status_code == 200
    assert as_operator.get(USERS).status_code == 403
    assert as_operator.get(reverse("admin:accounts_apitoken_changelist")).status_code == 403


def test_nobody_reads_anothers_second_factor_or_a_copy_of_the_address(as_superuser: Client) -> None:
    page = as_superuser.get(reverse("admin:index")).content.decode()
    for absent in ["mfa/authenticator", "account/emailaddress", "auth/group"]:
        assert absent not in page


def test_an_admin_sees_the_own_hospitals_users_only(as_admin: Client, doctor: User, stranger: User) -> None:
    page = as_admin.get(USERS).content.decode()
    assert doctor.email in page
    assert stranger.email not in page


def test_a_superuser_sees_all_users(as_superuser: Client, doctor: User, stranger: User) -> None:
    page = as_superuser.get(USERS).content.decode()
    assert doctor.email in page
    assert stranger.email in page


def test_filters_do_not_name_other_hospitals(as_admin: Client, stranger: User) -> None:
    assert stranger.hospital.name not in as_admin.get(USERS).content.decode()


def test_a_filter_in_the_address_does_not_reach_other_hospitals(as_admin: Client, stranger: User) -> None:
    page = as_admin.get(USERS, {"hospital__id__exact": str(stranger.hospital_id)}).content.decode()
    assert stranger.email not in page


@pytest.mark.parametrize("page", ["change", "history", "delete"])
def test_a_user_of_another_hospital_is_not_found(as_admin: Client, stranger: User, page: str) -> None:
    assert as_admin.get(reverse(f"admin:accounts_user_{page}", args=[stranger.pk])).status_code in {403, 404}
    assert as_admin.get(change_url(stranger)).status_code == 404
    assert as_admin.post(change_url(stranger), {"full_name": "Mine now"}).status_code == 404


def test_an_unknown_or_garbled_user_is_not_found(as_admin: Client) -> None:
    for garbled in ["7", "x", "00000000-0000-0000-0000-000000000000"]:
        assert as_admin.get(reverse("admin:accounts_user_change", args=[garbled])).status_code == 404


def test_an_admin_finds_users_by_address_and_name(as_admin: Client, doctor: User) -> None:
    for words in ["Dora", "doctor@riverside"]:
        assert doctor.email in as_admin.get(USERS, {"q": words}).content.decode()
    assert doctor.email not in as_admin.get(USERS, {"q": "zzz"}).content.decode()


def test_choices_of_foreign_keys_come_from_the_own_hospital(admin_user: User, stranger: User) -> None:
    request = RequestFactory().get("/")
    request.user = admin_user
    token_admin = site.get_model_admin(ApiToken)
    field = token_admin.formfield_for_foreignkey(ApiToken._meta.get_field("user"), request)
    assert field is not None
    assert list(field.queryset or []) == [admin_user]


def test_an_admin_sees_the_own_hospital_and_cannot_add_one(as_admin: Client, hospital: Hospital, stranger: User) -> None:
    page = as_admin.get(reverse("admin:accounts_hospital_changelist")).content.decode()
    assert hospital.name in page
    assert stranger.hospital.name not in page
    assert as_admin.get(reverse("admin:accounts_hospital_add")).status_code == 403
    rename = reverse("admin:accounts_hospital_change", args=[hospital.pk])
    assert as_admin.post(rename, {"name": "Taken over"}).status_code == 403


def test_a_superuser_adds_a_hospital_and_cannot_delete_one(as_superuser: Client, hospital: Hospital) -> None:
    as_superuser.post(reverse("admin:accounts_hospital_add"), {"name": "Lakeside"})
    assert Hospital.objects.filter(name="Lakeside").exists()
    assert as_superuser.get(reverse("admin:accounts_hospital_delete", args=[hospital.pk])).status_code == 403


def test_tokens_are_listed_without_their_digest_and_can_be_revoked(as_admin: Client, doctor: User) -> None:
    row, token = create_api_token(user=doctor)
    listing = reverse("admin:accounts_apitoken_changelist")
    detail = as_admin.get(reverse("admin:accounts_apitoken_change", args=[row.pk]))
    for page in [as_admin.get(listing), detail]:
        assert page.status_code == 200
        assert row.digest not in page.content.decode()
    as_admin.post(listing, {"action": "revoke", "_selected_action": [str(row.pk)]})
    assert authenticate_api_token(token=token) is None


def test_tokens_of_another_hospital_are_out_of_reach(as_admin: Client, stranger: User) -> None:
    row, token = create_api_token(user=stranger)
    assert as_admin.get(reverse("admin:accounts_apitoken_change", args=[row.pk])).status_code == 404
    form = {"action": "revoke", "_selected_action": [str(row.pk)]}
    as_admin.post(reverse("admin:accounts_apitoken_changelist"), form)
    assert authenticate_api_token(token=token) == stranger


def test_tokens_are_not_made_or_deleted_in_django_admin(as_superuser: Client, doctor: User) -> None:
    row, _ = create_api_token(user=doctor)
    assert as_superuser.get(reverse("admin:accounts_apitoken_add")).status_code == 403
    assert as_superuser.post(reverse("admin:accounts_apitoken_delete", args=[row.pk])).status_code == 403
    assert ApiToken.objects.filter(pk=row.pk).exists()


def test_the_list_of_users_takes_the_same_queries_for_any_number(as_admin: Client, hospital: Hospital) -> None:
    counts = []
    as_admin.get(USERS)  # the first request of a session writes to it
    for _ in range(2):
        UserFactory.create_batch(5, hospital=hospital)
        with CaptureQueriesContext(connection) as queries:
            as_admin.get(USERS)
        counts.append(len(queries))
    assert counts[0] == counts[1]
