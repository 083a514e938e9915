"""The cast at their browsers."""

import pytest
from django.test import Client

from accounts.models import Hospital, Role, User
from tests.factories import UserFactory


def at_browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def superuser(hospital: Hospital) -> User:
    return UserFactory.create(hospital=hospital, email="root@riverside.example", role=Role.ADMIN, is_superuser=True)


@pytest.fixture
def as_doctor(doctor: User) -> Client:
    return at_browser(doctor)


@pytest.fixture
def as_admin(admin_user: User) -> Client:
    return at_browser(admin_user)


@pytest.fixture
def as_operator(operator: User) -> Client:
    return at_browser(operator)


@pytest.fixture
def as_superuser(superuser: User) -> Client:
    return at_browser(superuser)
