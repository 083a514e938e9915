"""The model card: Markdown for a radiologist, drawn from the report and the version's metadata alone.

Sections follow Mitchell et al., Model Cards for Model Reporting (FAT* 2019). Numbers in square brackets are items of CLAIM, the
Checklist for Artificial Intelligence in Medical Imaging, in its 2024 update of 44 items (Tejani et al., Radiology: Artificial
Intelligence 2024;6(4):e240300). Fixed sentences live in `mlmodel.evaluation.card_text`; every number comes from the JSON.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mlmodel.evaluation import card_text as text

# Key of the report, name on the card, whether it is a share, shown in percent
MEASURES = (
    ("auc", "Area under the ROC curve (AUC)", False),
    ("average_precision", "Average precision", False),
    ("sensitivity", "Sensitivity", True),
    ("specificity", "Specificity", True),
    ("precision", "Positive predictive value", True),
    ("npv", "Negative predictive value", True),
    ("accuracy", "Accuracy", True),
    ("f1", "F1 score", False),
    ("ece", "Calibration error (ECE), 15 bins of equally many films", False),
    ("ece_equal_width", "Calibration error, 15 bins of equal width", False),
    ("brier", "Brier score", False),
    ("nll", "Negative log-likelihood", False),
    ("calibration_slope", "Calibration slope (1 is perfect)", False),
    ("calibration_intercept", "Calibration intercept (0 is perfect)", False),
)
OF_SUBGROUPS = (("auc", "AUC", False), ("sensitivity", "Sensitivity", True), ("specificity", "Specificity", True))
RECIPE = (
    ("epochs", "Epochs at most"),
    ("batch_size", "Films per step"),
    ("optimizer", "Optimiser"),
    ("learning_rate", "Learning rate"),
    ("schedule", "Schedule"),
    ("weight_decay", "Weight decay"),
    ("label_smoothing", "Label smoothing"),
    ("mixup", "Mixup, strength"),
    ("class_weights", "Classes weighted equally"),
    ("opacify", "Share of normal films given a drawn opacity, to be read as pneumonia"),
    ("averaging", "Weight averaging"),
    ("precision", "Arithmetic"),
    ("seed", "Seed"),
)
COPIES = (
    ("disguise", "Share of films taken from copies whose habits say less of the class"),
    ("reoutline", "Their outlines spread by up to, as a logarithm"),
    ("retone", "Their tones moved to those of other films by up to"),
    ("resharpen", "Their sharpness moved to that of other films by up to"),
)
NETWORK = (
    ("block", "Kind of block"),
    ("blocks", "Blocks per stage"),
    ("widths", "Channels per stage"),
    ("norm", "Normalisation"),
    ("standardise", "Each film standardised"),
    ("head", "Head"),
    ("dropout", "Dropout"),
    ("stochastic_depth", "Stochastic depth"),
)
PARTS = (
    ("train", "Training"),
    ("validate", "Choice of epoch"),
    ("calibrate", "Calibration, operating point"),
    ("test", "Test"),
)
PICTURES = {
    "roc.png": "ROC curve with its 95 % band and the operating point",
    "precision_recall.png": "Precision-recall curve with its 95 % band",
    "reliability.png": "Reliability: stated probability against the share of films with pneumonia",
    "confusion.png": "Confusion matrix at the operating point",
    "training.png": "Loss and AUC by epoch of training",
}
Lines = list[str]


def write_card(report: Mapping[str, Any], metadata: Mapping[str, Any], figures: Sequence[str] = ()) -> str:
    """Markdown; `figures` are the names of pictures that lie beside it. What the metadata do not say is said to be missing."""
    added = text.of_data(metadata.get("data", {}))
    sections = (
        _title(report, metadata),
        _use(metadata),
        _data(metadata),
        _network(metadata),
        _calibration(report, metadata),
        _performance(report, figures),
        _subgroups(report),
        _refusals(report, metadata),
        _fixed("Explanation [31]", text.EXPLANATION),
        _robustness(metadata),
        _fixed("Known limits [40, 41]", text.LIMITS, *(each.limits for each in added)),
        _fixed("Ethical considerations", text.ETHICS, *(each.ethics for each in added)),
        _fixed("CLAIM items that this card does not cover", text.NOT_COVERED, *(each.not_covered for each in added)),
        _cite(metadata),
    )
    return "\n".join("\n".join([*section, ""]) for section in sections)


def _title(report: Mapping[str, Any], metadata: Mapping[str, Any]) -> Lines:
    version = report["model_version"]
    return [
        f"# Model card: pneumonia on children's chest radiographs, version {version}",
        "",
        text.SUMMARY,
        "",
        *_table(
            ("", ""),
            [
                ("Version", version),
                ("Trained", _moment(metadata.get("created_at"))),
                ("Evaluated", _moment(report["created_at"])),
                (
                    "Films of the evaluation",
                    f"{report['films']}, of which {report['n']} were read, of {report['patients']} patients",
                ),
                ("Films and labels, SHA-256", f"`{report['data_sha256']}`"),
            ],
        ),
        "",
        text.EDITION,
    ]


def _use(metadata: Mapping[str, Any]) -> Lines:
    use = metadata.get("intended_use", {})
    ages = " to ".join(f"{use[key]:g}" for key in ("min_age_years", "max_age_years") if key in use)
    return [
        "## Intended use [3, 41]",
        "",
        str(use.get("statement", text.NOT_STATED)),
        "",
        f"- Age in years: {ages or text.NOT_STATED}.",
        f"- Views: {', '.join(use.get('views', ())) or text.NOT_STATED}.",
        *_bullets(text.INTENDED),
        "",
        "### Not intended",
        "",
        *_bullets(text.NOT_INTENDED),
    ]


def _data(metadata: Mapping[str, Any]) -> Lines:
    data = metadata.get("data", {})
    rows = [
        (name, *(str(data["parts"][part].get(key, "")) for key in ("films", "patients", "normal", "pneumonia")))
        for part, name in PARTS
        if part in data.get("parts", {})
    ]
    table = _table(("Part", "Films", "Patient groups", "Normal", "Pneumonia"), rows) if rows else [text.NO_PARTITIONS]
    return [
        "## Data [5, 7, 8, 10, 14, 16, 19, 20, 36]",
        "",
        f"- Source and labels: {_names(data.get('sources'))}.",
        f"- Licence: {_names(data.get('licences'))}.",
        *_bullets(text.DATA),
        "",
        *table,
    ]


def _network(metadata: Mapping[str, Any]) -> Lines:
    training, network = metadata.get("training", {}), metadata.get("network", {})
    recipe = training.get("recipe", {})
    members = [member["training"] for member in training.get("members", [])] or [training]
    epochs = _epochs([len(member["history"]) for member in members if member.get("history")])
    started = " and ".join(sorted({str(member.get("started_from") or "random") for member in members}))
    rows = [("Input, pixels", " x ".join(str(side) for side in metadata.get("input_shape", ())))]
    rows += [(name, _plain(network[key])) for key, name in NETWORK if key in network]
    recipes = [member.get("recipe") or recipe for member in members]
    copies = COPIES if any(each.get(key) for each in recipes for key, _ in COPIES[1:]) else ()
    rows += [(name, _of_each(recipes, key)) for key, name in (*RECIPE, *copies) if any(key in each for each in recipes)]
    rows.append(("Weights at the start", started))
    if len(members) > 1:
        rows.append(("Networks joined, their logits averaged", str(len(members))))
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(metadata.get("libraries", {}).items()))
    return [
        "## Network and training [9, 22, 23, 24, 25, 26, 27]",
        "",
        text.NETWORK,
        "",
        *_table(("", ""), rows),
        "",
        f"Trained for {epochs}; {text.SELECTION}" if epochs else text.SELECTION,
        "",
        f"Preprocessing [9]: {_preprocessing(metadata.get('preprocessing', {}))}.",
        "",
        f"Libraries [23]: {libraries or text.NOT_STATED}.",
    ]


def _calibration(report: Mapping[str, Any], metadata: Mapping[str, Any]) -> Lines:
    fitted, point = metadata.get("calibration", {}), metadata.get("operating_point", {})
    rows = [
        (name, f"{row['nll']:.4f}", f"{row['brier']:.4f}", "kept" if row.get("kept") else "")
        for method, name in text.METHODS.items()
        if (row := fitted.get("compared", {}).get(method))
    ]
    columns = ("Method, the simplest first", "Negative log-likelihood", "Brier score", "")
    table = [*_table(columns, rows), "", text.CHOICE] if rows else [text.NOT_COMPARED]
    prevalence = fitted.get("prevalence")
    fitted_where = text.CALIBRATION if fitted.get("method", "none") != "none" else text.UNCALIBRATED
    assumed = f"The probability assumes that {text.percent(prevalence)} of the films show pneumonia." if prevalence else ""
    return [
        "## Calibration and operating point [28, 29]",
        "",
        f"Method: {text.METHODS.get(fitted.get('method'), fitted.get('method', text.NOT_STATED))}. {fitted_where}",
        "",
        *table,
        "",
        *([f"{assumed} {text.PREVALENCE}", ""] if assumed else []),
        f"A film is called positive from a probability of {report['threshold']:.4f} on. {text.describe_rule(point)}",
    ]


def _performance(report: Mapping[str, Any], figures: Sequence[str]) -> Lines:
    (tn, fp), (fn, tp) = report["confusion"]
    groups = f"{report['pneumonia']} with pneumonia and {report['normal']} without"
    pictures = [line for name in figures if name in PICTURES for line in ("", f"![{PICTURES[name]}]({name})")]
    overlap = sum(count for part, count in report.get("training_overlap", {}).items() if part != "test")
    return [
        "## Performance [28, 29, 32, 35, 37, 38]",
        "",
        f"On {report['n']} films of {report['patients']} patients, {groups}. In brackets: 95 % intervals over patients [29].",
        *(["", f"**{overlap} of these films were used to make this version: the numbers flatter it.**"] if overlap else []),
        *(["", f"**{named} other films: {text.NAMED_ALIKE}**"] if (named := report.get("training_patients")) else []),
        "",
        *_table(("Measure", "Value (95 % interval)"), [(name, _state(report[key], share)) for key, name, share in MEASURES]),
        "",
        *_table(
            ("", "Model: not detected", "Model: detected"),
            [("Reference: normal", str(tn), str(fp)), ("Reference: pneumonia", str(fn), str(tp))],
        ),
        *pictures,
        *_comparison(report.get("comparison")),
    ]


def _comparison(found: Mapping[str, Any] | None) -> Lines:
    if not found:
        return []
    rows = [
        (name, _state(found[key], share=False, signed=True))
        for key, name in (
            ("auc", "AUC"),
            ("sensitivity", "Sensitivity"),
            ("specificity", "Specificity"),
            ("accuracy", "Accuracy"),
        )
    ]
    margins = f"by margins of {found['margin']:g} in AUC and {found['margin_sensitivity']:g} in sensitivity"
    verdict = "It is not worse" if found["non_inferior"] else "It may be worse"
    return [
        "",
        f"### Beside version {found['version']}",
        "",
        f"On {found['films']} films that both read; this version less the other. {verdict}, {margins}.",
        "",
        *_table(("Measure", "Difference (95 % interval)"), rows),
    ]


def _subgroups(report: Mapping[str, Any]) -> Lines:
    rows = [
        (name, str(group["n"]), *(_state(group[key], share) for key, _, share in OF_SUBGROUPS))
        for name, group in report["subgroups"].items()
    ]
    table = _table(("Subgroup", "Films", *(name for _, name, _ in OF_SUBGROUPS)), rows) if rows else [text.NO_SUBGROUPS]
    return ["## Subgroups [36, 37]", "", text.SUBGROUPS, "", *table]


def _refusals(report: Mapping[str, Any], metadata: Mapping[str, Any]) -> Lines:
    rows = [(code, str(count)) for code, count in report["refusals"].items()]
    whole = report["intention_to_read"]
    gate = metadata.get("gate", {})
    method = gate.get("method") if isinstance(gate, Mapping) else None
    return [
        "## Films that are not read [8, 12, 35]",
        "",
        text.GATE,
        f"Test for films unlike the training films: {method or 'none in this version'}.",
        "",
        f"Refused here: {report['refused']} of {report['films']} films. Not opened: {report['errors']}.",
        "",
        *(_table(("Code", "Films"), rows) if rows else ["No film was refused."]),
        "",
        *_table(
            ("If every film without an answer counts as wrong", "Value (95 % interval)"),
            [(name.capitalize(), _state(whole[name], share=True)) for name in ("accuracy", "sensitivity", "specificity")],
        ),
    ]


def _robustness(metadata: Mapping[str, Any]) -> Lines:
    found = metadata.get("robustness", {})
    rows = [(name, _state(value, share=True)) for name, value in found.items() if isinstance(value, Mapping)]
    table = _table(("Change to the film", "Films whose label stays (95 % interval)"), rows) if rows else [text.NO_ROBUSTNESS]
    return [
        "## Robustness [30]",
        "",
        *([text.ROBUSTNESS, ""] if rows else []),
        *table,
        *_opacities(metadata.get("drawn_opacities", {})),
    ]


def _opacities(given: Mapping[str, Any]) -> Lines:
    if not given.get("films"):
        return []
    found = _state(given["found"], share=True)
    return ["", f"{text.OPACITIES} Of {given['films']} such films, {found} are then called pneumonia. {text.DRAWN}"]


def _cite(metadata: Mapping[str, Any]) -> Lines:
    version, year = metadata.get("version", "?"), str(metadata.get("created_at", ""))[:4]
    return ["## How to cite", "", f"Pneumo Portal, model version {version}{f' ({year})' if year else ''}. {text.CITE}"]


def _fixed(title: str, *sentences: Sequence[str]) -> Lines:
    return [f"## {title}", "", *(line for some in sentences for line in _bullets(some))]


def _bullets(sentences: Sequence[str]) -> Lines:
    return [f"- {sentence}" for sentence in sentences]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Lines:
    """Numbers stand at the right, all but the first column."""
    rule = ["---", *["---:"] * (len(header) - 1)] if header[0] or len(header) > 2 else ["---"] * len(header)
    return [_row(header), _row(rule), *(_row(row) for row in rows)]


def _row(cells: Sequence[str]) -> str:
    # A file's own text must not end a cell or begin another line
    return f"| {' | '.join(str(cell).replace('|', '/').replace(chr(10), ' ') for cell in cells)} |"


def _state(measure: Mapping[str, Any], share: bool, signed: bool = False) -> str:
    """`0.981 (0.972 to 0.989)`; a share in percent; `not known` where there is none."""
    bounds = [measure.get(key) for key in ("value", "low", "high")]
    if bounds[0] is None:
        return "not known"
    form = "{:.1f}" if share else "{:+.3f}" if signed else "{:.3f}"
    said = [form.format(100 * bound if share else bound) for bound in bounds if bound is not None]
    unit = " %" if share else ""
    return f"{said[0]}{unit} ({said[1]} to {said[2]})" if len(said) == 3 else f"{said[0]}{unit}"


def _moment(stamp: str | None) -> str:
    """An ISO 8601 stamp as it is read: `3 February 2026, 04:05 UTC`."""
    if not stamp:
        return text.NOT_STATED
    at = datetime.fromisoformat(stamp).astimezone(UTC)
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def _epochs(counts: Sequence[int]) -> str:
    if len(set(counts)) < 2:
        return f"{counts[0]} epochs{' each' if len(counts) > 1 else ''}" if counts else ""
    return f"{', '.join(map(str, counts[:-1]))} and {counts[-1]} epochs"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)


def _of_each(recipes: Sequence[Mapping[str, Any]], key: str) -> str:
    """What the networks' recipes say: once where they agree, else one after the other; `none` where one has no such setting."""
    said = [_plain(recipe[key]) if key in recipe else "none" for recipe in recipes]
    return said[0] if len(set(said)) == 1 else "; ".join(said)


def _preprocessing(given: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {value}" for name, value in given.items()) or text.NOT_STATED


def _names(counted: Mapping[str, int] | None) -> str:
    return "; ".join(f"{name} ({count} films)" for name, count in counted.items()) if counted else text.NOT_STATED
