"""A version reads films: one outcome each, in order, whatever its neighbours are."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pytest_django import Settings
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

from mlmodel import predictor as predictor_module
from mlmodel.artifact import METADATA
from mlmodel.gate.judge import Verdict
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
    assert Image.open(BytesIO(finding.heatmap_png)).has_transparency_data
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
    apart = predictor.infer([decoded[0]])[0]
    assert isinstance(apart, Finding)
    assert apart.probability == pytest.approx(whole.probability, abs=1e-6)


def test_many_films_are_read_in_order_batch_by_batch(predictor: Predictor) -> None:
    images = [png(draw_uint8(seed)) for seed in range(5)]
    images.insert(2, b"GIF89a")
    taken: list[int] = []

    def hand_over() -> Iterator[bytes]:
        for index, image in enumerate(images):
            taken.append(index)
            yield image

    batches = predictor.read(hand_over(), batch_size=2)
    first = next(batches)
    assert taken == [0, 1, 2, 3]  # the second batch is being decoded while the first is in the engine
    outcomes = [*first, *(outcome for batch in batches for outcome in batch)]
    for outcome, whole in zip(outcomes, predictor.predict(images, display=False), strict=True):
        if isinstance(whole, Refusal):
            assert outcome == whole
            continue
        assert isinstance(outcome, Finding)
        assert isinstance(whole, Finding)
        assert outcome.probability == pytest.approx(whole.probability, abs=0.01)
        assert outcome.heatmap_png == b""
    assert isinstance(outcomes[2], Refusal)


def test_heatmaps_of_many_films_are_drawn_where_they_are_asked_for(predictor: Predictor) -> None:
    (finding,) = next(predictor.read([png(draw_uint8())], batch_size=4, heatmaps=True))
    assert isinstance(finding, Finding)
    assert Image.open(BytesIO(finding.heatmap_png)).has_transparency_data


def test_no_film_gives_no_outcome(predictor: Predictor) -> None:
    assert list(predictor.read([], batch_size=4)) == []
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


class Suspicious:
    """A gate in the place of the fitted one: the brightest film of a batch is refused, the others are marked."""

    def judge(self, thumbnails: NDArray[np.float32], features: NDArray[np.float32]) -> list[Verdict]:
        count = len(thumbnails)
        assert features.shape == (count, 6 + 10)
        worst = int(thumbnails.reshape(count, -1).mean(axis=1).argmax())
        return [Verdict("OUT_OF_DISTRIBUTION" if index == worst else None, is_suspect=True) for index in range(count)]


@pytest.fixture
def suspicious(predictor: Predictor) -> Predictor:
    predictor._gate = Suspicious()  # type: ignore[assignment]
    return predictor


def test_a_film_that_the_gate_refuses_harms_no_other_and_a_marked_one_carries_the_mark(suspicious: Predictor) -> None:
    bright = np.clip(draw_uint8(1).astype(int) + 90, 0, 255).astype(np.uint8)
    refused, read = suspicious.predict([png(bright), png(draw_uint8(1))])
    assert refused == Refusal("OUT_OF_DISTRIBUTION", "The film is unlike those the model was trained on.")
    assert isinstance(read, Finding)
    assert read.flags == ("OUT_OF_DISTRIBUTION",)
    assert read.display_png is not None


def test_a_refusal_that_was_set_aside_is_passed_and_stays_with_the_finding(suspicious: Predictor) -> None:
    aside = frozenset({"OUT_OF_DISTRIBUTION", "TOO_SMALL"})
    film = suspicious.decode([png(draw_uint8(1))], [aside])[0]
    assert isinstance(film, DecodedFilm)
    assert film.overridden == {"OUT_OF_DISTRIBUTION"}  # what allows no override is not taken over
    finding = suspicious.infer([film])[0]
    assert isinstance(finding, Finding)
    assert finding.flags == ("OUT_OF_DISTRIBUTION",)


def test_an_override_is_of_one_film_and_one_code(suspicious: Predictor) -> None:
    images = [dicom(draw_12_bits(), ViewPosition="LL")] * 2 + [png(np.zeros((200, 200), np.uint8))]
    overridden = [frozenset({"LATERAL_VIEW"}), frozenset({"NOT_CHEST_XRAY"}), frozenset()]
    found = [getattr(film, "code", "decoded") for film in suspicious.decode(images, overridden)]
    assert found == ["decoded", "LATERAL_VIEW", "NOT_CHEST_XRAY"]


def test_heat_is_measured_in_the_lungs_of_positive_films_alone_and_little_of_it_is_marked(predictor: Predictor) -> None:
    decoded = predictor.decode([png(draw_uint8(1))])
    for threshold, is_positive in ((0.0, True), (1.1, False)):
        predictor.info = replace(predictor.info, threshold=threshold)
        predictor._metadata["heatmap"]["least_in_lung"] = 1.01
        finding = predictor.infer([film for film in decoded if isinstance(film, DecodedFilm)])[0]
        assert isinstance(finding, Finding)
        assert (finding.heat_in_lung is not None) == is_positive
        assert finding.flags == (("HEAT_OUTSIDE_LUNGS",) if is_positive else ())
        assert finding.heat_in_lung is None or 0 <= finding.heat_in_lung <= 1


def test_a_graph_without_features_serves_without_the_learned_gate(
    suspicious: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = suspicious._engine.run
    monkeypatch.setattr(suspicious._engine, "run", lambda films: replace(run(films), features=None))
    finding = suspicious.predict([png(draw_uint8(1))], display=False)[0]
    assert isinstance(finding, Finding)
    assert finding.flags == ()


def test_what_is_computed_around_the_engine_has_one_thread_and_others_have_theirs_back(
    suspicious: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that wait for each other on a busy machine cost more than the network. Whichever thread reads the film."""

    def threads() -> set[int]:
        return {int(library["num_threads"]) for library in threadpool_info() if library["user_api"] == "blas"}

    def looking(work: Callable[..., Any]) -> Callable[..., Any]:
        def look(*given: Any, **named: Any) -> Any:
            seen.append(threads())
            return work(*given, **named)

        return look

    def read() -> set[int]:
        suspicious.predict([png(draw_uint8(1))], display=False)
        return threads()

    seen: list[set[int]] = []
    before = threads()
    if before == {1}:
        pytest.skip("BLAS has no more than one thread here")
    for name in ("shrink", "shares_in_lung", "draw_heatmap"):
        monkeypatch.setattr(predictor_module, name, looking(getattr(predictor_module, name)))
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:  # both live on: the first must not keep hold of BLAS
        after = [pool.submit(read).result() for pool in (one, other, one)]
    assert seen == [{1}] * 9
    assert after == [before] * 3
