"""`rejudge_model`: new documents for a version that stays what it is."""

import csv
import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from mlmodel.artifact import read_metadata, verify_artifact
from mlmodel.evaluation.robustness import CHANGES
from mlmodel.network import NetworkConfig
from mlmodel.training.export import export_artifact
from tests.mlmodel.conftest import FACTS
from tests.mlmodel.films import jpeg
from tests.mlmodel.gate.material import chest_films

pytestmark = pytest.mark.model
DOCUMENTS = {
    "evaluation.json",
    "predictions.csv",
    "card.md",
    "roc.png",
    "precision_recall.png",
    "reliability.png",
    "confusion.png",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Eight drawn films and, last, a blank one."""
    folder = tmp_path / "data"
    films = [*chest_films(8, 128), np.full((128, 128), 9, np.uint8)]
    for number, film in enumerate(films):
        label = "PNEUMONIA" if number % 2 else "NORMAL"
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / label / f"person{number}_virus_1.jpeg").write_bytes(jpeg(film))
    return folder


@pytest.fixture
def version(data: Path, tmp_path: Path, tiny_network: Any, tiny_config: NetworkConfig) -> Path:
    """A version that was judged on all but the first film, in a time when the gate had no say."""
    from mlmodel.artifact import hash_file

    rows = ["file,sha256,label,patient,group,part"]
    for number, path in enumerate(sorted(data.rglob("*.jpeg"), key=lambda path: path.name)):
        name, part = path.relative_to(data).as_posix(), "test" if number else "train"
        rows.append(f"{name},{hash_file(path)},{path.parent.name},{path.name.split('_')[0]},{number},{part}")
    files = {"split.csv": "\n".join(rows).encode(), "card.md": b"An old card.", "training.png": b"not drawn anew"}
    return export_artifact(tmp_path / "old" / "7.1.0", tiny_network, tiny_config, FACTS, files)


def rejudge(version: Path, data: Path, out: Path) -> dict[str, Any]:
    output = StringIO()
    call_command("rejudge_model", str(version), "--data", str(data), "--out", str(out), "--json", "--quiet", stdout=output)
    return json.loads(output.getvalue())


def test_the_documents_are_new_and_the_rest_is_the_same_byte_for_byte(version: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "7.1.0"
    metrics = rejudge(version, data, out)["metrics"]
    before, after = read_metadata(version), verify_artifact(out)
    changed = {name for name, digest in after["files"].items() if before["files"].get(name) != digest}
    assert changed == DOCUMENTS
    assert after["metrics"] == metrics
    anew = dict.fromkeys(("files", "metrics", "robustness", "drawn_opacities"))
    assert {**before, **anew} == {**after, **anew}
    assert set(after["robustness"]) == set(CHANGES)
    assert after["drawn_opacities"]["films"] <= 4


def test_what_is_declined_today_is_counted_in_evaluation_and_card(version: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "7.1.0"
    metrics = rejudge(version, data, out)["metrics"]["test"]
    assert (metrics["films"], metrics["n"], metrics["refused"]) == (8, 7, 1)
    assert json.loads((out / "evaluation.json").read_text())["refusals"] == {"NOT_CHEST_XRAY": 1}
    card = (out / "card.md").read_text()
    assert "Refused here: 1 of 8 films" in card
    assert "training.png" in card
    with (out / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows if row["outcome"] == "refusal"] == ["NORMAL/person8_virus_1.jpeg"]


def test_another_film_under_the_same_name_is_named_and_nothing_is_written(version: Path, data: Path, tmp_path: Path) -> None:
    path = data / "PNEUMONIA" / "person3_virus_1.jpeg"
    path.write_bytes(jpeg(np.asarray(Image.open(path).rotate(90))))
    with pytest.raises(CommandError, match=r"person3_virus_1\.jpeg is not the film that"):
        rejudge(version, data, tmp_path / "new" / "7.1.0")
    assert not (tmp_path / "new").exists()


def test_a_copy_has_the_name_of_its_version_and_lies_where_nothing_lay(version: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"version 7\.1\.0 has its name"):
        rejudge(version, data, tmp_path / "new" / "7.2.0")
    with pytest.raises(CommandError, match="exists already"):
        rejudge(version, data, version)
    verify_artifact(version)


def test_a_damaged_version_is_not_rejudged(version: Path, data: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(version, tmp_path / "broken" / "7.1.0")
    (broken / "weights.npz").write_bytes(b"")
    with pytest.raises(CommandError, match="another SHA-256"):
        rejudge(broken, data, tmp_path / "new" / "7.1.0")
