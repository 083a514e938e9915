"""Which subgroups a film belongs to: by its file name, and by what a manifest says of the patient."""

import re
from collections.abc import Mapping

# Lower bound in years, and the band's name
AGE_BANDS = (
    (18.0, "18 years and over"),
    (6.0, "6 to 17 years"),
    (3.0, "3 to 5 years"),
    (1.0, "1 to 2 years"),
    (0.0, "under 1 year"),
)
CAUSES = {"bacteria": "bacterial", "bacterial": "bacterial", "virus": "viral", "viral": "viral"}
SEXES = {"f": "female", "female": "female", "m": "male", "male": "male"}
# Films of one cause are all diseased: they are judged beside every normal film
BESIDE_NORMAL = "Pneumonia, "


def traits_of(file: str, extras: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Names of the film's subgroups, as a reader of the report sees them; values that nobody gave make none."""
    given = extras or {}
    cause = CAUSES.get(given.get("cause", "").lower()) or _cause_in_name(file)
    sex = SEXES.get(given.get("sex", "").lower())
    band = _age_band(given.get("age_years", ""))
    device = given.get("device", "")
    names = (
        f"{BESIDE_NORMAL}{cause}" if cause else "",
        f"Sex, {sex}" if sex else "",
        f"Age, {band}" if band else "",
        f"Device, {device}" if device else "",
    )
    return tuple(name for name in names if name)


def _cause_in_name(file: str) -> str:
    """`person100_bacteria_475.jpeg` → `bacterial`."""
    match = re.search(r"_(bacteria|virus)_", file)
    return CAUSES[match[1]] if match else ""


def _age_band(age_years: str) -> str:
    try:
        years = float(age_years)
    except ValueError:
        return ""
    return next((name for lowest, name in AGE_BANDS if years >= lowest), "")
