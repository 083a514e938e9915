import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from accounts import permissions
from accounts.models import AuditEvent, Hospital, Role, User
from accounts.permissions import ADMIN_PERMISSIONS, assignable_roles, may_manage, requires
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
ROLES = [Role.DOCTOR, Role.RADIOLOGIST, Role.ADMIN, Role.OPERATOR]

#                       doctor radiologist admin operator
TABLE = {
    "sees_cases":    (True,  True,  True,  False),
    "may_upload":    (True,  True,  True,  False),
    "may_review":    (True,  True,  False, False),
    "may_use_admin": (False, False, True,  True),
}  # fmt: skip
CELLS = [(name, role, allowed) for name, row in TABLE.items() for role, allowed in zip(ROLES, row, strict=True)]


@pytest.mark.parametrize(("name", "role", "allowed"), CELLS)
def test_the_role_decides(name: str, role: Role, allowed: bool) -> None:
    assert getattr(permissions, name)(UserFactory.build(role=role)) is allowed


@pytest.mark.parametrize("name", TABLE)
def test_nobody_and_the_deactivated_may_nothing(name: str) -> None:
    question = getattr(permissions, name)
    assert question(AnonymousUser()) is False
    for role in ROLES:
        assert question(UserFactory.build(role=role, is_active=False)) is False


def test_a_view_answers_403_where_the_role_does_not_allow_it_and_the_log_has_it(operator: User) -> None:
    @requires(permissions.sees_cases)
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("seen")

    request = RequestFactory().get("/")
    request.user = UserFactory.build(role=Role.DOCTOR)
    assert view(request).status_code == 200
    request.user = operator
    with pytest.raises(PermissionDenied):
        view(request)
    assert AuditEvent.objects.values_list("action", "outcome", "actor").get() == ("access_denied", "denied", operator.pk)


def test_an_operator_has_nothing_to_do_with_users_and_patients(operator: User) -> None:
    assert operator.has_perm("mlmodel.view_modelversion")
    assert not operator.has_module_perms("accounts")
    for permission in ["diagnostics.view_patient", "diagnostics.view_case", "accounts.view_user"]:
        assert not operator.has_perm(permission)


def test_nobody_but_a_superuser_may_delete_anything(superuser: User) -> None:
    assert not [name for names in ADMIN_PERMISSIONS.values() for name in names if ".delete_" in name]


def test_a_deactivated_admin_has_no_permission(admin_user: User) -> None:
    assert admin_user.has_perm("accounts.change_user")
    admin_user.is_active = False
    assert not User(role=Role.ADMIN, is_active=False).has_module_perms("accounts")
    assert not admin_user.has_perm("accounts.change_user")


def test_doctors_have_no_permission_in_django_admin(doctor: User) -> None:
    assert doctor.get_all_permissions() == set()


def test_an_operator_is_made_by_a_superuser_only(admin_user: User, superuser: User, doctor: User) -> None:
    assert Role.OPERATOR in assignable_roles(superuser)
    assert Role.OPERATOR not in assignable_roles(admin_user)
    assert assignable_roles(doctor) == assignable_roles(AnonymousUser()) == frozenset()


def test_an_admin_manages_the_clinicians_of_the_own_hospital_only(
    admin_user: User, doctor: User, stranger: User, operator: User, superuser: User
) -> None:
    managed = [user for user in (doctor, stranger, operator, superuser) if may_manage(admin_user, user)]
    assert managed == [doctor]


def test_a_doctor_manages_nobody(doctor: User, hospital: Hospital) -> None:
    assert not may_manage(doctor, UserFactory.create(hospital=hospital))
    assert not may_manage(AnonymousUser(), doctor)
