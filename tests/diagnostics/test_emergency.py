"""Break-glass: another hospital's case, to be read for a while, with a reason and an alert."""

import time
from datetime import timedelta
from uuid import uuid4

import pytest
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from django.core.mail import EmailMessage
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from accounts.models import AuditEvent, Role, User
from diagnostics import storage
from diagnostics.models import Case, EmergencyAccess, Patient
from diagnostics.services.emergency import end_emergency_accesses, open_emergency_access
from tests.accounts.helpers import log_in
from tests.diagnostics.cases import make_case, make_prediction
from tests.factories import PASSWORD, UserFactory

PAGE = reverse("diagnostics:emergency")
REASON = "Child transferred at night, film needed."


@pytest.fixture
def case(doctor: User) -> Case:
    """A case of Riverside with all its pictures; the stranger of Hillcrest needs it."""
    patient = Patient.objects.create(hospital=doctor.hospital, record_number="MRN-1", name="Okafor, Chidi")
    found = make_case(doctor, state="done", patient=patient, study_instance_uid="1.2.3")
    make_case(doctor, state="done", patient=patient, study_instance_uid="1.2.3", file_name="other.jpg")
    prediction = make_prediction(found)
    for key in (found.original_key, storage.display_key(found.pk), prediction.heatmap_key):
        storage.save_derived(key, b"\x89PNG stands in for a picture")
    return found


@pytest.fixture
def browser(client: Client, stranger: User) -> Client:
    log_in(client, stranger.email)
    return client


def ask(browser: Client, case: object, reason: str = REASON) -> int:
    return browser.post(PAGE, {"case": str(case), "reason": reason}).status_code


def test_a_reason_opens_the_case_for_reading(browser: Client, case: Case) -> None:
    assert browser.get(case.get_absolute_url()).status_code == 404
    answer = browser.post(PAGE, {"case": f"https://portal.example/cases/{case.pk}/", "reason": REASON})
    assert answer.headers["Location"] == case.get_absolute_url()
    page = browser.get(case.get_absolute_url()).content.decode()
    assert "Emergency access until" in page
    for name in ("status", "original", "display", "heatmap"):
        assert browser.get(reverse(f"diagnostics:{name}", args=[case.pk])).status_code == 200


def test_nothing_but_reading_opens(browser: Client, case: Case, stranger: User) -> None:
    ask(browser, case.pk)
    page = browser.get(case.get_absolute_url()).content.decode()
    for absent in ("Sign the review", "Analyse again", str(case.patient_id), "other.jpg"):
        assert absent not in page
    for name in ("review", "unsaved_review", "analyse_again"):
        assert browser.post(reverse(f"diagnostics:{name}", args=[case.pk])).status_code == 404
    User.objects.filter(pk=stranger.pk).update(role=Role.RADIOLOGIST)
    assert browser.post(reverse("diagnostics:override", args=[case.pk])).status_code == 404


def test_no_other_page_widens(browser: Client, case: Case) -> None:
    ask(browser, case.pk)
    assert case.file_name not in browser.get(reverse("diagnostics:worklist")).content.decode()
    assert browser.get(reverse("diagnostics:patient", args=[case.patient_id])).status_code == 404
    assert browser.get(reverse("diagnostics:live"), {"w": f"{case.pk}~queued"}).status_code == 204
    other = Case.objects.get(file_name="other.jpg")
    assert browser.get(other.get_absolute_url()).status_code == 404


def test_it_ends_by_itself(browser: Client, case: Case) -> None:
    ask(browser, case.pk)
    access = EmergencyAccess.objects.get()
    assert access.expires_at - access.opened_at == timedelta(minutes=60)
    past = timezone.now() - timedelta(minutes=61)
    EmergencyAccess.objects.update(opened_at=past, expires_at=past + timedelta(minutes=60))
    assert browser.get(case.get_absolute_url()).status_code == 404


def test_the_doctor_ends_it_before_its_time(browser: Client, case: Case) -> None:
    ask(browser, case.pk)
    end = reverse("diagnostics:end_emergency", args=[case.pk])
    assert browser.post(end).status_code == 302
    assert browser.get(case.get_absolute_url()).status_code == 404
    assert browser.post(end).status_code == 404


def test_it_is_nobody_elses(browser: Client, case: Case, stranger: User) -> None:
    ask(browser, case.pk)
    other = UserFactory.create(hospital=stranger.hospital)
    assert not Case.objects.readable_by(other).filter(pk=case.pk).exists()


@pytest.mark.parametrize("role", [Role.ADMIN, Role.OPERATOR])
def test_it_is_for_clinicians_alone(client: Client, stranger: User, case: Case, role: Role) -> None:
    client.force_login(UserFactory.create(hospital=stranger.hospital, role=role))
    assert ask(client, case.pk) == 403


def test_who_is_no_clinician_any_more_reads_no_more(case: Case, stranger: User) -> None:
    open_emergency_access(user=stranger, case_id=case.pk, reason=REASON)
    User.objects.filter(pk=stranger.pk).update(role=Role.OPERATOR)
    assert not Case.objects.readable_by(User.objects.get(pk=stranger.pk)).exists()


def test_a_log_in_that_lies_back_is_asked_for_the_password_first(client: Client, stranger: User, case: Case) -> None:
    log_in(client, stranger.email)
    session = client.session
    session[AUTHENTICATION_METHODS_SESSION_KEY] = [{"method": "password", "at": time.time() - 301}]
    session.save()
    answer = client.post(PAGE, {"case": str(case.pk), "reason": REASON})
    assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))
    assert not EmergencyAccess.objects.exists()
    answer = client.post(answer.headers["Location"], {"password": PASSWORD, "next": PAGE})
    assert answer.headers["Location"] == case.get_absolute_url(), "what was typed is not asked for again"


@pytest.mark.parametrize("reason", ["", "night", "   short   "])
def test_a_reason_of_ten_characters_is_required(browser: Client, case: Case, reason: str) -> None:
    assert ask(browser, case.pk, reason) == 422
    assert not EmergencyAccess.objects.exists()


def test_a_missing_case_and_a_word_that_is_none_are_answered_alike(browser: Client) -> None:
    pages = [browser.post(PAGE, {"case": text, "reason": REASON}) for text in (str(uuid4()), "the film of last night")]
    assert [page.status_code for page in pages] == [422, 422]
    assert pages[0].context["form"].errors == pages[1].context["form"].errors


def test_the_own_hospitals_case_opens_as_ever(client: Client, doctor: User, case: Case) -> None:
    log_in(client, doctor.email)
    assert ask(client, case.pk) == 302
    assert not EmergencyAccess.objects.exists()


def test_guessing_is_stopped_and_recorded(browser: Client, case: Case, stranger: User) -> None:
    assert [ask(browser, uuid4()) for _ in range(6)] == [422] * 5 + [429]
    assert ask(browser, case.pk) == 429
    assert AuditEvent.objects.filter(action="access_opened", outcome="failed", actor=stranger).count() == 5


def test_the_opening_is_in_the_audit_log_of_the_cases_hospital(case: Case, stranger: User) -> None:
    access = open_emergency_access(user=stranger, case_id=case.pk, reason=REASON)
    end_emergency_accesses(accesses=EmergencyAccess.objects.all(), ended_by=stranger)
    opened, ended = AuditEvent.objects.order_by("sequence")
    for entry in (opened, ended):
        assert entry.actor == stranger
        assert entry.hospital_id == case.hospital_id
        assert entry.patient == case.patient_id
        assert REASON not in str(entry.details)
    assert (opened.action, opened.object_id) == ("access_opened", str(case.pk))
    assert (ended.action, ended.object_id) == ("access_changed", str(access.pk))


def test_both_hospitals_admins_get_a_mail_without_the_patient(
    case: Case,
    stranger: User,
    admin_user: User,
    mailoutbox: list[EmailMessage],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    theirs = UserFactory.create(hospital=stranger.hospital, role=Role.ADMIN)
    UserFactory.create(role=Role.ADMIN)
    UserFactory.create(hospital=stranger.hospital, role=Role.ADMIN, is_active=False)
    with django_capture_on_commit_callbacks(execute=True):
        open_emergency_access(user=stranger, case_id=case.pk, reason=REASON)
    assert sorted(mail.to[0] for mail in mailoutbox) == sorted([theirs.email, admin_user.email])
    for mail in mailoutbox:
        assert stranger.full_name in mail.body
        for absent in ("Okafor", "MRN-1", REASON, str(case.pk), case.file_name):
            assert absent not in str(mail.message())


def test_the_admins_of_both_hospitals_see_it_and_can_end_it(
    client: Client, case: Case, stranger: User, admin_user: User
) -> None:
    access = open_emergency_access(user=stranger, case_id=case.pk, reason=REASON)
    listing = reverse("admin:diagnostics_emergencyaccess_changelist")
    for admin in (admin_user, UserFactory.create(hospital=stranger.hospital, role=Role.ADMIN)):
        client.force_login(admin)
        assert REASON in client.get(listing).content.decode()
    client.force_login(UserFactory.create(role=Role.ADMIN))
    assert REASON not in client.get(listing).content.decode()
    client.force_login(admin_user)
    client.post(listing, {"action": "end", "_selected_action": [str(access.pk)]})
    assert not Case.objects.readable_by(stranger).filter(pk=case.pk).exists()


@pytest.mark.parametrize("page", ["changelist", "change", "history"])
def test_who_reads_the_reasons_in_admin_is_entered(
    client: Client, case: Case, stranger: User, admin_user: User, page: str
) -> None:
    access = open_emergency_access(user=stranger, case_id=case.pk, reason=REASON)
    client.force_login(admin_user)
    row = [] if page == "changelist" else [access.pk]
    assert client.get(reverse(f"admin:diagnostics_emergencyaccess_{page}", args=row)).status_code == 200
    entry = AuditEvent.objects.get(actor=admin_user)
    expected = ("list_viewed", "", None) if page == "changelist" else ("case_viewed", str(case.pk), case.patient_id)
    assert (entry.action, entry.object_id, entry.patient) == expected


def test_a_page_that_is_not_found_shows_the_way(browser: Client, case: Case) -> None:
    assert f"{PAGE}?case=/cases/{case.pk}/" in browser.get(case.get_absolute_url()).content.decode()
