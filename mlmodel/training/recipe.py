"""How to train, as a readable JSON file: network, augmentation, loss, schedule."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from mlmodel.network import NetworkConfig

CONFIGS_DIR = Path(__file__).resolve().parent.parent / "configs"


@dataclass(frozen=True, slots=True)
class AugmentationConfig:
    """The widest change of each kind: degrees, shares of the film's side, shares of the grey range."""

    rotation: float = 10.0
    shift: float = 0.06
    zoom: float = 0.12
    stretch: float = 0.06
    flip: bool = True
    brightness: float = 0.12
    contrast: float = 0.25
    gamma: float = 0.3
    noise: float = 0.02
    blur: float = 0.2


@dataclass(frozen=True, slots=True)
class Recipe:
    """`schedule` is `cosine` (after a linear warm-up) or `exponential` (staircase, every `decay_steps` by `decay_rate`).
    `disguise` is the share of each batch that is taken from the copies that `reoutline`, `retone` and `resharpen` make,
    `opacify` that of its normal films that get an opacity and count as pneumonia, half of them drawn into disguised films."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    epochs: int = 9
    batch_size: int = 32
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = 3e-4
    schedule: Literal["cosine", "exponential"] = "cosine"
    decay_steps: int = 100_000
    decay_rate: float = 0.96
    weight_decay: float = 0.02
    label_smoothing: float = 0.0
    mixup: float = 0.0
    reoutline: float = 0.0
    retone: float = 0.0
    resharpen: float = 0.0
    disguise: float = 0.5
    opacify: float = 0.0
    averaging: float = 0.99
    class_weights: bool = True
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "mixed_bfloat16"
    patience: int = 4
    sensitivity: float = 0.95
    seed: int = 20

    def __post_init__(self) -> None:
        limits = {
            "epochs, batch_size, patience and decay_steps are at least 1": min(
                self.epochs, self.batch_size, self.patience, self.decay_steps
            )
            >= 1,
            "learning_rate is above 0 and below 10": 0 < self.learning_rate < 10,
            "averaging and label_smoothing are in [0, 1)": 0 <= self.averaging < 1 and 0 <= self.label_smoothing < 1,
            "decay_rate and sensitivity are in (0, 1]": 0 < self.decay_rate <= 1 and 0 < self.sensitivity <= 1,
            "weight_decay and mixup are in [0, 10)": 0 <= self.weight_decay < 10 and 0 <= self.mixup < 10,
            "retone, resharpen, disguise and opacify are in [0, 1]": all(
                0 <= share <= 1 for share in (self.retone, self.resharpen, self.disguise, self.opacify)
            ),
            "reoutline is in [0, 1)": 0 <= self.reoutline < 1,
            "seed is in [0, 2^32)": 0 <= self.seed < 2**32,
        }
        for rule, is_kept in limits.items():
            if not is_kept:
                values = {name: getattr(self, name) for name in re.findall(r"[a-z]+_?[a-z]+", rule) if hasattr(self, name)}
                raise ValueError(f"{rule}. Received: {values}")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_recipe(name_or_path: str) -> Recipe:
    """`default`, `reference`, or the path of a JSON file. Raises `ValueError` for one that is missing or says what there is
    not."""
    path = Path(name_or_path)
    if not path.suffix:
        path = CONFIGS_DIR / f"{name_or_path}.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"The configuration {path} cannot be read.") from error
    if not isinstance(values, dict):
        raise ValueError(f"The configuration {path} is no JSON object.")  # noqa: TRY004 - bad input, not a bug
    return recipe_from_dict(values)


def recipe_from_dict(values: dict[str, Any]) -> Recipe:
    """The inverse of `Recipe.as_dict`. Raises `ValueError` for a setting that is unknown or of the wrong kind."""
    if "recrop" in values:  # up to 1.1.0, where every copy was cropped towards the other class's outline
        values = {**values, "reoutline": values["recrop"]}
        del values["recrop"]
    for kind, given in (
        (Recipe, values),
        (NetworkConfig, values.get("network")),
        (AugmentationConfig, values.get("augmentation")),
    ):
        unknown = set(given) - {item.name for item in fields(kind)} if isinstance(given, dict) else set()
        if unknown:
            raise ValueError(f"There is no setting {', '.join(sorted(unknown))}.")
    try:
        return TypeAdapter(Recipe).validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{name}: {first['msg']}. Received: {first['input']!r}" if name else first["msg"]) from error


def change_recipe(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with the settings that `changes` names, as in its JSON, in the place of its own. Raises `ValueError`."""
    values = recipe.as_dict()
    for name, value in changes.items():
        mine = values.get(name)
        values[name] = {**mine, **value} if isinstance(mine, dict) and isinstance(value, dict) else value
    return recipe_from_dict(values)
