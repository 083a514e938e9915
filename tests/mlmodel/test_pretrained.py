"""Weights of others, and of earlier versions, do in our network what they did where they come from."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from mlmodel.network import FEATURE_MAP, NetworkConfig, build_network
from mlmodel.pretrained import (
    Convolution,
    Norm,
    Pretrained,
    find_weights,
    from_keras_applications,
    load_pretrained,
    read_torchvision,
    read_version,
)

pytestmark = pytest.mark.model
PLAIN = NetworkConfig(input_size=32, blocks=(1, 1), widths=(4, 6), dropout=0.0)
NORMED = NetworkConfig(input_size=32, blocks=(1, 1), widths=(4, 6), dropout=0.0, norm="batch")
FILMS = np.random.default_rng(1).integers(0, 255, (40, 32, 32, 1)).astype(np.uint8)


def features(network: Any) -> NDArray[np.float32]:
    model = keras.Model(network.input, network.get_layer(FEATURE_MAP).output)
    return np.asarray(model.predict(FILMS.astype(np.float32), verbose=0))


def torchvision_file(path: Path, *, folded: bool) -> Path:
    """Every convolution of `PLAIN`, with random weights, as torchvision names and lays them out."""
    generator = np.random.default_rng(0)
    arrays = {}
    for layer in build_network(PLAIN).layers:
        if not isinstance(layer, keras.layers.Conv2D):
            continue
        name = layer.name.replace("_", ".").replace("downsample", "downsample.0")
        height, width, channels, out = layer.kernel.shape
        shape = (out, 3 if name == "conv1" else channels, height, width)
        arrays[f"{name}.weight"] = generator.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)
        if folded:
            arrays[f"{name}.bias"] = generator.normal(0, 0.3, out).astype(np.float32)
            continue
        norm = name.replace("conv", "bn").replace("downsample.0", "downsample.1")
        for part in ("weight", "bias", "running_mean", "running_var"):
            arrays[f"{norm}.{part}"] = generator.uniform(0.5, 1.5, out).astype(np.float32)
    np.savez(path, allow_pickle=False, **arrays)
    return path


@pytest.mark.parametrize("folded", [True, False])
def test_the_same_file_makes_the_same_function_with_and_without_batch_norm(tmp_path: Path, folded: bool) -> None:
    weights = read_torchvision(torchvision_file(tmp_path / "weights.npz", folded=folded))
    networks = [build_network(config) for config in (PLAIN, NORMED)]
    assert [load_pretrained(network, weights, FILMS) for network in networks] == [6, 6]
    one, other = (features(network) for network in networks)
    assert np.abs(one).max() > 0.5
    assert np.abs(one - other).max() < 1e-4


def test_a_norm_after_folded_weights_holds_the_moments_of_the_films(tmp_path: Path) -> None:
    network = build_network(NORMED)
    load_pretrained(network, read_torchvision(torchvision_file(tmp_path / "weights.npz", folded=True)), FILMS)
    outputs = keras.Model(network.input, network.get_layer("layer2_0_conv2").output).predict(
        FILMS.astype(np.float32), verbose=0
    )
    norm = network.get_layer("layer2_0_conv2_norm")
    assert np.allclose(np.asarray(norm.moving_mean), outputs[:32].mean(axis=(0, 1, 2)), atol=1e-4)
    assert np.allclose(np.asarray(norm.moving_variance), outputs[:32].var(axis=(0, 1, 2)), rtol=1e-3)


def test_weights_are_transposed_summed_over_colour_and_padded_as_in_torchvision(tmp_path: Path) -> None:
    network = build_network(NetworkConfig(input_size=16, blocks=(1,), widths=(2,)))
    kernel = np.random.default_rng(0).normal(size=(2, 3, 7, 7)).astype(np.float32)
    bias = np.array([0.5, -0.25], np.float32)
    np.savez(tmp_path / "weights.npz", allow_pickle=False, **{"conv1.weight": kernel, "conv1.bias": bias})
    assert load_pretrained(network, read_torchvision(tmp_path / "weights.npz"), FILMS) == 1
    film = np.random.default_rng(1).uniform(0, 255, (1, 16, 16, 1)).astype(np.float32)
    ours = np.asarray(keras.Model(network.input, network.get_layer("conv1").output)(film))[0]
    grey = np.pad((film[0, :, :, 0] / 255 - 0.449) / 0.226, 3)
    for row, column, channel in ((0, 0, 0), (3, 5, 1), (7, 7, 0)):
        patch = grey[2 * row : 2 * row + 7, 2 * column : 2 * column + 7]
        expected = (patch * kernel[channel].sum(axis=0)).sum() + bias[channel]
        assert ours[row, column, channel] == pytest.approx(expected, abs=1e-3)


def test_keras_resnet50_does_the_same_in_our_network_up_to_the_first_stride_inside_a_block() -> None:
    keras.utils.set_random_seed(2)
    theirs = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(64, 64, 3))
    generator = np.random.default_rng(2)
    for variable in theirs.variables:
        if len(variable.shape) == 1:
            variable.assign(generator.uniform(0.5, 1.5, variable.shape))
    config = NetworkConfig(input_size=64, blocks=(3,), widths=(64,), block="bottleneck")
    network = build_network(config)
    assert load_pretrained(network, from_keras_applications(theirs), FILMS) == 11
    film = np.random.default_rng(3).uniform(0, 255, (1, 64, 64, 1)).astype(np.float32)
    colours = np.repeat(film, 3, axis=3) - np.array([103.939, 116.779, 123.68], np.float32)
    expected = np.asarray(keras.Model(theirs.input, theirs.get_layer("conv2_block3_out").output)(colours))
    ours = np.asarray(keras.Model(network.input, network.get_layer(FEATURE_MAP).output)(film))
    inner = (slice(None), slice(5, -5), slice(5, -5))  # at the edge theirs pads with the mean colour, ours with the mean grey
    assert np.abs(ours[inner] - expected[inner]).max() < 1e-3 * np.abs(expected).max()


def test_a_version_is_gone_on_from_head_and_all(tiny_artifact: Path, tiny_config: NetworkConfig, tiny_network: Any) -> None:
    copy = build_network(tiny_config)
    films = np.random.default_rng(1).integers(0, 255, (4, 64, 64, 1)).astype(np.uint8)
    load_pretrained(copy, read_version(tiny_artifact), films)
    assert np.allclose(np.asarray(copy(films)), np.asarray(tiny_network(films)), atol=1e-4)


@pytest.mark.parametrize(
    ("kernel", "words"),
    [((9, 3, 7, 7), "needs the shape"), (None, "no convolution")],
)
def test_weights_that_do_not_fit_are_refused(kernel: tuple[int, ...] | None, words: str) -> None:
    convolution = Convolution(np.zeros(kernel or (1, 1, 1, 1), np.float32), np.zeros(1, np.float32))
    weights = Pretrained("theirs", "", {"conv1" if kernel else "stem": convolution})
    with pytest.raises(ValueError, match=words):
        load_pretrained(build_network(PLAIN), weights, FILMS)


def test_a_norm_is_folded_as_the_formula_says() -> None:
    norm = Norm(*(np.array([value], np.float32) for value in (2.0, 0.5, 3.0, 4.0)))
    kernel, bias = Convolution(np.ones((1, 1, 1, 1), np.float32), np.array([1.0], np.float32), norm).folded()
    assert (kernel.item(), bias.item()) == pytest.approx((1.0, (1 - 3) + 0.5), abs=1e-4)


def test_files_that_are_no_weights_are_refused(tmp_path: Path, tiny_artifact: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK no")
    np.savez(tmp_path / "half.npz", allow_pickle=False, **{"conv1.weight": np.zeros((2, 3, 7, 7), np.float32)})
    (tmp_path / "empty").mkdir()
    for name, words in (("broken.npz", "not a readable NPZ"), ("half.npz", "lacks a part"), ("empty", "cannot be read")):
        with pytest.raises(ValueError, match=words):
            find_weights(str(tmp_path / name), None, PLAIN)


def test_imagenet_is_the_file_of_the_setting_or_said_to_be_missing(tmp_path: Path) -> None:
    path = torchvision_file(tmp_path / "imagenet.npz", folded=True)
    found = find_weights("imagenet", path, PLAIN)
    assert found is not None
    assert found.name == "imagenet.npz"
    assert find_weights("none", path, PLAIN) is None
    with pytest.raises(ValueError, match="IMAGENET_WEIGHTS"):
        find_weights("imagenet", None, PLAIN)


def test_a_download_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**options: Any) -> None:
        raise Exception("URL fetch failure\non many lines")  # noqa: TRY002 - as Keras does

    monkeypatch.setattr(keras.applications, "ResNet50", fail)
    with pytest.raises(ValueError, match="cannot be downloaded") as caught:
        find_weights("imagenet", None, NetworkConfig(block="bottleneck"))
    assert "\n" not in str(caught.value)
