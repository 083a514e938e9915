"""The heat lies on what caused it: a network that passes brightness on, films of any shape, film and mirror image averaged."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mlmodel.heatmap import upsample
from mlmodel.preprocessing import prepare_film

pytestmark = pytest.mark.model


@cache
def brightness_network() -> Any:
    """One channel that carries the film's brightness through every stage: each convolution is the identity or nothing."""
    from mlmodel.network import NetworkConfig, build_network
    from mlmodel.serving import build_serving_model

    network = build_network(NetworkConfig(input_size=224, blocks=(1, 1, 1), widths=(2, 2, 2)))
    for variable in network.variables:
        value = np.zeros(variable.shape, np.float32)
        if "conv1/kernel" in variable.path and variable.shape[0] == 7:
            value[3, 3, 0, 0] = 1
        elif "downsample" in variable.path and variable.path.endswith("kernel"):
            value[0, 0] = np.eye(2)
        elif "logit" in variable.path and variable.path.endswith("kernel"):
            value[0, 0] = 1
        if "seed" not in variable.path:
            variable.assign(value)
    return build_serving_model(network)


def film_with_blob(x: float, y: float, width: int, height: int) -> Image.Image:
    """Dark, with a soft bright blob at (x, y), in sides of the film."""
    rows, columns = np.mgrid[0:height, 0:width]
    away = ((columns + 0.5) / width - x) ** 2 + ((rows + 0.5) / height - y) ** 2
    return Image.fromarray((235 * np.exp(-away / (2 * 0.07**2))).astype(np.uint8))


def peak(heat: NDArray[np.float32]) -> tuple[float, float]:
    """(x, y) of the middle of what is hottest, in sides of the film."""
    rows, columns = np.nonzero(heat > 0.85 * heat.max())
    height, width = heat.shape
    return float((columns.mean() + 0.5) / width), float((rows.mean() + 0.5) / height)


@pytest.mark.parametrize(("width", "height"), [(224, 224), (1500, 1000), (900, 1800)])
@pytest.mark.parametrize(("x", "y"), [(0.5, 0.5), (0.25, 0.3), (0.75, 0.3), (0.3, 0.8), (0.61, 0.45)])
def test_the_peak_lies_on_the_blob_to_a_pixel_of_the_heatmap(x: float, y: float, width: int, height: int) -> None:
    plane = prepare_film(film_with_blob(x, y, width, height), 224)
    activation = np.asarray(brightness_network().predict_on_batch(plane[None, :, :, None])["activation"])[0]
    heat = upsample(np.maximum(activation, 0))
    assert peak(heat) == pytest.approx((x, y), abs=1.5 / len(heat))


def test_the_mirrored_films_heat_is_mirrored() -> None:
    plane = prepare_film(film_with_blob(0.3, 0.6, 800, 700), 224)
    both = np.stack([plane, plane[:, ::-1]])[..., None]
    plain, mirrored = np.asarray(brightness_network().predict_on_batch(both)["activation"])
    assert np.allclose(upsample(plain), upsample(mirrored)[:, ::-1], atol=1e-5)
