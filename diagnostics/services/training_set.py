"""From signed reviews to films that a network can be trained on, without a trace of whose they are.

De-identified means: pixels decoded and encoded anew as PNG, so that no header or comment survives; patients under keyed
pseudonyms; ages in whole years. Text in the pixels is not searched for; a DICOM file that says it has some is left out.
"""

import base64
import csv
import hmac
import json
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from datetime import date
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from django.conf import settings

from accounts.audit import Action
from accounts.models import Hospital
from diagnostics import storage
from diagnostics.exceptions import DiagnosticsError, StorageUnavailableError, StoredFilmDamagedError
from diagnostics.models import Case, Review
from diagnostics.services.ages import age_at_study
from diagnostics.services.trail import record_case
from mlmodel import api

if TYPE_CHECKING:
    from diagnostics.querysets import ReviewQuerySet
    from mlmodel.api import DecoderPool

LABELS = {Review.Finding.PNEUMONIA: "PNEUMONIA", Review.Finding.NO_PNEUMONIA: "NORMAL"}
SOURCE, LICENCE = "signed review", "internal use of the hospital"
AGE_BANDS = ((1, "under 1"), (6, "1 to 5"), (18, "6 to 17"), (math.inf, "18 and over"))
OLDEST_TOLD = 89  # years; older patients are few enough to be known by their age
CHUNK = 32  # films in memory at once
PIXELS_NOT_SEARCHED = (
    "Pixels were not searched for text: JPEG and PNG uploads carry no header that tells of it. DICOM files that declare "
    "burned-in annotation were left out."
)


class ExportError(DiagnosticsError):
    """Nothing was exported. The text is one line for the operator."""


@dataclass(frozen=True, slots=True)
class ExportedFilm:
    """A row of the manifest; its fields are the columns. `sha256` is the PNG's; what is not known is empty."""

    file: str
    label: str
    patient: str
    source: str
    licence: str
    sha256: str
    sex: str
    age_band: str
    age_years: str
    device: str


@dataclass(slots=True)
class ExportReport:
    """`left_out` names cases with why: they never leave the command's own output."""

    films: list[ExportedFilm] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)  # for the audit log alone

    def as_dict(self) -> dict[str, object]:
        """Counts alone, nothing that leads back to a case."""
        return {
            "films": len(self.films),
            "patients": len({film.patient for film in self.films}),
            "labels": dict(Counter(film.label for film in self.films)),
            "left_out": dict(Counter(reason for _, reason in self.left_out)),
            "notes": [PIXELS_NOT_SEARCHED],
        }


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A film as it will be written, or why it will not."""

    review: Review
    png: bytes = b""
    row: ExportedFilm | None = None
    problem: str = ""


def find_reviews(*, since: date | None = None, hospital: Hospital | None = None) -> "ReviewQuerySet":
    """The verdicts to export, in a fixed order: those in force that name a finding, signed on or after `since`."""
    reviews = Review.objects.trainable().select_related("case__patient").order_by("case_id")
    if since:
        reviews = reviews.filter(signed_at__date__gte=since)
    return reviews.filter(case__hospital=hospital) if hospital else reviews


def export_reviews(
    *, reviews: Sequence[Review], out: Path, decoders: "DecoderPool", advance: Callable[[int], None] = lambda _: None
) -> ExportReport:
    """Write `out` with manifest.csv, report.json and images/, whole or not at all; `advance` hears how many films are done.

    Raises `ExportError` where `out` exists, there is no film to write or no pseudonym key; `OSError` (a full disk) leaves
    nothing behind.
    """
    if out.exists():
        raise ExportError(f"{out} exists already.")
    if not settings.PSEUDONYM_KEY:
        raise ExportError("PSEUDONYM_KEY is not set: patients would have no pseudonyms.")
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        report = _write_films(reviews, draft, decoders, advance)
        _write_tables(report, draft)
        # Each is committed by itself, before the folder has its name: in one transaction thousands would stop every view.
        for case in report.cases:
            record_case(Action.EXPORTED, case=case, actor=None, details={"as": "training set"})
        draft.rename(out)
        storage.sync_to_disk(out.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return report


def pseudonym(identity: str) -> str:
    """The same for the same identity on this installation, and telling nothing to whoever lacks its key."""
    digest = hmac.digest(settings.PSEUDONYM_KEY.encode(), identity.encode(), "sha256")
    return base64.b32encode(digest[:10]).decode().lower()


def _write_films(
    reviews: Sequence[Review], draft: Path, decoders: "DecoderPool", advance: Callable[[int], None]
) -> ExportReport:
    report = ExportReport()
    seen: dict[str, ExportedFilm] = {}
    contradicted: set[str] = set()
    for drawn in _draw_all(reviews, decoders):
        advance(1)
        row, case = drawn.row, str(drawn.review.case_id)
        if row is None:
            report.left_out.append((case, drawn.problem))
            continue
        known = seen.setdefault(row.sha256, row)
        if known is not row:
            same = known.label == row.label
            contradicted |= set() if same else {row.sha256}
            report.left_out.append((case, "the same film as another case" if same else "another case of this film disagrees"))
            continue
        _write(draft / row.file, drawn.png)
        report.cases.append(drawn.review.case)
    for digest in contradicted:
        (draft / seen[digest].file).unlink()
        report.left_out.append((f"film {digest[:16]}", "another case of this film disagrees"))
    report.films = sorted((row for row in seen.values() if row.sha256 not in contradicted), key=lambda row: row.file)
    if not report.films:
        raise ExportError("There is no signed review whose film can be exported.")
    return report


def _draw_all(reviews: Sequence[Review], decoders: "DecoderPool") -> Iterator[_Drawn]:
    """In order. The threads fetch and decode, and leave the rows alone."""
    with ThreadPoolExecutor(decoders.size) as threads:
        for start in range(0, len(reviews), CHUNK):
            yield from threads.map(lambda review: _draw(review, decoders), reviews[start : start + CHUNK])


def _draw(review: Review, decoders: "DecoderPool") -> _Drawn:
    case = review.case
    try:
        content = storage.read_film(case.original_key, sha256=case.sha256)
        tags = api.inspect(content).dicom or api.DicomFacts()
        if tags.burned_in_annotation == "YES":
            return _Drawn(review, problem="declares burned-in annotation")
        png = decoders.render_display(content).png
    except StorageUnavailableError:
        return _Drawn(review, problem="the storage did not answer")
    except StoredFilmDamagedError:
        return _Drawn(review, problem="the stored film is missing or damaged")
    except api.RejectedImageError:
        return _Drawn(review, problem="the film cannot be decoded")
    return _Drawn(review, png, _describe(review, png, tags))


def _describe(review: Review, png: bytes, tags: api.DicomFacts) -> ExportedFilm:
    case, digest = review.case, sha256(png).hexdigest()
    who = pseudonym(_identity(case))
    years = _age_years(case, tags)
    return ExportedFilm(
        file=f"images/{who}/{digest[:16]}.png",
        label=LABELS[Review.Finding(review.finding)],
        patient=who,
        source=SOURCE,
        licence=LICENCE,
        sha256=digest,
        sex=(case.patient.sex if case.patient else "") or tags.patient_sex,
        age_band="" if years is None else next(band for limit, band in AGE_BANDS if years < limit),
        age_years="" if years is None else str(min(int(years), OLDEST_TOLD + 1)),
        device=" ".join(part for part in (tags.manufacturer, tags.device_model) if part),
    )


def _identity(case: Case) -> str:
    """What films of one patient share: the patient, else the study; a film that is in neither is a patient of its own."""
    if case.patient_id:
        return f"patient:{case.patient_id}"
    if case.study_instance_uid:
        return f"study:{case.hospital_id}:{case.study_instance_uid}"
    return f"case:{case.pk}"


def _age_years(case: Case, tags: api.DicomFacts) -> float | None:
    if tags.patient_age_years is not None:
        return tags.patient_age_years
    age = age_at_study(case, tags.study_date)
    return None if age is None else max(age, 0.0)


def _write_tables(report: ExportReport, draft: Path) -> None:
    with (draft / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [column.name for column in fields(ExportedFilm)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(film) for film in report.films)
    storage.sync_to_disk(draft / "manifest.csv")
    _write(draft / "report.json", (json.dumps(report.as_dict(), indent=2) + "\n").encode())
    storage.sync_to_disk(draft)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    storage.sync_to_disk(path)
