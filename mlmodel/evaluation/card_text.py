"""The model card's fixed sentences. They hold no number that a report could contradict."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NOT_STATED = "not stated"
SUMMARY = (
    "A deep neural network that reads one frontal chest radiograph of a child and states the probability that it shows "
    "features of pneumonia [1]."
)
EDITION = (
    "Numbers in square brackets are items of the CLAIM checklist, 2024 update (Tejani et al., Radiology: Artificial "
    "Intelligence 2024). Investigational software: not a medical device, and not for diagnosis on its own."
)
INTENDED = (
    "For a clinician who reads the film in person; the answer is preliminary until that clinician signs.",
    "One film at a time, without history, earlier films or laboratory values.",
)
NOT_INTENDED = (
    "Adults, infants below the stated age and adolescents. A film whose file states such an age is refused.",
    "Lateral films, other parts of the body, CT, MR, ultrasound, photographs of a screen or light box.",
    "Ruling pneumonia out, choosing an antibiotic, or telling bacterial from viral disease.",
    "Findings other than pneumonia: effusion, pneumothorax, tuberculosis, fractures, tubes and lines are not looked for.",
    "Reading without a clinician, or deciding who waits.",
)
DATA = (
    "Retrospective films of routine care; no patient was examined for this work [5].",
    "All labelled films at hand are used, none was chosen by hand; one content under two labels stops the training [8, 10].",
    "The label is a reading of the film itself. There is no follow-up, laboratory result or CT behind it [14, 15].",
    "Partitions are by patient. Films that are nearly the same are kept together with all films of their patients [19, 20].",
)
NO_PARTITIONS = "This version does not record its partitions."
NETWORK = (
    "A residual network (He et al., CVPR 2016) with grey input and one output. The film and its mirror image are read together "
    "and averaged."
)
SELECTION = (
    "the weights of the epoch with the highest AUC on the validation part were kept. The test part had no say in "
    "weights, calibration or threshold."
)
CALIBRATION = "It was fitted on patients that neither training nor the choice of the epoch had seen."
UNCALIBRATED = "The stated probability is what training left, and may be too sure of itself."
CHOICE = (
    "Scores are of patients that a method was not fitted to, lower is better. Kept is the simplest calibration whose "
    "likelihood lies within one standard error of the best."
)
NOT_COMPARED = "Methods of calibration were not compared for this version."
PREVALENCE = "Where pneumonia is rarer the true share is lower than the stated one, and where it is more common, higher."
METHODS = {
    "none": "no calibration",
    "temperature": "temperature scaling",
    "platt": "Platt scaling",
    "beta": "beta calibration",
    "isotonic": "isotonic regression",
}
NAMED_ALIKE = (
    "their patients have the names of some whose films were used to make this version. If they are the same people, the "
    "numbers flatter it."
)
NO_SUBGROUPS = "The films' names and manifest tell of no subgroup."
SUBGROUPS = (
    "Films of one cause of pneumonia are judged beside all normal films. Small groups have wide intervals: no difference seen "
    "is not the same as no difference."
)
GATE = (
    "The model declines films that it was not made for. A declined film has no probability: it is counted here and left out of "
    "the table above."
)
EXPLANATION = (
    "The coloured map is Grad-CAM (Selvaraju et al., ICCV 2017), from the same calculation as the probability.",
    "It shows which regions raised the answer. It does not outline a lesion, and its edges are coarse.",
    "A map over the right region does not prove a right answer, and heat outside the lungs is a reason to distrust it.",
    "Whether the map helps readers was not studied.",
)
NO_ROBUSTNESS = "Not done for this version."
ROBUSTNESS = "Changed films of the test part, as the network receives them; whatever the gate would say."
OPACITIES = (
    "A film can be normal but for an opacity in one lung. Such opacities, some of them faint, were drawn into normal test "
    "films that the model calls normal."
)
DRAWN = (
    "A network may have been trained with such drawings in other films (see the share under Network and training). How many "
    "real ones are found is not known."
)
LIMITS = (
    "A single opacity in a film that looks normal otherwise can be missed.",
    "Where pneumonia is rarer than among these films, as in most practices, the predictive values do not carry over.",
    "There is no external test on films of another hospital unless a report beside this card says so [33].",
    "Errors were not reviewed by a radiologist film by film [39].",
)
ETHICS = (
    "The portal never sends a film anywhere.",
    "A missed pneumonia can harm a child; a false alarm can mean needless antibiotics.",
    "The operating point weighs one against the other, and the hospital should know and accept how.",
    "Readers tend to agree with a machine. The result is shown with its threshold and limits, and a named clinician signs.",
)
NOT_COVERED = (
    "Abstract, aims and hypotheses [2, 4, 6]: not applicable to a card.",
    "Missing data [12]: films that cannot be read are counted above; nothing was filled in.",
    "Intended sample size [21]: not done; all films at hand were used.",
    "Testing on external data [33] and failure analysis [39]: not done, unless named above.",
    "Registration and protocol [34, 42]: none.",
    "Funding [44]: not stated.",
)


@dataclass(frozen=True, slots=True)
class OfSource:
    """What a card adds to the sentences above about films of one kind of source."""

    limits: tuple[str, ...]
    ethics: tuple[str, ...]
    not_covered: tuple[str, ...]


PUBLISHED = "Kermany et al."  # how the source of the published films begins
OF_PUBLISHED = OfSource(
    limits=(
        "The published training films come from one hospital and one age group. Other machines and populations are untested.",
        "Their labels were given by reading, with less control than those of the official test films.",
        "Their sex, exact age and device are not known: no fairness across them can be claimed.",
        "Recipes were compared on all of them, the test part included: its figures may be a little too good.",
    ),
    ethics=("The published films bear no names.",),
    not_covered=(
        "De-identification and image acquisition [11, 13]: done by the publisher of the films; details are not known.",
        "Annotation of the test films and variability between readers [17, 18]: not known for the published films.",
        "Availability [43]: code and weights lie in the project's repository; the films are with their publishers.",
    ),
)
OF_OTHERS = OfSource(
    limits=("From which machines and patients the hospital's own films come, and how they were chosen, is for it to say.",),
    ethics=("Films of the hospital itself were used as its rules on such use allow.",),
    not_covered=(
        "De-identification and image acquisition [11, 13] of films that are not published: the hospital's own; not described.",
        "Annotation and variability between readers [17, 18] of these: one signed reading each, if they are the portal's.",
        "Availability [43]: code as the project's repository; films and weights are the hospital's.",
    ),
)


def of_data(data: Mapping[str, Any]) -> tuple[OfSource, ...]:
    """What to add for the films of these `data`, as the metadata describe them: a film without a source is no published one."""
    published = sum(count for source, count in data.get("sources", {}).items() if source.startswith(PUBLISHED))
    films = sum(part["films"] for part in data.get("parts", {}).values())
    return (*([OF_PUBLISHED] if published else []), *([OF_OTHERS] if not published or published < films else []))


CITE = "Please cite the sources of the films named under Data as well."


def percent(share: float) -> str:
    """A share that somebody has stated: `62 %`."""
    return f"{100 * share:.4g} %"


def describe_rule(point: Mapping[str, Any]) -> str:
    """In words, how the threshold was chosen."""
    rule = point.get("rule", "sensitivity")
    if rule == "cost":
        return (
            f"This costs least where a missed pneumonia weighs {point['cost_ratio']:g} times a false alarm, at a prevalence of "
            f"{percent(point['prevalence'])}."
        )
    if rule == "youden":
        return "There the sum of sensitivity and specificity was greatest on the calibration part."
    if rule == "accuracy":
        return "There most films of the calibration part were called rightly."
    target = point.get("target_sensitivity")
    if target is None:
        return ""
    return f"It was chosen to find {percent(target)} of the films with pneumonia on patients that training had not seen."
