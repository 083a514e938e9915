"""Who stands in the table's columns, and what they reach for: the roles' sessions and tokens, and two hospitals' objects."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from uuid import uuid4

from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import audit
from accounts.audit import Action
from accounts.models import ApiToken, Hospital, Role, User
from accounts.second_factor import enrol_app
from accounts.sessions import ACTIVE, STARTED
from accounts.tokens import create_api_token
from diagnostics import storage
from diagnostics.models import Case, GateOverride, Patient, Worker
from diagnostics.services.emergency import open_emergency_access
from diagnostics.services.reviews import record_review
from mlmodel.models import Evaluation, ModelVersion, Promotion, ShadowTally, VersionEvent
from mlmodel.registry import newest_shipped
from tests.accounts.helpers import log_in
from tests.diagnostics.cases import make_case, make_prediction
from tests.factories import HospitalFactory, UserFactory

Arguments = Mapping[str, str | int]
NO_ARGUMENTS: Mapping[str, Arguments] = {"-": {}}


@dataclass
class Person:
    """One role: the cookie of the session and the token that its requests carry, each empty where it has none."""

    session: str = ""
    token: str = ""


@dataclass
class World:
    """Everybody by role, and for each address that names an object, the objects by name."""

    people: dict[str, Person]
    admin_objects: dict[str, dict[str, str]]
    cases: dict[str, str]
    patients: dict[str, str]
    tokens: dict[str, str]
    keys: dict[str, int] = field(default_factory=dict)

    def objects(self, key: str) -> Mapping[str, Arguments]:
        """What stands in the column "object" for this address, with the arguments that reverse it."""
        special = {
            "diagnostics:patient": _by("pk", self.patients),
            "diagnostics:patient_access": _by("pk", self.patients),
            "api:read_case": _by("case_id", self.cases),
            "accounts:revoke_token": _by("pk", self.tokens),
            "mfa_remove_webauthn": _by("pk", self.keys),
            "mfa_edit_webauthn": _by("pk", self.keys),
            "model:version": {"shipped": {"version": newest_shipped().name}, "missing": {"version": "9.9.9"}},
            "model:figure": {
                "shipped": {"version": newest_shipped().name, "name": "roc.png"},
                "missing": {"version": newest_shipped().name, "name": "serving.bin"},
            },
            "accounts:accept_invitation": {"missing": {"uidb64": "QQ", "token": "x-y"}},
            "account_reset_password_from_key": {"missing": {"uidb36": "1a", "key": "x-y"}},
            "admin:app_list": {name: {"app_label": name} for name in ("accounts", "diagnostics", "mlmodel")},
        }
        if key in special:
            return special[key]
        if key.startswith("diagnostics:"):
            return _by("pk", self.cases) if key.removeprefix("diagnostics:") in OF_A_CASE else NO_ARGUMENTS
        model = next((model for model in self.admin_objects if f"{model}_" in key.replace("/", "_")), None)
        if model and not key.endswith(("_changelist", "_add")):
            return _by("object_id", self.admin_objects[model])
        return NO_ARGUMENTS


OF_A_CASE = {
    "case",
    "status",
    "review",
    "unsaved_review",
    "end_emergency",
    "analyse_again",
    "override",
    "original",
    "display",
    "heatmap",
}


def _by(argument: str, objects: Mapping[str, str | int]) -> Mapping[str, Arguments]:
    return {name: {argument: value} for name, value in objects.items()}


def make_world() -> World:
    """Two hospitals with everything in them that an address can name."""
    riverside, hillcrest = HospitalFactory.create(name="Riverside"), HospitalFactory.create(name="Hillcrest")
    users = _make_users(riverside, hillcrest)
    riverside_case, hillcrest_case = _make_case(users["doctor"]), _make_case(users["stranger"])
    open_emergency_access(user=users["granted"], case_id=riverside_case.pk, reason="Transferred at night.")
    open_emergency_access(user=UserFactory.create(hospital=riverside), case_id=hillcrest_case.pk, reason="Transferred back.")
    tokens = {name: create_api_token(user=users[name])[0] for name in ("doctor", "stranger")}
    world = World(
        people={name: _at_browser(user) for name, user in users.items()},
        admin_objects=_admin_objects(users, riverside_case, hillcrest_case, tokens),
        cases={"riverside": str(riverside_case.pk), "hillcrest": str(hillcrest_case.pk), "missing": str(uuid4())},
        patients={
            "riverside": str(riverside_case.patient_id),
            "hillcrest": str(hillcrest_case.patient_id),
            "missing": str(uuid4()),
        },
        tokens={"doctor's": str(tokens["doctor"].pk), "stranger's": str(tokens["stranger"].pk), "missing": str(uuid4())},
        keys={"another's": _add_key(UserFactory.create(hospital=riverside)), "missing": 999_999},
    )
    world.people |= _outside(riverside)
    return world


def _make_users(riverside: Hospital, hillcrest: Hospital) -> dict[str, User]:
    return {
        "doctor": UserFactory.create(hospital=riverside),
        "colleague": UserFactory.create(hospital=riverside),
        "radiologist": UserFactory.create(hospital=riverside, role=Role.RADIOLOGIST),
        "stranger": UserFactory.create(hospital=hillcrest),
        "granted": UserFactory.create(hospital=hillcrest),
        "admin": UserFactory.create(hospital=riverside, role=Role.ADMIN),
        "operator": UserFactory.create(hospital=riverside, role=Role.OPERATOR),
        "superuser": UserFactory.create(hospital=riverside, role=Role.ADMIN, is_superuser=True),
        "bare": UserFactory.create(hospital=riverside, role=Role.ADMIN, second_factor=False),
    }


def _make_case(uploader: User) -> Case:
    """Analysed, reviewed and overridden, with all its pictures stored."""
    patient = Patient.objects.create(hospital=uploader.hospital, record_number="MRN-1", name="Okafor, Chidi")
    case = make_case(uploader, state="done", patient=patient)
    prediction = make_prediction(case)
    for key in (case.original_key, storage.display_key(case.pk), prediction.heatmap_key):
        storage.save_derived(key, b"\x89PNG stands in for a picture")
    record_review(case=case, reviewer=uploader, verdict="agree", finding="PNEUMONIA", sign=True)
    GateOverride.objects.create(case=case, code="LATERAL_VIEW", reason="It is frontal.", decided_by=uploader)
    return case


def _at_browser(user: User) -> Person:
    client = Client()
    client.force_login(user)
    session = client.session
    soon = time.time() + 3600  # the log-in stays a recent one, however long the walk takes
    session[STARTED] = session[ACTIVE] = soon
    session[AUTHENTICATION_METHODS_SESSION_KEY] = [{"method": "password", "at": soon}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()
    client.get(reverse("accounts:profile"))  # writes the form token into the session, once instead of at every request
    return Person(str(session.session_key), create_api_token(user=user)[1])


def _outside(riverside: Hospital) -> dict[str, Person]:
    """Those who have no log-in, none any more, or only half of one."""
    disabled, expired, pending = (UserFactory.create(hospital=riverside) for _ in range(3))
    people = {"anonymous": Person(), "disabled": _at_browser(disabled), "expired": _at_browser(expired)}
    User.objects.filter(pk=disabled.pk).update(is_active=False)
    session = import_module(settings.SESSION_ENGINE).SessionStore(people["expired"].session)
    session[ACTIVE] = time.time() - settings.SESSION_IDLE_SECONDS
    session.save()
    ApiToken.objects.filter(user=expired).update(
        created_at=timezone.now() - timedelta(days=2), expires_at=timezone.now() - timedelta(days=1)
    )
    enrol_app(user=pending)
    client = Client()
    log_in(client, pending.email)
    return people | {"pending": Person(str(client.session.session_key))}


def _add_key(user: User) -> int:
    data = {"name": "Blue key", "credential": {}, "passwordless": True}
    return Authenticator.objects.create(user=user, type=Authenticator.Type.WEBAUTHN, data=data).pk


def _admin_objects(
    users: Mapping[str, User], riverside: Case, hillcrest: Case, tokens: Mapping[str, ApiToken]
) -> dict[str, dict[str, str]]:
    version = ModelVersion.objects.create(version="2.0.0", path="2.0.0", sha256="0" * 64, threshold=0.5)
    soon = timezone.now() + timedelta(days=1)
    of_all: list[Model] = [
        version,
        Evaluation.objects.create(version=version, data_sha256="0" * 64, n=1, patients=1, directory="2.0.0"),
        Promotion.objects.create(
            version=version, replaces=newest_shipped().name, requested_by=users["operator"], expires_at=soon
        ),
        VersionEvent.objects.create(version=version, kind="registered", to_state="candidate"),
        ShadowTally.objects.create(version=version, against=newest_shipped().name),
        Worker.objects.create(name="worker"),
    ]
    pairs: list[tuple[Model | None, Model | None]] = [
        (riverside, hillcrest),
        (riverside.patient, hillcrest.patient),
        (riverside.predictions.get(), hillcrest.predictions.get()),
        (riverside.reviews.get(), hillcrest.reviews.get()),
        (riverside.overrides.get(), hillcrest.overrides.get()),
        (users["doctor"], users["stranger"]),
        (users["doctor"].hospital, users["stranger"].hospital),
        (tokens["doctor"], tokens["stranger"]),
        (audit.record(Action.LOGIN, actor=users["doctor"]), audit.record(Action.LOGIN, actor=users["stranger"])),
    ]
    rows = {_name(one): {"shared": _pk(one), "missing": _missing(one)} for one in of_all}
    rows |= {_name(own): {"riverside": _pk(own), "hillcrest": _pk(other), "missing": _missing(own)} for own, other in pairs}
    rows["diagnostics_emergencyaccess"] = {"both": str(riverside.emergency_accesses.get().pk), "missing": str(uuid4())}
    return rows


def _name(row: Model | None) -> str:
    assert row is not None
    return row._meta.label_lower.replace(".", "_")


def _pk(row: Model | None) -> str:
    assert row is not None
    return str(row.pk)


def _missing(row: Model | None) -> str:
    return "999999" if _pk(row).isdigit() else str(uuid4())
