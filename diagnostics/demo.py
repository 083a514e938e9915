"""The demo hospital: one log-in per role and a dozen synthetic films, so that the portal is not empty on first sight."""

import json
import secrets
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.utils import timezone

from accounts.audit import Action, record_about
from accounts.models import Hospital, Role, User
from accounts.permissions import needs_second_factor
from accounts.second_factor import enrol_app
from accounts.tokens import create_api_token
from diagnostics.models import Case
from diagnostics.services.uploads import PatientData, accept_upload

DEMO_HOSPITAL, OTHER_HOSPITAL = "Riverside Children's Hospital (demo)", "Hillcrest Hospital (demo)"
TOKEN_DAYS = 365
CHILD_AGE = timedelta(days=3 * 365 + 120)


@dataclass(frozen=True, slots=True)
class DemoUser:
    key: str
    full_name: str
    role: Role
    hospital: str = DEMO_HOSPITAL

    @property
    def email(self) -> str:
        return f"{self.key}@demo.example"


DEMO_USERS = (
    DemoUser("doctor", "Demo Doctor", Role.DOCTOR),
    DemoUser("colleague", "Demo Colleague", Role.DOCTOR),
    DemoUser("stranger", "Demo Stranger", Role.DOCTOR, OTHER_HOSPITAL),
    DemoUser("radiologist", "Demo Radiologist", Role.RADIOLOGIST),
    DemoUser("admin", "Demo Admin", Role.ADMIN),
    DemoUser("operator", "Demo Operator", Role.OPERATOR),
)


@dataclass(frozen=True, slots=True)
class DemoFilm:
    """One synthetic film: whose, in which format, with or without an opacity ("lobar", "patchy")."""

    record_number: str
    name: str
    format: str = "JPEG"
    opacity: str = ""
    side: str = "right"
    note: str = ""


DEMO_FILMS = (
    DemoFilm("DEMO-1001", "Alder, Ann", "DICOM", "patchy", "both", "Fever for three days, cough."),
    DemoFilm("DEMO-1001", "Alder, Ann", "JPEG", note="Control after treatment."),
    DemoFilm("DEMO-1002", "Birch, Ben", "JPEG", "patchy", "both"),
    DemoFilm("DEMO-1003", "Cedar, Cara", "PNG"),
    DemoFilm("DEMO-1004", "Dogwood, Dan", "JPEG"),
    DemoFilm("DEMO-1005", "Elm, Ella", "DICOM", note="Before surgery."),
    DemoFilm("DEMO-1006", "Fir, Finn", "JPEG", "lobar", "left", "Crackles on the left."),
    DemoFilm("DEMO-1007", "Gorse, Gina", "PNG16"),
    DemoFilm("DEMO-1008", "Hazel, Hugo", "JPEG", "patchy", "both"),
    DemoFilm("DEMO-1009", "Ivy, Ida", "JPEG"),
    DemoFilm("DEMO-1010", "Juniper, Jon", "DICOM", "patchy", "both"),
    DemoFilm("", "", "JPEG", note="Patient not known yet."),
)


def seed_logins(path: Path) -> dict[str, dict[str, str]]:
    """The demo users with passwords and API tokens, kept in the file; made anew where the file or a user is missing."""
    kept = _read_logins(path)
    if kept is not None:
        return kept
    with transaction.atomic():
        logins = {demo.key: _seed_user(demo) for demo in DEMO_USERS}
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_text(json.dumps(logins, indent=2) + "\n", encoding="utf-8")
    return logins


def _read_logins(path: Path) -> dict[str, dict[str, str]] | None:
    try:
        logins: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    users = User.objects.filter(email__in=[demo.email for demo in DEMO_USERS])
    complete = logins.keys() == {demo.key for demo in DEMO_USERS} and len(users) == len(DEMO_USERS)
    with_factor = {login["email"] for login in logins.values() if "totp_secret" in login}
    return logins if complete and {user.email for user in users if needs_second_factor(user)} <= with_factor else None


def _seed_user(demo: DemoUser) -> dict[str, str]:
    hospital, _ = Hospital.objects.get_or_create(name=demo.hospital)
    password = secrets.token_urlsafe(12)
    user = User.objects.filter(email=demo.email).first() or User(email=demo.email)
    user.full_name, user.role, user.hospital, user.is_active = demo.full_name, demo.role, hospital, True
    user.set_password(password)
    user.save()
    for action in (Action.ACCESS_CHANGED, Action.PASSWORD_SET):
        record_about(user, action, by=None)
    _, token = create_api_token(user=user, days=TOKEN_DAYS)
    login = {"email": demo.email, "password": password, "api_token": token}
    return login | {"totp_secret": enrol_app(user=user)} if needs_second_factor(user) else login


def seed_cases() -> int:
    """Upload the demo films as the demo doctor, the way any film comes in; returns how many, 0 where they are there."""
    doctor = User.objects.get(email=DEMO_USERS[0].email)
    if Case.objects.filter(hospital=doctor.hospital).exists():
        return 0
    for seed, film in enumerate(DEMO_FILMS):
        _upload_film(doctor, film, seed)
    return len(DEMO_FILMS)


def _upload_film(doctor: User, film: DemoFilm, seed: int) -> None:
    birth_date = timezone.localdate() - CHILD_AGE
    patient = PatientData(film.record_number, film.name, birth_date, "FM"[seed % 2]) if film.record_number else None
    content, suffix = _draw(film, seed, birth_date)
    file = SimpleUploadedFile(f"demo-film-{seed + 1:02}.{suffix}", content)
    accept_upload(uploader=doctor, file=file, patient=patient, clinical_note=film.note, limited=False)


def _draw(film: DemoFilm, seed: int, birth_date: date) -> tuple[bytes, str]:
    from diagnostics import phantom

    opacity = phantom.Opacity(pattern=film.opacity, side=film.side, strength=1.0) if film.opacity else None  # type: ignore[arg-type]
    picture = phantom.draw_film(seed=seed, opacity=opacity)
    if film.format == "DICOM":
        tags = phantom.FilmTags(
            patient_id=film.record_number,
            accession_number=f"DEMO-A{seed + 1:03}",
            patient_name=film.name.replace(", ", "^"),
            patient_birth_date=f"{birth_date:%Y%m%d}",
        )
        return phantom.encode_dicom(picture, tags), "dcm"
    if film.format.startswith("PNG"):
        return phantom.encode_png(picture, bits=16 if film.format == "PNG16" else 8), "png"
    return phantom.encode_jpeg(picture), "jpg"
