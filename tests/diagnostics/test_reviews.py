"""Reviews are records: later ones supersede, none changes."""

import pytest

from accounts.models import User
from diagnostics.exceptions import TransitionError
from diagnostics.models import Case, Review
from diagnostics.services.reviews import record_review
from diagnostics.services.viewing import view_case
from tests.diagnostics.cases import make_case, make_prediction


def test_a_later_review_supersedes_and_the_earlier_one_stays(doctor: User, radiologist: User) -> None:
    case = make_case(doctor, state="done")
    make_prediction(case)
    record_review(case=case, reviewer=doctor, verdict="agree", finding="PNEUMONIA", sign=True)
    second = record_review(
        case=case, reviewer=radiologist, verdict="disagree", finding="NO_PNEUMONIA", note="Thymus.", sign=True
    )
    assert Case.objects.get().review == second
    assert Review.objects.count() == 2


def test_a_verdict_names_the_prediction_it_judged(doctor: User) -> None:
    case = make_case(doctor, state="done")
    prediction = make_prediction(case)
    assert record_review(case=case, reviewer=doctor, verdict="agree", finding="PNEUMONIA", sign=False).prediction == prediction


def test_a_refused_film_takes_a_finding_without_a_verdict(doctor: User) -> None:
    case = make_case(doctor, state="refused")
    assert record_review(case=case, reviewer=doctor, finding="NOT_ASSESSABLE", sign=True).prediction is None
    with pytest.raises(TransitionError):
        record_review(case=case, reviewer=doctor, verdict="agree", finding="PNEUMONIA", sign=True)


def test_a_prediction_is_not_reviewed_without_a_verdict(doctor: User) -> None:
    case = make_case(doctor, state="done")
    make_prediction(case)
    with pytest.raises(TransitionError):
        record_review(case=case, reviewer=doctor, finding="PNEUMONIA", sign=True)


def test_nothing_is_reviewed_before_the_result(doctor: User) -> None:
    with pytest.raises(TransitionError):
        record_review(case=make_case(doctor), reviewer=doctor, finding="PNEUMONIA", sign=True)


def test_only_a_final_result_counts_as_opened(doctor: User) -> None:
    waiting, done = make_case(doctor), make_case(doctor, state="done")
    for case in (waiting, done):
        view_case(case=case, viewer=doctor)
    assert list(Case.objects.filter(first_viewed_at__isnull=False)) == [done]
