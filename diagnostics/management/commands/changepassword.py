"""Django's command with an entry of the audit log. It stands here because of two apps with a command the first one's counts."""

import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import transaction

from accounts.audit import Action, record_about
from accounts.models import User

TRIES = 3


class Command(changepassword.Command):
    def handle(self, *_args: Any, **options: Any) -> str:
        user = User.objects.filter(email=(options["username"] or "").lower()).first()
        if user is None:
            raise CommandError(f"There is no user with the e-mail address {options['username']}.")
        password = self._ask(user)
        with transaction.atomic():
            user.set_password(password)
            user.save(update_fields=["password"])
            record_about(user, Action.PASSWORD_SET, by=None)
        return f"The password of {user.email} is changed; their sessions have ended."

    def _ask(self, user: User) -> str:
        """Before any transaction: nobody waits for whoever types."""
        for _ in range(TRIES):
            password = getpass.getpass()
            if password != getpass.getpass("Password (again): "):
                self.stderr.write("The two are not the same.")
                continue
            try:
                validate_password(password, user)
            except ValidationError as error:
                self.stderr.write("\n".join(error.messages))
            else:
                return password
        raise CommandError(f"The password of {user.email} stays: {TRIES} tries failed.")
