"""The gate's figures: on drawn films, with simple features in the network's place."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from numpy.typing import NDArray
from PIL import Image
from pytest_django import Settings

from mlmodel.artifact import hash_file
from mlmodel.engines import Outputs
from mlmodel.gate import measuring
from mlmodel.gate.measuring import LEFT_OUT, Samples, measure_gate
from mlmodel.gate.methods import METHODS
from mlmodel.network import NetworkConfig
from mlmodel.training.export import export_artifact
from tests.mlmodel.conftest import FACTS
from tests.mlmodel.films import jpeg
from tests.mlmodel.gate.material import chest_films, slices
from tests.mlmodel.gate.test_fit import SIZE, features_of

KINDS = ("inverted", "hand")


def read(films: NDArray[np.uint8]) -> Outputs:
    features = features_of(films)
    return Outputs(features[:, 0] * 10, np.zeros((len(films), 2, 2), np.float32), features)


def letter_boxed(films: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same chests between bars."""
    boxed = np.full_like(films, 30)
    boxed[:, 12:52] = np.stack([np.asarray(Image.fromarray(film).resize((SIZE, 40))) for film in films])
    return boxed


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(measuring, "LEFT_OUT", {kind: (kind,) for kind in KINDS})
        patched.setattr(measuring, "PER_KIND", 15)
        return measure_gate(
            read,
            Samples(
                train=chest_films(60, SIZE),
                truth=(np.arange(60) % 2).astype(np.float32),
                calibrate=chest_films(30, SIZE, first=500),
                test=chest_films(20, SIZE, first=900),
                outliers=letter_boxed(chest_films(40, SIZE, first=200)),
                patients=[f"patient{index // 2}" for index in range(40)],
                pictures=np.stack([np.asarray(picture.resize((SIZE, SIZE))) for picture in slices()]),
                test_objects=chest_films(4, SIZE, first=300),
            ),
            per_kind=6,
            seed=1,
        )


def test_films_to_be_read_pass_and_what_is_none_does_not(measured: dict[str, Any]) -> None:
    groups = measured["groups"]
    assert groups["held out"]["refused"] <= 0.05
    assert groups["pictures"]["refused"] == 1
    assert groups["pictures"]["films"] == 5
    assert all(found["refused_or_marked"] >= found["refused"] for found in groups.values())


def test_outliers_are_judged_on_other_patients_than_were_shown(measured: dict[str, Any]) -> None:
    groups = measured["groups"]
    assert (measured["fitted_on"]["outliers"], groups["outliers"]["films"]) == (20, 20)
    assert groups["outliers"]["codes"].get("OUT_OF_DISTRIBUTION", 0) >= 18
    assert groups["outliers, where none was shown"]["films"] == 40
    is_shown = measuring._half_of_patients(["a", "a", "b", "b", "c", "c", "d"], seed=3)
    assert len({tuple(is_shown[at : at + 2]) for at in (0, 2, 4)} - {(True, True), (False, False)}) == 0
    assert 0 < is_shown.sum() < 7


def test_a_kind_that_was_left_out_is_judged_by_a_gate_that_never_saw_it(measured: dict[str, Any]) -> None:
    assert set(measured["left_out"]) == set(KINDS)
    inverted = measured["left_out"]["inverted"]
    assert inverted["films"] == 6
    assert "INVERTED" not in inverted["codes"]
    assert measured["shown"]["inverted"]["codes"].get("INVERTED", 0) >= 5
    assert set(LEFT_OUT) == {*measured["shown"], "every drawing", "every spoilt film"}


def test_every_published_method_is_rated_on_the_same_groups(measured: dict[str, Any]) -> None:
    assert set(measured["methods"]) == {*METHODS, "head with negatives"}
    for found in measured["methods"].values():
        assert set(found["auroc"]) == {"pictures", "outliers", "spoilt and drawn"}
        assert all(0 <= value <= 1 for value in (*found["auroc"].values(), *found["refused"].values()))
    assert measured["methods"]["Mahalanobis"]["auroc"]["pictures"] >= 0.99


def test_a_graph_without_features_has_no_gate_to_measure() -> None:
    films = chest_films(4, SIZE)
    samples = Samples(train=films, truth=np.array([0, 1, 0, 1], np.float32), calibrate=films, test=films)

    def tell_nothing(planes: NDArray[np.uint8]) -> Outputs:
        return Outputs(np.zeros(len(planes), np.float32), np.zeros((len(planes), 2, 2), np.float32), None)

    with pytest.raises(ValueError, match="no features"):
        measure_gate(tell_nothing, samples)


@pytest.mark.model
@pytest.mark.django_db
def test_the_command_judges_a_version_on_the_parts_of_its_own_split(
    tmp_path: Path, tiny_network: Any, tiny_config: NetworkConfig, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, rows = tmp_path / "data", ["file,sha256,label,patient,group,part"]
    for number, film in enumerate(chest_films(36, 128)):
        label, part = ("NORMAL", "PNEUMONIA")[number % 2], ("train", "calibrate", "test")[number // 12]
        path = data / label / f"person{number}_virus_1.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(film))
        rows.append(f"{label}/{path.name},{hash_file(path)},{label},person{number},{number},{part}")
    files = {"split.csv": "\n".join(rows).encode()}
    export_artifact(tmp_path / "versions" / "7.1.0", tiny_network, tiny_config, FACTS, files)
    settings.MODEL_DIR, settings.MODEL_ENGINE = tmp_path / "versions", "openvino"
    monkeypatch.setattr(measuring, "LEFT_OUT", {"hand": ("hand",)})
    monkeypatch.setattr(measuring, "PER_KIND", 3)
    given = ["--data", str(data), "--version", "7.1.0", "--per-kind", "2", "--quiet"]

    output = StringIO()
    call_command("evaluate_gate", *given, "--films", "10", "--json", stdout=output)
    measured = json.loads(output.getvalue())
    assert measured["model_version"] == "7.1.0"
    assert (measured["fitted_on"]["films"], measured["fitted_on"]["calibrated_on"]) == (20, 24)
    assert measured["groups"]["held out"]["films"] == 12

    output = StringIO()
    call_command("evaluate_gate", *given, "--pictures", str(data / "NORMAL"), stdout=output)
    assert "Mahalanobis" in output.getvalue()
    assert "held out, varied" in output.getvalue()

    with pytest.raises(CommandError, match="holds no film"):
        call_command("evaluate_gate", *given, "--outliers", str(tmp_path / "nowhere"))
    (data / "NORMAL" / "person24_virus_1.jpeg").unlink()
    with pytest.raises(CommandError, match=r"person24_virus_1\.jpeg cannot be read"):
        call_command("evaluate_gate", *given)
