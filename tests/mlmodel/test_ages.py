"""Ages by birthdays."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlmodel.ages import age_in_years

DATES = st.dates(date(1900, 1, 1), date(2100, 1, 1))


@pytest.mark.parametrize(
    ("birth", "on", "years"),
    [
        ("2025-03-01", "2026-03-01", 1.0),
        ("2025-03-01", "2026-02-28", 364 / 365),
        ("2020-11-26", "2026-11-26", 6.0),
        ("2020-02-29", "2021-02-28", 365 / 366),
        ("2020-02-29", "2021-03-01", 1.0),
        ("2020-02-29", "2024-02-29", 4.0),
        ("2026-01-01", "2026-01-01", 0.0),
        ("2026-01-02", "2026-01-01", -1 / 365),
    ],
)
def test_years_are_counted_by_birthdays(birth: str, on: str, years: float) -> None:
    assert age_in_years(date.fromisoformat(birth), on=date.fromisoformat(on)) == pytest.approx(years)


@given(DATES, DATES)
def test_a_day_later_everybody_is_a_day_older(birth: date, on: date) -> None:
    gained = age_in_years(birth, on=on + timedelta(days=1)) - age_in_years(birth, on=on)
    assert 1 / 367 < gained < 1 / 364


@given(DATES.filter(lambda day: (day.month, day.day) != (2, 29)), st.integers(0, 120))
def test_a_birthday_is_a_whole_number_to_the_last_digit(birth: date, years: int) -> None:
    assert age_in_years(birth, on=birth.replace(year=birth.year + years)) == years


@given(st.dates(), st.dates())
def test_any_two_dates_have_an_age(birth: date, on: date) -> None:
    assert abs(age_in_years(birth, on=on) - (on - birth).days / 365.2425) < 1.1
