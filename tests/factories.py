"""Rows for tests. The defaults make a valid row; a test names only what it is about."""

from typing import Any, cast

import factory
from factory.django import DjangoModelFactory, Password

from accounts.models import Hospital, Role, User
from accounts.second_factor import enrol_app

PASSWORD = "seven quiet lamps"


class HospitalFactory(DjangoModelFactory[Hospital]):
    class Meta:
        model = Hospital

    name = factory.Sequence(lambda n: f"Hospital {n}")


class UserFactory(DjangoModelFactory[User]):
    """A doctor who logs in with PASSWORD; `password=None` makes one who has been invited and has not answered."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence(lambda n: f"user{n}@hospital.example")
    full_name = factory.Sequence(lambda n: f"Doctor Number {n}")
    hospital = factory.SubFactory(HospitalFactory)
    role = Role.DOCTOR
    password = Password(PASSWORD)

    @factory.post_generation
    def second_factor(self, create: bool, extracted: bool | None, **_fields: Any) -> None:
        """Of whom the portal asks one has an authenticator app; with `second_factor=False` has yet to set it up."""
        wanted = extracted if extracted is not None else self.is_staff
        if create and wanted:
            enrol_app(user=cast(User, self))
