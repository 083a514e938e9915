"""The phantom: a film to the gate, the same one for the same seed, and with a shadow where one was asked for."""

import io
import subprocess
import sys

import numpy as np
import pydicom
import pytest
from PIL import Image

from diagnostics.phantom import FilmTags, Opacity, draw_film, encode_dicom, encode_jpeg, encode_png
from diagnostics.phantom.anatomy import Pattern, Side
from mlmodel.headers import inspect_headers


def zone(film: np.ndarray, left: float, top: float, right: float, bottom: float) -> float:
    """The mean grey of a rectangle in unit coordinates."""
    height, width = film.shape
    return float(film[int(top * height) : int(bottom * height), int(left * width) : int(right * width)].mean())


def test_the_same_seed_draws_the_same_film_and_another_seed_another() -> None:
    first, again, other = (draw_film(seed=seed, width=180, height=200) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_film_is_float32_of_the_asked_size_between_zero_and_one() -> None:
    film = draw_film(seed=1, width=300, height=260)
    assert film.shape == (260, 300)
    assert film.dtype == np.float32
    assert 0 <= film.min() < 0.05
    assert 0.9 < film.max() <= 1


def test_air_is_darker_than_lungs_and_lungs_than_heart_spine_and_liver() -> None:
    film = draw_film(seed=3)
    air, lung = zone(film, 0.04, 0.55, 0.06, 0.65), zone(film, 0.2, 0.4, 0.4, 0.6)
    heart, spine, liver = (
        zone(film, 0.57, 0.55, 0.65, 0.62),
        zone(film, 0.48, 0.5, 0.52, 0.6),
        zone(film, 0.2, 0.8, 0.4, 0.9),
    )
    assert air < 0.1 < lung < 0.45
    assert min(heart, spine, liver) > lung + 0.15


@pytest.mark.parametrize("pattern", ["lobar", "patchy"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_an_opacity_brightens_its_own_lung_and_leaves_the_other(pattern: Pattern, side: Side) -> None:
    film = draw_film(seed=5, opacity=Opacity(pattern, side, 1.0))
    clear = draw_film(seed=5, opacity=Opacity(pattern, side, 1e-9))
    gains = {"right": zone(film - clear, 0.15, 0.2, 0.42, 0.66), "left": zone(film - clear, 0.58, 0.2, 0.85, 0.66)}
    affected = gains.pop(side)
    (spared,) = gains.values()
    assert affected > 0.01
    assert abs(spared) < 0.001


def test_a_film_too_small_to_draw_is_refused_with_its_size() -> None:
    with pytest.raises(ValueError, match="Received: 20 x 400"):
        draw_film(seed=1, width=20, height=400)


def test_jpeg_and_png_hold_the_film_at_their_depth() -> None:
    film = draw_film(seed=2, width=180, height=200)
    for data, bits, tolerance in (
        (encode_jpeg(film), 8, 0.06),
        (encode_png(film), 8, 0.5 / 255),
        (encode_png(film, bits=16), 16, 0.5 / 65535),
    ):
        info = inspect_headers(data)
        assert (info.width, info.height, info.bits, info.samples) == (180, 200, bits, 1)
        pixels = np.asarray(Image.open(io.BytesIO(data)), dtype=np.float64) / (2**bits - 1)
        assert np.abs(pixels - film).mean() <= tolerance


def test_dicom_passes_the_gate_and_carries_its_tags() -> None:
    tags = FilmTags(patient_id="MRN-9", patient_name="Müller^Zoë", patient_age="018M", accession_number="A-77")
    data = encode_dicom(draw_film(seed=2, width=181, height=201), tags)
    info = inspect_headers(data)
    assert (info.format, info.width, info.height, info.bits) == ("DICOM", 181, 201, 12)
    assert info.dicom is not None
    assert (info.dicom.patient_id, info.dicom.patient_name) == ("MRN-9", "Müller, Zoë")
    assert (info.dicom.patient_age_years, info.dicom.accession_number) == (1.5, "A-77")
    assert (info.dicom.modality, info.dicom.view_position) == ("DX", "AP")
    assert all((info.dicom.study_instance_uid, info.dicom.series_instance_uid, info.dicom.sop_instance_uid))


def test_monochrome1_stores_the_film_inverted_and_monochrome2_as_it_is() -> None:
    film = draw_film(seed=2, width=180, height=200)
    upright = pydicom.dcmread(io.BytesIO(encode_dicom(film))).pixel_array.astype(int)
    inverted = pydicom.dcmread(io.BytesIO(encode_dicom(film, polarity="MONOCHROME1"))).pixel_array.astype(int)
    assert np.abs(upright / 4095 - film).max() < 0.001
    assert np.abs(upright + inverted - 4095).max() <= 1


def test_dicom_bytes_repeat_and_another_patient_gets_other_uids() -> None:
    film = draw_film(seed=2, width=100, height=100)
    assert encode_dicom(film) == encode_dicom(film)
    facts = [inspect_headers(encode_dicom(film, FilmTags(patient_id=patient))).dicom for patient in ("A", "B")]
    assert len({fact.sop_instance_uid for fact in facts if fact}) == 2


def test_importing_the_phantom_loads_neither_numpy_nor_pillow_nor_pydicom() -> None:
    code = "import sys, diagnostics.phantom; print(sorted({'numpy', 'PIL', 'pydicom'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
