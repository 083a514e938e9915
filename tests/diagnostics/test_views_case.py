"""The case page: what it says in each state, how it brings the result, and how a verdict is given."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from diagnostics.models import Case, Patient, Review, Worker
from diagnostics.views.screen import Screen
from tests.diagnostics.cases import make_case, make_prediction

HTMX = {"HX-Request": "true"}
AGREE = {"verdict": "agree", "finding": "PNEUMONIA", "note": "Right lower lobe.", "sign": "true"}


@pytest.fixture
def reader(client: Client, doctor: User) -> Client:
    client.force_login(doctor)
    return client


def page_of(client: Client, case: Case) -> str:
    answer = client.get(case.get_absolute_url())
    assert answer.status_code == 200
    return answer.content.decode()


def status_of(client: Client, case: Case, **shown: str) -> Any:
    return client.get(reverse("diagnostics:status", args=[case.pk]), shown, headers=HTMX)


def analysed(doctor: User, probability: float = 0.9, **columns: Any) -> Case:
    case = make_case(doctor, state="done", **columns)
    make_prediction(case, probability=probability)
    return case


def test_a_positive_result_says_all_that_gives_it_meaning(reader: Client, doctor: User) -> None:
    patient = Patient.objects.create(hospital=doctor.hospital, record_number="MRN-3", name="Okafor, Chidi")
    case = analysed(doctor, 0.731, patient=patient, accession_number="A-1", clinical_note="Fever.", file_name="chest.jpg")
    text = page_of(reader, case)
    for fact in (
        "Pneumonia detected", "73.1 %", "likely", "Threshold 50.0 %", "1.0.0", "chest.jpg", "Dora Doctor", "MRN-3", "A-1",
        "Fever.", "PRELIMINARY", "Investigational software, not a medical device", "must be read by a qualified clinician",
        "Where the model looked, not where the disease is",
    ):  # fmt: skip
        assert fact in text, fact


def test_a_negative_result_rules_nothing_out(reader: Client, doctor: User) -> None:
    text = page_of(reader, analysed(doctor, 0.04))
    assert "Pneumonia not detected" in text
    assert "No finding above the threshold" in text
    assert "not to rule out disease" in text
    assert "No pneumonia" not in text


def test_a_refusal_says_why_with_its_code_and_what_to_do(reader: Client, doctor: User) -> None:
    text = page_of(reader, make_case(doctor, state="refused", refusal_code="LATERAL_VIEW"))
    for fact in (
        "Not read",
        "This is a lateral view.",
        "LATERAL_VIEW",
        "Upload the frontal film",
        "says nothing about the patient",
    ):
        assert fact in text
    assert "%" not in text[text.index('id="result"') : text.index('id="review"')]


@pytest.mark.parametrize("code", ["STORAGE", "WORKER_LOST", "CANCELLED", "INTERNAL", "FILM_DAMAGED"])
def test_a_failure_is_a_plain_sentence(reader: Client, doctor: User, code: str) -> None:
    text = page_of(reader, make_case(doctor, state="failed", failure_code=code, display="pending"))
    assert "Analysis failed" in text
    assert code in text
    assert 'hx-get="/cases/' not in text, "a failed case is asked about no more"


def test_a_waiting_film_knows_its_place(reader: Client, doctor: User) -> None:
    Worker.objects.create(name="w1")
    make_case(doctor, queued_at=timezone.now() - timedelta(minutes=2))
    text = page_of(reader, make_case(doctor))
    assert "Waiting for analysis" in text
    assert "number 2 in the queue" in text
    assert "delayed" not in text


def test_a_delay_says_since_when(reader: Client, doctor: User) -> None:
    silent = timezone.localtime().replace(hour=10, minute=42) - timedelta(days=1)
    Worker.objects.create(name="w1", beat_at=silent)
    text = page_of(reader, make_case(doctor))
    assert "Analysis is delayed: no worker since" in text
    assert "10:42" in text


def test_a_delay_without_any_worker_is_said_too(reader: Client, doctor: User) -> None:
    assert "no worker has been started" in page_of(reader, make_case(doctor))


def test_a_duplicate_links_to_the_earlier_case(reader: Client, doctor: User) -> None:
    earlier = analysed(doctor, finished_at=timezone.now().replace(month=5, day=3, year=2020))
    text = page_of(reader, analysed(doctor, duplicate_of=earlier))
    assert "The same film was analysed on 3 May 2020 with version 1.0.0." in text
    assert earlier.get_absolute_url() in text


def test_a_duplicate_that_its_pixels_betray_is_told_with_the_picture(reader: Client, doctor: User) -> None:
    case = analysed(doctor, duplicate_of=analysed(doctor), display="ready")
    screen = Screen(case, doctor)
    status, shown = f"/cases/{case.pk}/status/", {"result": screen.result_stamp, "film": "drawing"}
    text = reader.get(status, shown).content.decode()
    assert 'id="duplicate" hx-swap-oob="true"' in text
    assert "The same film was analysed on" in text
    assert 'id="result"' not in text
    assert 'id="duplicate" hx-swap-oob' not in reader.get(status, {"result": "queued", "film": "drawing"}).content.decode()


def test_other_films_of_the_patient_and_study_are_linked(reader: Client, doctor: User) -> None:
    patient = Patient.objects.create(hospital=doctor.hospital, record_number="MRN-3")
    case = analysed(doctor, patient=patient, study_instance_uid="1.2")
    same_study = analysed(doctor, patient=patient, study_instance_uid="1.2")
    other_study = analysed(doctor, patient=patient)
    unrelated = analysed(doctor)
    text = page_of(reader, case)
    assert same_study.get_absolute_url() in text
    assert other_study.get_absolute_url() in text
    assert unrelated.get_absolute_url() not in text
    assert text.count("Same study") == 1


def test_opening_a_result_marks_it_as_read_once(reader: Client, doctor: User, colleague: User) -> None:
    case = analysed(doctor)
    page_of(reader, case)
    case.refresh_from_db()
    first = case.first_viewed_at
    assert first is not None
    page_of(reader, case)
    case.refresh_from_db()
    assert case.first_viewed_at == first


def test_opening_a_waiting_case_leaves_it_unread(reader: Client, doctor: User) -> None:
    case = make_case(doctor)
    page_of(reader, case)
    case.refresh_from_db()
    assert case.first_viewed_at is None


# The fragment that asks


def poll_address(text: str) -> str:
    start = text.index('hx-get="', text.index('id="case-poller"')) + len('hx-get="')
    return text[start : text.index('"', start)].replace("&amp;", "&")


def test_the_page_asks_until_the_result_and_the_film_are_there(reader: Client, doctor: User) -> None:
    case = make_case(doctor)
    address = poll_address(page_of(reader, case))
    assert reader.get(address).status_code == 204

    make_prediction(case)
    Case.objects.filter(pk=case.pk).update(state="done", finished_at=timezone.now(), attempt=1)
    with_result = reader.get(address).content.decode()
    assert "Pneumonia detected" in with_result
    assert "Preparing the film" in with_result
    assert "Sign the review" in with_result

    Case.objects.filter(pk=case.pk).update(display="ready")
    with_film = reader.get(poll_address(with_result)).content.decode()
    assert 'id="viewer"' in with_film
    assert 'id="review"' not in with_film, "a note being typed must not be replaced"
    assert "hx-trigger" not in with_film
    assert "hx-get" not in with_film


@pytest.mark.parametrize("state", ["done", "refused", "failed"])
def test_a_settled_fragment_asks_no_more(reader: Client, doctor: User, state: str) -> None:
    case = make_case(doctor, state=state)
    if state == "done":
        make_prediction(case)
    text = status_of(reader, case).content.decode()
    assert 'id="case-poller"' in text
    assert "hx-trigger" not in text
    assert "hx-get" not in text


def test_asking_slows_down_with_the_wait(reader: Client, doctor: User) -> None:
    def pace(**age: float) -> str:
        text = page_of(reader, make_case(doctor, created_at=timezone.now() - timedelta(**age)))
        return text[text.index('hx-trigger="every') :].split('"')[1]

    assert [pace(seconds=1), pace(seconds=60), pace(minutes=10), pace(hours=5)] == [
        "every 0.5s", "every 1.0s", "every 3.0s", "every 10.0s",
    ]  # fmt: skip


def test_seeing_the_result_arrive_counts_as_reading_it(reader: Client, doctor: User) -> None:
    case = analysed(doctor)
    status_of(reader, case, result="queued-1-0-0.5", film="waiting")
    case.refresh_from_db()
    assert case.first_viewed_at is not None


def test_news_is_announced_to_screen_readers(reader: Client, doctor: User) -> None:
    text = status_of(reader, analysed(doctor, 0.95)).content.decode()
    assert 'data-announce="Pneumonia detected, very likely, 95.0 %"' in text


# The review


def post_review(client: Client, case: Case, data: dict[str, str], **options: Any) -> Any:
    return client.post(reverse("diagnostics:review", args=[case.pk]), data, **options)


def test_a_signed_review_ends_the_preliminary_state(reader: Client, doctor: User) -> None:
    case = analysed(doctor)
    answer = post_review(reader, case, AGREE)
    assert answer.status_code == 302
    review = Review.objects.get()
    assert (review.verdict, review.finding, review.note, review.reviewer) == ("agree", "PNEUMONIA", "Right lower lobe.", doctor)
    assert review.signed_at is not None
    text = page_of(reader, case)
    assert "PRELIMINARY" not in text
    assert "Reviewed by <strong>Dora Doctor</strong>" in text


def test_htmx_gets_the_review_and_the_result_to_swap(reader: Client, doctor: User) -> None:
    answer = post_review(reader, analysed(doctor), AGREE, headers=HTMX)
    text = answer.content.decode()
    assert answer.status_code == 200
    assert "<html" not in text
    assert "Signed, in force" in text
    assert 'id="result"' in text
    assert "Reviewed by" in text


@pytest.mark.parametrize("headers", [{}, HTMX])
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"verdict": ""}, "Say whether you agree with the model."),
        ({"finding": ""}, "Say what you see on the film."),
        ({"finding": "NO_PNEUMONIA"}, "contradict each other"),
        ({"verdict": "disagree"}, "contradict each other"),
        ({"verdict": "maybe"}, "Select a valid choice"),
    ],
)
def test_an_incomplete_review_comes_back_with_its_note(
    reader: Client, doctor: User, change: dict[str, str], complaint: str, headers: dict[str, str]
) -> None:
    answer = post_review(reader, analysed(doctor), AGREE | change, headers=headers)
    text = answer.content.decode()
    assert answer.status_code == 422
    assert complaint in text
    assert "Right lower lobe." in text
    assert not Review.objects.exists()


def test_a_refused_film_takes_an_own_finding_alone(reader: Client, doctor: User) -> None:
    case = make_case(doctor, state="refused")
    assert "I agree with the model" not in page_of(reader, case)
    assert post_review(reader, case, {"finding": "UNCERTAIN", "sign": "true"}).status_code == 302
    assert Review.objects.get().verdict == ""


def test_a_waiting_case_takes_no_review(reader: Client, doctor: User) -> None:
    case = make_case(doctor)
    assert "Sign the review" not in page_of(reader, case)
    answer = post_review(reader, case, {"finding": "UNCERTAIN", "note": "Too early.", "sign": "true"})
    assert answer.status_code == 422
    assert not Review.objects.exists()


def test_a_later_review_supersedes_and_deletes_nothing(reader: Client, doctor: User) -> None:
    case = analysed(doctor)
    post_review(reader, case, AGREE)
    post_review(reader, case, {"verdict": "disagree", "finding": "NO_PNEUMONIA", "note": "Second look.", "sign": "true"})
    text = page_of(reader, case)
    assert Review.objects.count() == 2
    assert text.count("Superseded") == 1
    assert "Right lower lobe." in text
    assert "Second look." in text


def test_a_draft_is_kept_for_its_writer_and_leaves_the_result_preliminary(
    reader: Client, doctor: User, colleague: User
) -> None:
    case = analysed(doctor)
    post_review(reader, case, AGREE | {"sign": "false"})
    text = page_of(reader, case)
    assert "PRELIMINARY" in text
    assert "Draft, not signed" in text
    assert ">\nRight lower lobe.</textarea>" in text
    reader.force_login(colleague)
    assert ">\nRight lower lobe.</textarea>" not in page_of(reader, case)


def test_notes_and_names_are_shown_as_text(reader: Client, doctor: User) -> None:
    case = analysed(doctor, file_name='<img src=x onerror="alert(1)">.jpg', clinical_note="<script>alert(1)</script>")
    post_review(reader, case, AGREE | {"note": "<i>note</i>"})
    text = page_of(reader, case)
    for markup in ("<img src=x", "<script>alert", "<i>note"):
        assert markup not in text
