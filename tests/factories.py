"""Rows for tests. The defaults make a valid row; a test names only what it is about."""

import factory
from factory.django import DjangoModelFactory, Password

from accounts.models import Hospital, Role, User

PASSWORD = "seven quiet lamps"


class HospitalFactory(DjangoModelFactory[Hospital]):
    class Meta:
        model = Hospital

    name = factory.Sequence(lambda n: f"Hospital {n}")


class UserFactory(DjangoModelFactory[User]):
    """A doctor who logs in with PASSWORD; `password=None` makes one who has been invited and has not answered."""

    class Meta:
        model = User

    email = factory.Sequence(lambda n: f"user{n}@hospital.example")
    full_name = factory.Sequence(lambda n: f"Doctor Number {n}")
    hospital = factory.SubFactory(HospitalFactory)
    role = Role.DOCTOR
    password = Password(PASSWORD)
