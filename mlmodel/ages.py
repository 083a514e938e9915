"""Ages as people count them: by birthdays. Needs the standard library alone."""

from datetime import date


def age_in_years(birth: date, *, on: date) -> float:
    """Birthdays that were had, and the share of the current year of life: 1.0 on the first birthday, leap years or not. Born on
    29 February, a child has a birthday on 1 March of other years. Negative before birth."""
    years = on.year - birth.year - ((on.month, on.day) < (birth.month, birth.day))
    last, coming = (_birthday(birth, birth.year + count) for count in (years, years + 1))
    return years + (on - last).days / (coming - last).days


def _birthday(birth: date, year: int) -> date:
    try:
        return birth.replace(year=year)
    except ValueError:
        return date(year, 3, 1)
