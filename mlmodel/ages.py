"""Ages as people count them: by birthdays. Needs the standard library alone."""

from datetime import MAXYEAR, MINYEAR, date


def age_in_years(birth: date, *, on: date) -> float:
    """Birthdays that were had, and the share of the current year of life: 1.0 on the first birthday, leap years or not. Born on
    29 February, a child has a birthday on 1 March of other years. Negative before birth. Any two dates will do: a file may name
    the year 1 or 9999."""
    years = on.year - birth.year - ((on.month, on.day) < (birth.month, birth.day))
    last, coming = (_birthday(birth, birth.year + count) for count in (years, years + 1))
    return years + (on - last).days / max(1, (coming - last).days)


def _birthday(birth: date, year: int) -> date:
    if not MINYEAR <= year <= MAXYEAR:
        return date.min if year < MINYEAR else date.max
    try:
        return birth.replace(year=year)
    except ValueError:
        return date(year, 3, 1)
