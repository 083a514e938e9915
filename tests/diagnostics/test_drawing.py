"""The picture for the browser: claimed apart from the analysis, tried a few times alone, and never taken away again."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast
from unittest import mock

import pytest
from django.utils import timezone

from accounts.models import User
from diagnostics import storage
from diagnostics.exceptions import StorageUnavailableError
from diagnostics.models import Case, GateOverride
from diagnostics.querysets import CaseQuerySet
from diagnostics.services import analysis, drawing
from diagnostics.services.administration import cancel_case, requeue_case
from diagnostics.services.analysis import Result
from diagnostics.services.overrides import override_refusal
from mlmodel import api
from tests.diagnostics.cases import make_case
from tests.diagnostics.stub_model import UNREADABLE, StubPredictor
from tests.diagnostics.test_inference import EXECUTOR, stored

NOW = timezone.now()


@pytest.fixture
def stub() -> StubPredictor:
    return StubPredictor()


def waiting() -> CaseQuerySet:
    return Case.objects.waiting_without_display()


def claim(*, limit: int = 8, hands_free: bool = True) -> list[Case]:
    return drawing.claim_displays(cases=waiting(), limit=limit, hands_free=hands_free)


def draw(stub: StubPredictor, *, limit: int = 8) -> int:
    return drawing.draw_displays(cases=waiting(), limit=limit, predictor=cast("Any", stub), executor=EXECUTOR)


def end_leases() -> None:
    Case.objects.update(display_lease_until=NOW - timedelta(minutes=1))


def picture_of(case: Case) -> tuple[str, int]:
    return Case.objects.values_list("display", "display_attempt").get(pk=case.pk)


# Claims


def test_the_films_sent_last_are_drawn_first(doctor: User, stub: StubPredictor) -> None:
    early, late = (stored(doctor, content, queued_at=NOW - timedelta(hours=age)) for age, content in ((2, b"a"), (1, b"b")))
    assert draw(stub, limit=1) == 1
    assert (picture_of(early)[0], picture_of(late)[0]) == ("pending", "ready")


def test_drawing_changes_nothing_that_the_analysis_goes_by(doctor: User, stub: StubPredictor) -> None:
    case = stored(doctor, b"a")
    columns = ("state", "attempt", "worker", "lease_until", "queued_at", "started_at")
    before = Case.objects.values(*columns).get()
    assert draw(stub) == 1
    assert Case.objects.values(*columns).get() == before
    assert storage.read_film(storage.display_key(case.pk)) == b"png of a"


def test_a_film_is_drawn_by_one_worker_at_a_time(doctor: User) -> None:
    case = make_case(doctor)
    others = list(waiting())  # read by another worker before the claim
    assert claim() == [case]
    assert claim() == []
    assert not drawing._claim(others[0])


def test_a_film_that_is_being_drawn_can_be_analysed(doctor: User) -> None:
    (drawn,) = [make_case(doctor)] and claim()
    (claimed,) = analysis.claim_cases(worker="w:2", limit=8)
    assert claimed == drawn
    assert drawing.set_display(case=drawn, display="ready", pixel_sha256="a" * 64)
    assert analysis.held(claimed).exists()
    assert claim() == []


def test_a_try_that_ended_the_worker_is_repeated_alone_and_not_for_ever(doctor: User) -> None:
    others = [make_case(doctor, queued_at=NOW - timedelta(hours=1)) for _ in range(2)]
    poison = make_case(doctor)
    assert claim(limit=1) == [poison]
    end_leases()
    assert claim() == [poison]
    end_leases()
    assert claim(hands_free=False) == []
    assert claim() == [poison]
    end_leases()
    assert set(claim()) == set(others)
    assert picture_of(poison) == ("unavailable", 3)
    assert Case.objects.get(pk=poison.pk).state == "queued"


def test_a_clock_that_was_set_back_holds_no_picture_up(doctor: User) -> None:
    case = make_case(doctor, display_lease_until=NOW + timedelta(days=1))
    assert claim() == [case]


# Tries that fail


def test_a_film_that_ends_its_decoder_is_tried_once(doctor: User, stub: StubPredictor) -> None:
    bad, good = stored(doctor, UNREADABLE), stored(doctor, b"a")
    assert draw(stub) == 2
    assert (picture_of(bad), picture_of(good)) == (("unavailable", 1), ("ready", 1))
    assert draw(stub) == 0
    assert set(Case.objects.values_list("state", "attempt")) == {("queued", 0)}


@pytest.mark.parametrize("error", [StorageUnavailableError("down"), api.DecoderUnavailableError("no memory")])
def test_what_could_not_be_begun_costs_no_try_and_lets_the_others_go_first(
    doctor: User, stub: StubPredictor, error: Exception
) -> None:
    older = stored(doctor, b"a", queued_at=NOW - timedelta(hours=1))
    case = stored(doctor, b"b")
    with mock.patch.object(StubPredictor, "render_display", side_effect=error):
        assert draw(stub, limit=1) == 0
    assert picture_of(case) == ("pending", 0)
    assert draw(stub, limit=1) == 1
    assert picture_of(older)[0] == "ready"
    end_leases()
    assert draw(stub) == 1


def test_an_unforeseen_fault_costs_that_films_try_alone(doctor: User, stub: StubPredictor) -> None:
    bad, good = stored(doctor, b"bad"), stored(doctor, b"good")
    real = stub.render_display

    def fail(image: bytes) -> api.DisplayPicture:
        if image == b"bad":
            raise RuntimeError("unforeseen")
        return real(image)

    with mock.patch.object(stub, "render_display", side_effect=fail) as render:
        for _ in range(5):
            draw(stub)
            end_leases()
    assert (picture_of(bad), picture_of(good)) == (("unavailable", 3), ("ready", 1))
    assert render.call_count == 4


# The picture that is there stays


def refuse(case: Case, code: str) -> None:
    (claimed,) = analysis.claim_cases(worker="w:1", limit=1)
    assert analysis.store_results(results=[Result(claimed, api.refusal(code), "stub")]) == 1


def fail(case: Case) -> None:
    (claimed,) = analysis.claim_cases(worker="w:1", limit=1)
    analysis.fail_case(case=claimed, code="INTERNAL")


def lose(case: Case) -> None:
    analysis.claim_cases(worker="w:1", limit=1)
    Case.objects.update(lease_until=NOW - timedelta(hours=1), attempt=3)
    analysis.give_up_expired_leases()


ENDS: dict[str, Callable[[Case], Any]] = {
    "refused": lambda case: refuse(case, "LATERAL_VIEW"),
    "unreadable": lambda case: refuse(case, "UNREADABLE"),
    "failed": fail,
    "lost": lose,
    "cancelled": lambda case: cancel_case(case=case),
}


@pytest.mark.parametrize("end", ENDS)
def test_no_end_of_the_analysis_takes_the_picture_away_or_has_it_drawn_again(
    doctor: User, stub: StubPredictor, end: str
) -> None:
    case = stored(doctor, b"a")
    draw(stub)
    ENDS[end](case)
    case = Case.objects.get()
    assert (case.is_final, case.display, case.is_settled) == (True, "ready", True)
    assert requeue_case(case=case)
    assert picture_of(case)[0] == "ready"


@pytest.mark.parametrize(("end", "then"), [("refused", "pending"), ("unreadable", "unavailable"), ("failed", "unavailable")])
def test_without_a_picture_the_end_says_whether_there_will_be_one(doctor: User, end: str, then: str) -> None:
    case = make_case(doctor)
    ENDS[end](case)
    assert picture_of(case)[0] == then


def test_a_film_without_a_picture_is_tried_afresh_when_it_is_queued_again(doctor: User) -> None:
    case = make_case(doctor, state="failed", display="unavailable", display_attempt=3)
    requeue_case(case=case)
    assert picture_of(case) == ("pending", 0)


def test_a_refusal_that_is_set_aside_has_no_second_picture_drawn(doctor: User, radiologist: User) -> None:
    case = make_case(doctor, state="refused", refusal_code="OUT_OF_DISTRIBUTION", display="ready")
    override_refusal(case=case, radiologist=radiologist, reason="known device")
    assert GateOverride.objects.exists()
    refuse(case, "OUT_OF_DISTRIBUTION")
    assert picture_of(case)[0] == "ready"


def test_a_picture_of_a_film_that_was_given_up_meanwhile_is_not_left_behind(doctor: User, stub: StubPredictor) -> None:
    case = stored(doctor, b"a")
    real = stub.render_display

    def cancel_meanwhile(image: bytes) -> api.DisplayPicture:
        cancel_case(case=case)
        return real(image)

    with mock.patch.object(stub, "render_display", side_effect=cancel_meanwhile):
        draw(stub)
    assert picture_of(case)[0] == "unavailable"
    assert not storage.is_stored(storage.display_key(case.pk))


# Copies


def test_copies_are_linked_to_the_first_in_whatever_order_they_are_drawn(doctor: User, stranger: User) -> None:
    first, second, third = (make_case(doctor, created_at=NOW - timedelta(hours=age)) for age in (3, 2, 1))
    other_film = make_case(doctor)
    elsewhere = make_case(stranger)
    drawing.set_display(case=elsewhere, display="ready", pixel_sha256="b" * 64)
    drawing.set_display(case=other_film, display="ready", pixel_sha256="c" * 64)
    for case in (third, second, first):
        drawing.set_display(case=case, display="ready", pixel_sha256="b" * 64)
    links = dict(Case.objects.values_list("pk", "duplicate_of"))
    assert (links[first.pk], links[second.pk], links[third.pk]) == (None, first.pk, first.pk)
    assert (links[other_film.pk], links[elsewhere.pk]) == (None, None)
