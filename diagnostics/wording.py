"""Results in words. Never "normal", never "no pneumonia": the model finds something, or nothing above its threshold."""

from collections.abc import Callable
from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format

from diagnostics.models import Case, Prediction, Review

BANDS = (
    (0.90, "very likely"),
    (0.65, "likely"),
    (0.35, "uncertain"),
    (0.10, "unlikely"),
    (0.0, "very unlikely"),
)

WAITING = {
    Case.State.QUEUED: "Waiting for analysis",
    Case.State.PROCESSING: "Being analysed",
    Case.State.REFUSED: "Not read",
    Case.State.FAILED: "Analysis failed",
}
LABELS = {
    Prediction.Label.PNEUMONIA: "Pneumonia detected",
    Prediction.Label.NORMAL: "Pneumonia not detected",
}

UPLOAD_ANEW = "Export the film again from the PACS or scan it again, then upload it as a new file."
REPEAT = "Have it analysed again. Until then, read the film without the model."
READ_WITHOUT = "Read the film as usual, without the model."
ADVICE = {
    "UNREADABLE": UPLOAD_ANEW,
    "FILM_DAMAGED": UPLOAD_ANEW,
    "TOO_SMALL": "Upload the film at its original size, not a thumbnail or a screenshot.",
    "COLOUR_PHOTO": "Upload the radiograph itself, exported from the PACS, not a photo of it.",
    "LATERAL_VIEW": f"Upload the frontal film of the study, if there is one. {READ_WITHOUT}",
    "AGE_OUT_OF_RANGE": READ_WITHOUT,
    "NOT_CHEST_XRAY": "Check that the right file was uploaded.",
    "INVERTED": "Export the film from the PACS as it is usually shown, bones bright, then upload it as a new file.",
    "ROTATED": "Turn the film upright in the viewer, export it again, then upload it as a new file.",
    "OUT_OF_DISTRIBUTION": READ_WITHOUT,
    "STORAGE": REPEAT,
    "WORKER_LOST": REPEAT,
    "INTERNAL": REPEAT,
    "CANCELLED": "Have it analysed again if it should be read after all.",
}


def likelihood(probability: float) -> str:
    """The probability as a word: five bands, symmetric about one half."""
    return next(word for floor, word in BANDS if probability >= floor)


def percent(value: float) -> str:
    """One decimal, and never a certainty that no model has."""
    if value < 0.001:
        return "below 0.1 %"
    if value > 0.999:
        return "above 99.9 %"
    return f"{100 * value:.1f} %"


def kind(case: Case) -> str:
    """Which icon and style stand for the case: the label of a result, else the state."""
    return case.result.label.lower() if case.result else str(case.state)


def headline(case: Case) -> str:
    """The few words of a list row."""
    if case.result:
        return LABELS[Prediction.Label(case.result.label)]
    return WAITING.get(Case.State(case.state), "Analysed")


def advice(code: str) -> str:
    """What to do about a refusal or a failure."""
    return ADVICE.get(code, READ_WITHOUT)


def threshold_remark(prediction: Prediction) -> str:
    """Why label and word seem to disagree, where the threshold is far from one half."""
    detected = prediction.label == Prediction.Label.PNEUMONIA
    if detected and prediction.probability < 0.5:
        return "The threshold is set low so that few films with features of pneumonia are missed."
    if not detected and prediction.probability >= 0.5:
        return "The probability is high, but below this version's threshold."
    return ""


def describe_duplicate(earlier: Case) -> str:
    """One sentence on an earlier case with the same film."""
    day = short_date(earlier.finished_at or earlier.created_at)
    prediction = earlier.prediction
    if earlier.state == Case.State.DONE and prediction:
        return f"The same film was analysed on {day} with version {prediction.model_version}."
    if earlier.is_final:
        return f"The same film was uploaded before and, on {day}, could not be analysed."
    return f"The same film was uploaded on {day} and is still waiting for its analysis."


def short_date(moment: datetime) -> str:
    """`3 May`, with the year where it is not this one."""
    local = timezone.localtime(moment)
    return date_format(local, "j F" if local.year == timezone.localtime().year else "j F Y")


def signed_review(case: Case) -> Review | None:
    """The verdict in force: the latest signed one on what the case shows now. One on an earlier result stays with that."""
    shown = case.result.pk if case.result else None
    return _latest_signed(case, lambda review: review.prediction_id == shown)


def earlier_review(case: Case) -> Review | None:
    """The latest signed verdict on an earlier result, where what the case shows now has none."""
    return None if signed_review(case) else _latest_signed(case, lambda _: True)


def signed_review_of(case: Case, prediction: Prediction) -> Review | None:
    """The latest signed verdict on that result."""
    return _latest_signed(case, lambda review: review.prediction_id == prediction.pk)


def _latest_signed(case: Case, wanted: Callable[[Review], bool]) -> Review | None:
    signed = [review for review in case.reviews.all() if review.signed_at and wanted(review)]
    return max(signed, key=lambda review: review.created_at, default=None)


def review_status(case: Case) -> str:
    """The review column of a list: empty while there is nothing to review."""
    review = signed_review(case)
    if review is None:
        if not case.is_final:
            return ""
        return "Earlier result reviewed" if earlier_review(case) else "Not reviewed"
    return {"agree": "Reviewed: agrees", "disagree": "Reviewed: disagrees"}.get(review.verdict, "Reviewed")
