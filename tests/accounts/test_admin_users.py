"""What an admin may do to users in Django admin."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Hospital, Role, User
from accounts.tokens import authenticate_api_token, create_api_token
from tests.accounts.helpers import change, is_logged_in, log_in
from tests.factories import HospitalFactory, UserFactory

pytestmark = pytest.mark.django_db
USERS = reverse("admin:accounts_user_changelist")


def act(client: Client, action: str, *users: User) -> None:
    client.post(USERS, {"action": action, "_selected_action": [str(user.pk) for user in users]})
    for user in users:
        user.refresh_from_db()


def form_fields(client: Client, user: User) -> set[str]:
    page = client.get(reverse("admin:accounts_user_change", args=[user.pk]))
    return set(page.context["adminform"].form.fields)


def test_an_admin_changes_name_and_role(as_admin: Client, doctor: User) -> None:
    change(as_admin, doctor, full_name="Dora D.", role="radiologist")
    assert (doctor.full_name, doctor.role) == ("Dora D.", Role.RADIOLOGIST)


def test_no_password_and_no_hash_is_shown(as_superuser: Client, doctor: User) -> None:
    page = as_superuser.get(reverse("admin:accounts_user_change", args=[doctor.pk])).content.decode()
    assert doctor.password not in page
    assert 'type="password"' not in page


def test_an_admin_cannot_invite_into_another_hospital(as_admin: Client) -> None:
    elsewhere = HospitalFactory.create()
    form = {"email": "new@riverside.example", "full_name": "N", "hospital": elsewhere.pk, "role": "doctor"}
    assert as_admin.post(reverse("admin:accounts_user_add"), form).status_code == 200
    assert not User.objects.filter(email="new@riverside.example").exists()
    assert elsewhere.name not in as_admin.get(reverse("admin:accounts_user_add")).content.decode()


def test_a_superuser_invites_into_any_hospital(as_superuser: Client) -> None:
    elsewhere = HospitalFactory.create()
    form = {"email": "new@x.example", "full_name": "N", "hospital": elsewhere.pk, "role": "operator"}
    as_superuser.post(reverse("admin:accounts_user_add"), form)
    assert User.objects.get(email="new@x.example").hospital == elsewhere


def test_an_admin_cannot_move_a_user_to_another_hospital(as_admin: Client, doctor: User, hospital: Hospital) -> None:
    change(as_admin, doctor, hospital=HospitalFactory.create().pk)
    assert doctor.hospital == hospital


def test_an_admin_cannot_make_a_superuser_or_an_operator(as_admin: Client, doctor: User) -> None:
    change(as_admin, doctor, is_superuser="on")
    assert not doctor.is_superuser
    assert "is_superuser" not in form_fields(as_admin, doctor)
    change(as_admin, doctor, role="operator")
    assert doctor.role == Role.DOCTOR


def test_an_admin_cannot_change_a_superuser(as_admin: Client, superuser: User) -> None:
    assert change(as_admin, superuser, full_name="Mine") == 403
    act(as_admin, "deactivate", superuser)
    assert superuser.is_active


def test_an_admin_cannot_change_the_own_role_or_lock_the_own_door(as_admin: Client, admin_user: User) -> None:
    change(as_admin, admin_user, role="doctor", is_active=False)
    act(as_admin, "deactivate", admin_user)
    assert (admin_user.role, admin_user.is_active) == (Role.ADMIN, True)


def test_a_taken_address_is_refused_in_words(as_admin: Client, doctor: User, admin_user: User) -> None:
    form = {"email": doctor.email.upper(), "full_name": "N", "hospital": admin_user.hospital_id, "role": "doctor"}
    answer = as_admin.post(reverse("admin:accounts_user_add"), form)
    assert "has a log-in already" in answer.content.decode()


def test_deactivation_ends_sessions_and_tokens_at_once(as_admin: Client, as_doctor: Client, doctor: User) -> None:
    _, token = create_api_token(user=doctor)
    assert is_logged_in(as_doctor)
    change(as_admin, doctor, is_active=False)
    assert not doctor.is_active
    assert not is_logged_in(as_doctor)
    assert authenticate_api_token(token=token) is None


def test_an_ended_session_and_token_do_not_come_back_with_the_user(as_admin: Client, as_doctor: Client, doctor: User) -> None:
    _, token = create_api_token(user=doctor)
    change(as_admin, doctor, is_active=False)
    change(as_admin, doctor, is_active="on")
    assert doctor.is_active
    assert not is_logged_in(as_doctor)
    assert authenticate_api_token(token=token) is None


def test_the_action_deactivates_like_the_form(as_admin: Client, as_doctor: Client, doctor: User) -> None:
    act(as_admin, "deactivate", doctor)
    assert not doctor.is_active
    User.objects.filter(pk=doctor.pk).update(is_active=True)
    assert not is_logged_in(as_doctor)


def test_a_new_role_ends_the_sessions_of_the_old_one(as_admin: Client, as_doctor: Client, doctor: User) -> None:
    change(as_admin, doctor, role="radiologist")
    assert not is_logged_in(as_doctor)


def test_a_corrected_name_ends_no_session(as_admin: Client, as_doctor: Client, doctor: User) -> None:
    change(as_admin, doctor, full_name="Dora Doktor")
    assert is_logged_in(as_doctor)


def test_an_admin_logs_a_user_out_everywhere(as_admin: Client, as_doctor: Client, doctor: User, client: Client) -> None:
    act(as_admin, "log_out", doctor)
    assert not is_logged_in(as_doctor)
    log_in(client, doctor.email)
    assert is_logged_in(client)


def test_actions_leave_other_hospitals_alone(as_admin: Client, stranger: User) -> None:
    for action in ["deactivate", "log_out", "remove_second_factor"]:
        act(as_admin, action, stranger)
    assert (stranger.is_active, stranger.session_version) == (True, 0)


def test_users_are_not_deleted(as_superuser: Client, doctor: User) -> None:
    assert as_superuser.post(reverse("admin:accounts_user_delete", args=[doctor.pk]), {"post": "yes"}).status_code == 403
    act(as_superuser, "delete_selected", doctor)
    assert User.objects.filter(pk=doctor.pk).exists()


def test_the_new_address_logs_in_and_the_old_one_does_not(as_admin: Client, client: Client) -> None:
    user = UserFactory.create(hospital=User.objects.get(email="admin@riverside.example").hospital)
    old = user.email
    change(as_admin, user, email="moved@riverside.example")
    log_in(client, old)
    assert not is_logged_in(client)
    log_in(client, "moved@riverside.example")
    assert is_logged_in(client)
