"""The gate as it is fitted and served: on drawn films, with simple features in the network's place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mlmodel.codes import OVERRIDABLE
from mlmodel.gate import fit as fit_module
from mlmodel.gate.drawing import DRAWINGS
from mlmodel.gate.fit import FittedGate, fit_gate
from mlmodel.gate.judge import GATE, Gate, load_gate
from mlmodel.gate.negatives import Material, make_negatives, vary_films
from mlmodel.types import ArtifactCorruptError, ArtifactIncompatibleError
from tests.mlmodel.gate.material import chest_films, slices

SIZE = 64


def features_of(films: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean and spread of greys and of edges in 4 x 4 parts, in the network's place."""
    grey = films[..., 0].astype(np.float32) / 255
    across, down = np.abs(np.diff(grey, axis=2, append=0)), np.abs(np.diff(grey, axis=1, append=0))
    parts = [plane.reshape(len(films), 4, SIZE // 4, 4, SIZE // 4) for plane in (grey, across, down, (across - down) ** 2)]
    return np.concatenate([part.mean(axis=(2, 4)).reshape(len(films), -1) for part in parts], axis=1)


def judge(gate: Gate, films: NDArray[np.uint8]) -> list[str | None]:
    return [verdict.code for verdict in gate.judge_films(films, features_of(films[..., None]))]


@pytest.fixture(scope="module")
def fitted() -> FittedGate:
    test = chest_films(10, SIZE, first=900)[..., None]
    return fit_gate(
        features_of=features_of,
        train=chest_films(60, SIZE)[..., None],
        calibrate=chest_films(30, SIZE, first=500),
        test=(test, features_of(test)),
        seed=1,
    )


@pytest.fixture
def artifact(fitted: FittedGate, tmp_path: Path) -> Path:
    (tmp_path / GATE).write_bytes(fitted.files[GATE])
    return tmp_path


@pytest.fixture
def gate(fitted: FittedGate, artifact: Path) -> Gate:
    loaded = load_gate(artifact, {"gate": fitted.facts})
    assert loaded is not None
    return loaded


def test_films_that_it_never_saw_pass_also_varied(gate: Gate) -> None:
    films = chest_films(40, SIZE, first=900)
    assert judge(gate, films).count(None) >= 39
    assert judge(gate, vary_films(films, seed=7)).count(None) >= 37


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("inverted", "INVERTED"),
        ("turned by a quarter", "ROTATED"),
        ("upside down", "ROTATED"),
        ("lateral chest", "LATERAL_VIEW"),
        ("hand", "NOT_CHEST_XRAY"),
        ("skull", "NOT_CHEST_XRAY"),
        ("screen", "NOT_CHEST_XRAY"),
    ],
)
def test_what_is_no_upright_frontal_film_is_refused_by_its_name(gate: Gate, kind: str, code: str) -> None:
    fresh = next(one for one in make_negatives(chest_films(20, SIZE, first=700), per_kind=20, seed=9) if one.kind == kind)
    codes = judge(gate, fresh.films)
    assert codes.count(None) <= 1
    assert codes.count(code) >= 15


def test_real_slices_are_refused(gate: Gate) -> None:
    films = np.stack([np.asarray(picture.resize((SIZE, SIZE))) for picture in slices()])
    assert None not in judge(gate, films)


@pytest.mark.parametrize("kind", ["hand", "slice", "text"])
def test_a_kind_that_it_was_never_shown_is_refused_all_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*args: Any, **options: Any) -> list[Material]:
        return [one for one in make_negatives(*args, **options) if one.kind != kind]

    monkeypatch.setattr(fit_module, "make_negatives", without)
    test = chest_films(4, SIZE, first=900)[..., None]
    train, calibrate = chest_films(60, SIZE), chest_films(30, SIZE, first=500)
    without_it = fit_gate(features_of=features_of, train=train, calibrate=calibrate, test=(test, features_of(test)))
    generator = np.random.default_rng(4)
    drawn = np.stack([np.rint(DRAWINGS[kind](SIZE, generator) * 255).astype(np.uint8) for _ in range(12)])
    assert None not in judge(without_it.gate, drawn)


def test_outliers_are_refused_as_such_and_test_objects_pass() -> None:
    films, test = chest_films(60, SIZE), chest_films(4, SIZE, first=900)[..., None]
    wide = np.stack([np.asarray(Image.fromarray(film).resize((SIZE, 40))) for film in films])
    others = np.full_like(films, 30)
    others[:, 12:52] = wide  # the same chests, in a letter box
    informed = fit_gate(
        features_of=features_of,
        train=films,
        calibrate=chest_films(30, SIZE, first=500),
        test=(test, features_of(test)),
        outliers=others[:30],
        test_objects=vary_films(films[:10], seed=1),
    )
    codes = judge(informed.gate, others[30:])
    assert codes.count("OUT_OF_DISTRIBUTION") >= 28
    assert informed.facts["fitted_on"]["outliers"] == 30
    assert informed.facts["fitted_on"]["test_objects"] == 10


def test_the_facts_say_how_it_was_made_and_measured(fitted: FittedGate) -> None:
    facts, files = fitted.facts, fitted.files
    assert facts["codes"][0] == ""
    assert set(facts["codes"][1:]) <= OVERRIDABLE
    assert facts["tested_on"]["films"] == 10
    assert facts["calibrated_on"]["refused"] <= 0.02
    assert facts["limits"]["flag_distance"] < facts["limits"]["refuse_distance"]
    assert len(files[GATE]) < 2_000_000


def test_a_film_between_the_two_limits_is_marked(gate: Gate) -> None:
    films = chest_films(2, SIZE, first=900)
    low = {**dict.fromkeys(gate.limits, 1e9), "flag_distance": -1.0}
    marked = Gate(**{**{name: getattr(gate, name) for name in gate.__slots__}, "limits": low})
    assert [(one.code, one.is_suspect) for one in marked.judge_films(films, features_of(films[..., None]))] == [
        (None, True)
    ] * 2


def test_an_empty_part_is_an_error() -> None:
    nothing = np.zeros((0, SIZE, SIZE), np.uint8)
    with pytest.raises(ValueError, match="calibrate"):
        fit_gate(features_of=features_of, train=chest_films(4), calibrate=nothing, test=(nothing, np.zeros((0, 4), np.float32)))


def test_an_artifact_without_a_gate_has_none(artifact: Path) -> None:
    assert load_gate(artifact, {}) is None


def test_a_damaged_gate_is_corrupt_and_one_of_another_shape_incompatible(artifact: Path, fitted: FittedGate) -> None:
    facts = fitted.facts
    for changed in ({**facts, "codes": ["", "NOT_CHEST_XRAY"]}, {**facts, "limits": {}}, {"codes": [""]}):
        with pytest.raises(ArtifactIncompatibleError):
            load_gate(artifact, {"gate": changed})
    for content in (b"", b"PK\x03\x04 no archive", fitted.files[GATE][:-400]):
        (artifact / GATE).write_bytes(content)
        with pytest.raises(ArtifactCorruptError):
            load_gate(artifact, {"gate": facts})
