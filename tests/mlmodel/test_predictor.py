"""A version reads films: one outcome each, in order, whatever its neighbours are."""

import json
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from pytest_django import Settings

from mlmodel.artifact import METADATA
from mlmodel.predictor import Predictor, load_predictor
from mlmodel.types import (
    ArtifactCorruptError,
    ArtifactIncompatibleError,
    ArtifactMissingError,
    DecodedFilm,
    Finding,
    Refusal,
)
from tests.mlmodel.films import dicom, draw_12_bits, draw_uint8, jpeg, png

pytestmark = pytest.mark.model
ROOT = Path(__file__).resolve().parents[2]


def test_every_film_has_its_outcome_and_a_bad_one_harms_no_other(predictor: Predictor) -> None:
    images = [png(draw_uint8(1)), b"", jpeg(draw_uint8(2))[:2000], png(draw_uint8(3)), dicom(draw_12_bits(), PatientAge="062Y")]
    outcomes = predictor.predict(images)
    assert [getattr(one, "code", "read") for one in outcomes] == [
        "read",
        "EMPTY_FILE",
        "UNREADABLE",
        "read",
        "AGE_OUT_OF_RANGE",
    ]
    alone = [predictor.predict([images[index]])[0] for index in (0, 3)]
    for together, single in zip((outcomes[0], outcomes[3]), alone, strict=True):
        assert isinstance(together, Finding)
        assert isinstance(single, Finding)
        assert together.probability == pytest.approx(single.probability, abs=0.01)


def test_a_finding_has_all_that_gives_the_number_meaning(predictor: Predictor) -> None:
    finding = predictor.predict([png(draw_uint8(width=300, height=200))])[0]
    assert isinstance(finding, Finding)
    assert 0 <= finding.probability <= 1
    assert finding.label == ("PNEUMONIA" if finding.probability >= finding.threshold else "NORMAL")
    assert (finding.threshold, finding.model_version) == (0.5, "7.0.0")
    assert Image.open(BytesIO(finding.heatmap_png)).mode == "RGBA"
    assert Image.open(BytesIO(finding.display_png or b"")).size == (300, 200)
    assert min(finding.timings.decode, finding.timings.infer, finding.timings.heatmap) > 0


def test_the_display_is_made_only_where_it_is_asked_for(predictor: Predictor) -> None:
    finding = predictor.predict([png(draw_uint8())], display=False)[0]
    assert isinstance(finding, Finding)
    assert finding.display_png is None


def test_decoding_and_inference_may_be_done_apart(predictor: Predictor) -> None:
    decoded = predictor.decode([png(draw_uint8(1)), b"GIF89a"])
    assert isinstance(decoded[0], DecodedFilm)
    assert decoded[1] == Refusal("UNSUPPORTED_FORMAT", "This is not a JPEG, PNG or DICOM file, whatever its name says.")
    whole = predictor.predict([png(draw_uint8(1))], display=False)[0]
    assert isinstance(whole, Finding)
    assert predictor.infer([decoded[0]])[0].probability == pytest.approx(whole.probability, abs=1e-6)


def test_no_film_gives_no_outcome(predictor: Predictor) -> None:
    assert predictor.predict([]) == []
    assert predictor.infer([]) == []


def test_warming_up_starts_the_children_and_the_engine(predictor: Predictor) -> None:
    predictor.warm_up()
    assert len(predictor._decoders.process_ids()) == 2
    assert predictor.engine.startswith("openvino")


@pytest.fixture
def copy(tiny_artifact: Path, tmp_path: Path, settings: Settings, db: None) -> Path:
    settings.MODEL_DIR = tmp_path
    return Path(shutil.copytree(tiny_artifact, tmp_path / "7.0.1"))


def change(copy: Path, **values: object) -> None:
    path = copy / METADATA
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    "values",
    [
        {
            "preprocessing": {
                "size": 64,
                "geometry": "crop",
                "resampling": "bilinear, antialiased, reducing gap 2",
                "revision": 1,
            }
        },
        {"preprocessing": None},
        {"calibration": {"method": "beta"}},
        {"format_version": 99},
    ],
)
def test_an_artifact_that_this_code_does_not_serve_is_incompatible(copy: Path, values: dict[str, object]) -> None:
    change(copy, **values)
    with pytest.raises(ArtifactIncompatibleError):
        load_predictor("7.0.1")


def test_a_corrupt_artifact_is_refused_before_it_is_opened(copy: Path) -> None:
    with (copy / "serving.bin").open("r+b") as file:
        file.write(b"\xff\xff")
    with pytest.raises(ArtifactCorruptError):
        load_predictor("7.0.1")


def test_an_unknown_version_is_missing(db: None) -> None:
    with pytest.raises(ArtifactMissingError):
        load_predictor("no such version")


def test_a_worker_imports_no_tensorflow_and_no_image_library_and_sends_nothing_home(tiny_artifact: Path) -> None:
    code = (
        "import os, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings';"
        f"os.environ['MODEL_DIR'] = {str(tiny_artifact.parent)!r};"
        "import django; django.setup();"
        "from mlmodel import api; p = api.load('7.0.0'); p.warm_up(); p.close();"
        "print([n for n in ('tensorflow', 'keras', 'PIL', 'pydicom') if n in sys.modules], sys.modules['openvino_telemetry'])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "[] None"), run.stderr
