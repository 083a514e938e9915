"""Who asks: an account, its password and its permission, so that two names are two people."""

from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model

from mlmodel.services.errors import LifecycleError

if TYPE_CHECKING:
    from accounts.models import User

PERMISSION = "mlmodel.change_modelversion"


def identify_person(*, email: str, password: str) -> "User":
    """The active user with that address and password who may change versions. Raises `LifecycleError`.

    One answer for a wrong address, a wrong password and a disabled account: nobody learns which accounts there are.
    """
    # Addresses are kept in lower case
    user = get_user_model().objects.filter(email=email.lower()).first()
    if user is None or not user.is_active or not user.check_password(password):
        raise LifecycleError("The e-mail address or the password is wrong, or the account is not active.")
    check_permission(user)
    return user


def check_permission(user: "User") -> None:
    """Raises `LifecycleError` for a user whose role does not change versions."""
    if not user.has_perm(PERMISSION):
        raise LifecycleError(f"{user.get_username()} has not the role of an operator, who alone changes versions.")
