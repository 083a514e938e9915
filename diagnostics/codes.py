"""Why an analysis failed, and the one sentence that tells a doctor. Refusals have theirs in `mlmodel.codes`."""

from mlmodel.api import MESSAGES as REFUSALS

FAILURES: dict[str, str] = {
    "STORAGE": "The stored film could not be reached. Ask for the analysis to be repeated.",
    "FILM_DAMAGED": "The stored film is missing or damaged. Please upload it again; the administrator has been told.",
    "WORKER_LOST": "The analysis was interrupted several times and has been stopped. The administrator has been told.",
    "INTERNAL": "The analysis failed for a technical reason. The administrator has been told.",
    "CANCELLED": "The analysis was cancelled by an administrator.",
}


def sentence(code: str) -> str:
    """The fixed sentence for a refusal's or a failure's code."""
    return FAILURES.get(code) or REFUSALS.get(code) or "The film could not be analysed."
