"""The worklist: which cases, in which order, at which cost."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from diagnostics.models import Case, Patient, Review
from diagnostics.views.pagination import PAGE_SIZE, make_cursor, parse_cursor
from tests.diagnostics.cases import make_case, make_prediction

WORKLIST = "/cases/"
HTMX = {"HX-Request": "true"}


def shown(client: Client, **query: Any) -> list[str]:
    """File names in the order of the rows."""
    answer = client.get(WORKLIST, query)
    assert answer.status_code == 200
    return [case.file_name for group in answer.context["groups"] for case in group.cases]


def minutes_ago(minutes: float) -> dict[str, Any]:
    return {"created_at": timezone.now() - timedelta(minutes=minutes)}


@pytest.fixture
def reader(client: Client, doctor: User) -> Client:
    client.force_login(doctor)
    return client


@pytest.fixture
def mixed(doctor: User, colleague: User) -> dict[str, Case]:
    """One case of each kind; the names say which."""
    patient = Patient.objects.create(hospital=doctor.hospital, record_number="MRN-9", name="Okafor, Chidi")
    cases = {
        "waiting": make_case(doctor, file_name="waiting", patient=patient, **minutes_ago(1)),
        "running": make_case(doctor, state="processing", file_name="running", **minutes_ago(2)),
        "found": make_case(doctor, state="done", file_name="found", accession_number="A-77", **minutes_ago(3)),
        "clear": make_case(colleague, state="done", file_name="clear", first_viewed_at=timezone.now(), **minutes_ago(4)),
        "refused": make_case(doctor, state="refused", file_name="refused", **minutes_ago(5)),
        "failed": make_case(doctor, state="failed", file_name="failed", **minutes_ago(60 * 24 * 3)),
    }
    make_prediction(cases["found"], probability=0.9)
    make_prediction(cases["clear"], probability=0.1)
    return cases


def test_the_hospitals_cases_stand_newest_first(reader: Client, mixed: dict[str, Case], stranger: User) -> None:
    make_case(stranger, file_name="of another hospital")
    assert shown(reader) == list(mixed)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"state": "waiting"}, ["waiting", "running"]),
        ({"state": "done"}, ["found", "clear"]),
        ({"state": "refused"}, ["refused"]),
        ({"state": "failed"}, ["failed"]),
        ({"label": "PNEUMONIA"}, ["found"]),
        ({"label": "NORMAL"}, ["clear"]),
        ({"unread": "on"}, ["found", "refused", "failed"]),
        ({"patient": "okafor"}, ["waiting"]),
        ({"patient": "mrn-9"}, ["waiting"]),
        ({"q": "a-77"}, ["found"]),
        ({"q": "Chidi"}, ["waiting"]),
        ({"q": "refu"}, ["refused"]),
        ({"state": "done", "label": "NORMAL", "q": "clear"}, ["clear"]),
        ({"q": "100%_"}, []),
        ({"state": "no such state"}, ["waiting", "running", "found", "clear", "refused", "failed"]),
        ({"since": "not a day"}, ["waiting", "running", "found", "clear", "refused", "failed"]),
    ],
)
def test_each_filter_shows_what_it_says(
    reader: Client, mixed: dict[str, Case], query: dict[str, str], expected: list[str]
) -> None:
    assert shown(reader, **query) == expected


def test_dates_include_both_days(reader: Client, mixed: dict[str, Case]) -> None:
    day = timezone.localtime(mixed["failed"].created_at).date()
    assert shown(reader, since=day.isoformat(), until=day.isoformat()) == ["failed"]
    assert "failed" not in shown(reader, since=(day + timedelta(days=1)).isoformat())
    assert shown(reader, until=(day - timedelta(days=1)).isoformat()) == []


def test_the_label_filter_goes_by_the_latest_prediction(reader: Client, mixed: dict[str, Case]) -> None:
    make_prediction(mixed["found"], probability=0.2, model_version="2.0.0", created_at=timezone.now() + timedelta(seconds=1))
    assert shown(reader, label="PNEUMONIA") == []
    assert shown(reader, label="NORMAL") == ["found", "clear"]


def test_dates_in_the_wrong_order_are_said_to_be(reader: Client, db: None) -> None:
    page = reader.get(WORKLIST, {"since": "2026-05-02", "until": "2026-05-01"})
    assert "This day lies before the first." in page.content.decode()


def test_pages_neither_skip_nor_repeat_while_films_arrive(reader: Client, doctor: User) -> None:
    moment = timezone.now()
    # The same moment three times over: the key decides
    names = {f"film {n}" for n in range(2 * PAGE_SIZE + 7)}
    for n, name in enumerate(sorted(names)):
        make_case(doctor, file_name=name, created_at=moment - timedelta(seconds=n // 3))
    seen: list[str] = []
    query = ""
    while True:
        page = reader.get(f"{WORKLIST}?{query}")
        seen += [case.file_name for case in page.context["page"].cases]
        make_case(doctor, file_name="arrived meanwhile")
        if not page.context["page"].next_cursor:
            break
        query = page.context["next_query"]
    assert len(seen) == len(names)
    assert set(seen) == names


def test_the_next_page_keeps_the_filters(reader: Client, doctor: User) -> None:
    for n in range(PAGE_SIZE + 1):
        make_case(doctor, file_name=f"keep {n}", **minutes_ago(n))
        make_case(doctor, file_name=f"drop {n}", **minutes_ago(n))
    page = reader.get(WORKLIST, {"q": "keep", "state": ""})
    assert "q=keep" in page.context["next_query"]
    assert "state=" not in page.context["next_query"]
    assert [case.file_name for case in reader.get(f"{WORKLIST}?{page.context['next_query']}").context["page"].cases] == [
        "keep 25"
    ]


@pytest.mark.parametrize(
    "cursor", ["", "x", "~", "2026-05-01T10:00:00~x", "2026-05-01T10:00:00~" + "0" * 32, "é~\x00", "99~9" * 99]
)
def test_a_bad_cursor_gives_the_first_page(reader: Client, mixed: dict[str, Case], cursor: str) -> None:
    assert shown(reader, before=cursor) == list(mixed)


def test_a_cursor_comes_back_as_it_was_made(doctor: User) -> None:
    case = make_case(doctor)
    assert parse_cursor(make_cursor(case)) == (case.created_at, case.pk)


def count_queries(reader: Client) -> int:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert reader.get(WORKLIST).status_code == 200
    return len(queries)


def test_ten_and_two_hundred_cases_cost_the_same_queries(reader: Client, doctor: User, radiologist: User) -> None:
    def add(number: int) -> None:
        for n in range(number):
            patient = Patient.objects.create(hospital=doctor.hospital, record_number=f"{number}-{n}")
            case = make_case(doctor, state="done", patient=patient, study_instance_uid=f"1.2.{n // 2}", **minutes_ago(n))
            prediction = make_prediction(case)
            Review.objects.create(case=case, prediction=prediction, reviewer=radiologist, verdict="agree", finding="PNEUMONIA")

    add(10)
    reader.get(WORKLIST)  # makes the session's token for forms
    few = count_queries(reader)
    add(190)
    assert count_queries(reader) == few


def test_films_of_one_study_stand_together(reader: Client, doctor: User) -> None:
    make_case(doctor, file_name="lateral", study_instance_uid="1.2.3", **minutes_ago(3))
    make_case(doctor, file_name="between", **minutes_ago(2))
    make_case(doctor, file_name="frontal", study_instance_uid="1.2.3", **minutes_ago(1))
    assert shown(reader) == ["frontal", "lateral", "between"]
    assert "One study, 2 films" in reader.get(WORKLIST).content.decode()


def test_unread_results_are_marked_for_eyes_and_ears(reader: Client, mixed: dict[str, Case]) -> None:
    page = reader.get(WORKLIST).content.decode()
    assert page.count("is-unread") == page.count("Unread:") == 3


def test_a_negative_result_is_never_called_normal_nor_ticked(reader: Client, mixed: dict[str, Case]) -> None:
    page = reader.get(WORKLIST, {"label": "NORMAL"}).content.decode()
    rows = page[page.index("<tbody") : page.index("</table>")]
    assert "Pneumonia not detected" in rows
    assert "Normal" not in rows
    assert "icon-normal" in rows


def test_an_empty_worklist_says_what_to_do(reader: Client, db: None) -> None:
    page = reader.get(WORKLIST).content.decode()
    assert "No films yet" in page
    assert "/cases/upload/" in page


def test_filters_that_match_nothing_offer_a_way_out(reader: Client, mixed: dict[str, Case]) -> None:
    page = reader.get(WORKLIST, {"q": "no such film"}).content.decode()
    assert "Nothing matches" in page
    assert "No films yet" not in page


def test_htmx_gets_the_list_alone(reader: Client, mixed: dict[str, Case]) -> None:
    answer = reader.get(WORKLIST, headers=HTMX)
    assert "<html" not in answer.content.decode()
    assert "<table" in answer.content.decode()
    assert "HX-Request" in answer.headers["Vary"]


def test_only_waiting_rows_are_polled_for(reader: Client, mixed: dict[str, Case]) -> None:
    page = reader.get(WORKLIST).content.decode()
    assert page.count('class="live"') == 2
    assert 'hx-get="/cases/live/?as=row"' in page
    assert 'hx-get="/cases/live/' not in reader.get(WORKLIST, {"state": "done"}).content.decode()
