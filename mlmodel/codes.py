"""Every code that an image can be turned away with or marked by, and the one sentence that says it to a person."""

from mlmodel.types import Refusal, RejectedImageError

MESSAGES: dict[str, str] = {
    # Turned away at the gate, before anything is stored
    "EMPTY_FILE": "The file is empty. Export or scan the film again.",
    "TOO_LARGE": "The file is larger than this portal accepts.",
    "UNSUPPORTED_FORMAT": "This is not a JPEG, PNG or DICOM file, whatever its name says.",
    "TOO_MANY_PIXELS": "The picture's dimensions are larger than any chest film. Export it at its original size.",
    "ANIMATED": "The picture is animated. Upload a single still film.",
    "MULTI_FRAME": "The file holds several frames. Upload a single film.",
    "UNSAFE_PREAMBLE": "The file begins with a program's signature and is refused for safety. Export it again from the PACS.",
    "NO_PIXELS": "The DICOM file holds no image.",
    "MALFORMED_DICOM": "The DICOM file's header is damaged or contradicts itself. Export it again from the PACS.",
    "TRANSFER_SYNTAX_NOT_SUPPORTED": "The DICOM file's compression is not supported. Export it uncompressed or as JPEG.",
    "MODALITY_NOT_SUPPORTED": "The DICOM file is not a radiograph (CR or DX).",
    # Turned away when the film is read: the case stays, with the code
    "UNREADABLE": "The film's pixels cannot be read: the file is damaged or cut short.",
    "TOO_SMALL": "The picture is too small to be read reliably.",
    "COLOUR_PHOTO": "This is a colour picture, not a radiograph.",
    "LATERAL_VIEW": "This is a lateral view. The model reads frontal films (AP or PA) only.",
    "AGE_OUT_OF_RANGE": "The patient's age is outside the range that the model was made for.",
    "NOT_CHEST_XRAY": "This is not a chest X-ray.",
    "INVERTED": "The film's grey values are inverted: bones are dark and air is bright. Export it with its usual polarity.",
    "ROTATED": "The film lies on its side or upside down. Turn it upright and upload it again.",
    "OUT_OF_DISTRIBUTION": "The film is unlike those the model was trained on.",
}

# With a finding: the film was read, and the reader is warned
FLAGS: dict[str, str] = {
    "OUT_OF_DISTRIBUTION": "The film is unlike most of those the model was trained on. Do not rely on the result.",
    "HEAT_OUTSIDE_LUNGS": "Most of what spoke for pneumonia lies outside the lungs. Do not rely on the result.",
}

# What a radiologist may set aside: judgements about the film. That a film cannot be decoded or is too small is no judgement.
OVERRIDABLE = frozenset(
    {"COLOUR_PHOTO", "LATERAL_VIEW", "AGE_OUT_OF_RANGE", "NOT_CHEST_XRAY", "INVERTED", "ROTATED", "OUT_OF_DISTRIBUTION"}
)


def describe_flag(code: str) -> str:
    """The sentence for a code that a finding is marked with: a warning, or a refusal that a radiologist has set aside."""
    return FLAGS.get(code) or f"Set aside by a radiologist: {MESSAGES.get(code, code)}"


def rejection(code: str) -> RejectedImageError:
    """The error to raise for a code."""
    return RejectedImageError(code, MESSAGES[code])


def refusal(code: str) -> Refusal:
    """The outcome to return for a code."""
    return Refusal(code, MESSAGES[code])
