import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import Hospital, Role, User
from tests.factories import HospitalFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_an_address_is_kept_in_lower_case(hospital: Hospital) -> None:
    user = User.objects.create_user("Dr.Smith@riverside.example", full_name="S", hospital=hospital)
    assert user.email == "dr.smith@riverside.example"


def test_two_users_cannot_share_an_address_in_different_case(doctor: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user(doctor.email.upper(), full_name="Another", hospital=doctor.hospital)


def test_the_database_refuses_an_address_in_upper_case(doctor: User) -> None:
    with pytest.raises(IntegrityError, match="user_email_is_lower_case"), transaction.atomic():
        User.objects.filter(pk=doctor.pk).update(email="Doctor@riverside.example")


def test_a_form_says_that_an_address_is_taken_whatever_its_case(doctor: User) -> None:
    again = UserFactory.build(email=doctor.email.upper(), hospital=doctor.hospital)
    with pytest.raises(ValidationError, match="has a log-in already"):
        again.full_clean()


def test_the_database_refuses_an_unknown_role(doctor: User) -> None:
    with pytest.raises(IntegrityError, match="user_role_is_known"), transaction.atomic():
        User.objects.filter(pk=doctor.pk).update(role="director")


def test_a_hospital_with_users_cannot_be_deleted(doctor: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        doctor.hospital.delete()


def test_a_user_needs_an_address(hospital: Hospital) -> None:
    with pytest.raises(ValueError, match="e-mail"):
        User.objects.create_user("", full_name="Nobody", hospital=hospital)


def test_the_first_superuser_brings_a_hospital_along() -> None:
    root = User.objects.create_superuser("root@x.example", "seven quiet lamps", full_name="Root")
    assert (root.hospital.name, root.role, root.is_superuser, root.is_staff) == ("Main hospital", "admin", True, True)


def test_a_later_superuser_joins_the_hospital_that_stands() -> None:
    hospital = HospitalFactory.create()
    assert User.objects.create_superuser("root@x.example", "seven quiet lamps", full_name="R").hospital == hospital


@pytest.mark.parametrize(
    ("role", "staff"), [(Role.DOCTOR, False), (Role.RADIOLOGIST, False), (Role.ADMIN, True), (Role.OPERATOR, True)]
)
def test_django_admin_opens_by_role(role: Role, staff: bool) -> None:
    assert UserFactory.build(role=role).is_staff is staff
