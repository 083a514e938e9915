"""How to train, as a readable JSON file: network, augmentation, loss, schedule."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

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
    """`schedule` is `cosine` (after a linear warm-up) or `exponential` (staircase, every `decay_steps` by `decay_rate`)."""

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
    averaging: float = 0.99
    class_weights: bool = True
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "mixed_bfloat16"
    patience: int = 4
    sensitivity: float = 0.95
    seed: int = 20

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not 0 <= self.averaging < 1 or not 0 < self.sensitivity <= 1:
            raise ValueError(
                "epochs and batch_size are at least 1, averaging in [0, 1), sensitivity in (0, 1]. "
                f"Received: {self.epochs}, {self.batch_size}, {self.averaging}, {self.sensitivity}"
            )
        if self.optimizer not in {"adamw", "adam"} or self.schedule not in {"cosine", "exponential"}:
            raise ValueError(f"Unknown optimizer or schedule. Received: {self.optimizer!r} and {self.schedule!r}")

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
    """The inverse of `Recipe.as_dict`. Raises `ValueError` for an unknown setting."""
    values = dict(values)
    network = NetworkConfig.from_dict(values.pop("network", {}))
    augmentation = values.pop("augmentation", {})
    for kind, given in ((Recipe, values), (AugmentationConfig, augmentation)):
        if unknown := set(given) - {item.name for item in fields(kind)}:
            raise ValueError(f"There is no setting {', '.join(sorted(unknown))}.")
    return Recipe(network=network, augmentation=AugmentationConfig(**augmentation), **values)
