"""One poll for all that waits on a page."""

from uuid import uuid4

import pytest
from django.test import Client

from accounts.models import User
from diagnostics.models import Case, Worker
from tests.diagnostics.cases import make_case, make_prediction

LIVE = "/cases/live/"


@pytest.fixture
def reader(client: Client, doctor: User) -> Client:
    client.force_login(doctor)
    return client


@pytest.fixture
def done(doctor: User) -> Case:
    case = make_case(doctor, state="done", file_name="<b>film</b>.jpg")
    make_prediction(case)
    return case


def test_what_has_not_changed_is_not_sent(reader: Client, doctor: User) -> None:
    case = make_case(doctor)
    assert reader.get(LIVE, {"w": f"{case.pk}~queued"}).status_code == 204


def test_what_has_changed_comes_as_rows_to_swap(reader: Client, doctor: User, done: Case) -> None:
    waits = make_case(doctor)
    answer = reader.get(LIVE, {"as": "row", "w": [f"{done.pk}~queued", f"{waits.pk}~queued"]})
    text = answer.content.decode()
    assert f'id="case-{done.pk}"' in text
    assert 'hx-swap-oob="true"' in text
    assert "Pneumonia detected" in text
    assert str(waits.pk) not in text
    assert 'class="live"' not in text


def test_badges_come_for_the_upload_page(reader: Client, done: Case) -> None:
    text = reader.get(LIVE, {"as": "badge", "w": f"{done.pk}~"}).content.decode()
    assert f'id="badge-{done.pk}"' in text
    assert "<tr" not in text


def test_names_are_escaped(reader: Client, done: Case) -> None:
    text = reader.get(LIVE, {"as": "row", "w": f"{done.pk}~queued"}).content.decode()
    assert "<b>film" not in text
    assert "&lt;b&gt;film" in text


@pytest.mark.parametrize("query", [{}, {"w": "nonsense"}, {"w": ""}])
def test_polling_ends_where_nothing_waits(reader: Client, db: None, query: dict[str, str]) -> None:
    assert reader.get(LIVE, query).status_code == 286


def test_an_unknown_case_is_no_news(reader: Client, db: None) -> None:
    assert reader.get(LIVE, {"w": f"{uuid4()}~queued"}).status_code == 204


def test_a_delay_is_told_on_every_page_that_waits(reader: Client, doctor: User) -> None:
    make_case(doctor)
    assert "no worker has been started" in reader.get("/cases/delay/").content.decode()
    assert 'hx-get="/cases/delay/"' in reader.get("/cases/").content.decode()
    Worker.objects.create(name="w1")
    assert reader.get("/cases/delay/").content.decode().strip() == ""


def test_other_hospitals_and_finished_films_make_no_delay(reader: Client, stranger: User, done: Case) -> None:
    make_case(stranger)
    assert reader.get("/cases/delay/").content.decode().strip() == ""
