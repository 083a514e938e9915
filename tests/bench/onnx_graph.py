"""The serving graph in ONNX, written down layer by layer: what another CPU engine would be given to compute.

The same work as `mlmodel.serving`: film and mirror image, one logit and the class-activation map of the linear head.
"""

from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mlmodel.network import LEAST_VARIANCE

OPSET = 18


class OnnxGraph:
    """Collects nodes and constants; names are those of the Keras layers."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name


def build_onnx(network: keras.Model) -> onnx.ModelProto:
    """uint8 (n, size, size, 1) → logit (n, 1), activation (n, h, w). Raises `ValueError` for a layer that is not known here."""
    graph, size = OnnxGraph(), network.input_shape[1]
    last = _add_layers(graph, network, _add_mirror(graph, size))
    kernel, bias = (np.asarray(value, np.float32) for value in network.get_layer("logit").get_weights())
    side = network.get_layer("feature_map").output.shape[1]
    graph.add("Gemm", [last, graph.constant("kernel", kernel), graph.constant("bias", bias)], "logits")
    seen = kernel.T[:, :, None, None] / side**2
    graph.add("Conv", ["feature_map", graph.constant("seen", seen)], "cells")
    logit = _mean_of_pair(graph, "logits", "logit")
    activation = _mean_of_pair(graph, _unmirrored(graph, "cells"), "activation")
    outputs = [
        helper.make_tensor_value_info(logit, TensorProto.FLOAT, ["n", 1]),
        helper.make_tensor_value_info(activation, TensorProto.FLOAT, ["n", 1, side, side]),
    ]
    films = helper.make_tensor_value_info("film", TensorProto.UINT8, ["n", size, size, 1])
    whole = helper.make_graph(graph.nodes, "serving", [films], outputs, graph.constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def _add_mirror(graph: OnnxGraph, size: int) -> str:
    """(n, size, size, 1) → (2 n, 1, size, size): the films, then their mirror images."""
    film = graph.add("Cast", ["film"], "as_float", to=TensorProto.FLOAT)
    film = graph.add("Reshape", [film, graph.constant("planes", np.array([-1, 1, size, size]))], "as_planes")
    return graph.add("Concat", [film, _flip(graph, film, "mirror")], "with_mirror", axis=0)


def _flip(graph: OnnxGraph, name: str, flipped: str) -> str:
    ends = [
        graph.constant(f"{flipped}_{what}", np.array([value]))
        for what, value in (("start", -1), ("end", np.iinfo(np.int64).min), ("axis", 3), ("step", -1))
    ]
    return graph.add("Slice", [name, *ends], flipped)


def _unmirrored(graph: OnnxGraph, cells: str) -> str:
    films, mirrored = _halves(graph, cells)
    return graph.add("Concat", [films, _flip(graph, mirrored, f"{cells}_upright")], f"{cells}_aligned", axis=0)


def _mean_of_pair(graph: OnnxGraph, name: str, mean: str) -> str:
    total = graph.add("Add", list(_halves(graph, name)), f"{mean}_sum")
    return graph.add("Mul", [total, graph.constant(f"{mean}_half", np.array(0.5, np.float32))], mean)


def _halves(graph: OnnxGraph, name: str) -> tuple[str, str]:
    first, second = f"{name}_films", f"{name}_mirrored"
    graph.nodes.append(helper.make_node("Split", [name], [first, second], axis=0, num_outputs=2))
    return first, second


def _add_layers(graph: OnnxGraph, network: keras.Model, film: str) -> str:
    """Every layer before the logit; returns the name of what the logit reads."""
    names: dict[int, str] = {id(network.inputs[0]): film}
    for layer in network.layers[1:]:
        if layer.name == "logit":
            return names[id(layer.input)]
        sources = layer.input if isinstance(layer.input, list) else [layer.input]
        names[id(layer.output)] = _add_layer(graph, layer, [names[id(source)] for source in sources])
    raise ValueError("The network has no layer named logit.")


def _add_layer(graph: OnnxGraph, layer: Any, inputs: list[str]) -> str:
    kind = type(layer).__name__
    if kind in SAME_EVERYWHERE:
        return graph.add(SAME_EVERYWHERE[kind], inputs, layer.name)
    if kind not in WITH_PARAMETERS:
        raise ValueError(f"This benchmark does not know the layer {kind}.")
    return WITH_PARAMETERS[kind](graph, layer, inputs)


def _add_rescaling(graph: OnnxGraph, layer: Any, inputs: list[str]) -> str:
    scale = graph.constant("scale_by", np.array(layer.scale, np.float32))
    offset = graph.constant("scale_offset", np.array(layer.offset, np.float32))
    return graph.add("Add", [graph.add("Mul", [*inputs, scale], "scaled"), offset], layer.name)


def _add_standardising(graph: OnnxGraph, layer: Any, inputs: list[str]) -> str:
    axes = graph.constant("film_axes", np.array([1, 2, 3]))
    least = graph.constant("least_variance", np.array(255**2 * LEAST_VARIANCE, np.float32))
    mean = graph.add("ReduceMean", [*inputs, axes], "film_mean", keepdims=1)
    centred = graph.add("Sub", [*inputs, mean], "centred")
    squares = graph.add("ReduceMean", [graph.add("Mul", [centred, centred], "squares"), axes], "variance", keepdims=1)
    deviation = graph.add("Sqrt", [graph.add("Add", [squares, least], "enough_variance")], "deviation")
    return graph.add("Div", [centred, deviation], layer.name)


def _add_padding(graph: OnnxGraph, layer: Any, inputs: list[str]) -> str:
    (top, bottom), (left, right) = layer.padding
    pads = graph.constant(f"{layer.name}_pads", np.array([0, 0, top, left, 0, 0, bottom, right]))
    return graph.add("Pad", [*inputs, pads], layer.name)


def _add_max_pool(graph: OnnxGraph, layer: Any, inputs: list[str]) -> str:
    return graph.add("MaxPool", inputs, layer.name, kernel_shape=list(layer.pool_size), strides=list(layer.strides))


def _add_mean(graph: OnnxGraph, layer: Any, inputs: list[str]) -> str:
    return graph.add("ReduceMean", [*inputs, graph.constant("plane_axes", np.array([2, 3]))], layer.name, keepdims=0)


def _add_convolution(graph: OnnxGraph, layer: Any, inputs: list[str]) -> str:
    kernel, *bias = (np.asarray(value, np.float32) for value in layer.get_weights())
    around = layer.kernel_size[0] // 2 if layer.padding == "same" else 0
    parts = [
        graph.constant(f"{layer.name}_kernel", np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))),
        *(graph.constant(f"{layer.name}_bias", each) for each in bias),
    ]
    return graph.add("Conv", [*inputs, *parts], layer.name, strides=list(layer.strides), pads=[around] * 4)


def _add_norm(graph: OnnxGraph, layer: Any, inputs: list[str]) -> str:
    """ONNX Runtime folds it into the convolution before it when it loads the graph, as OpenVINO does."""
    parts = zip(("gamma", "beta", "mean", "variance"), layer.get_weights(), strict=True)
    names = [graph.constant(f"{layer.name}_{name}", np.asarray(value, np.float32)) for name, value in parts]
    return graph.add("BatchNormalization", [*inputs, *names], layer.name, epsilon=layer.epsilon)


def _add_concatenation(graph: OnnxGraph, layer: Any, inputs: list[str]) -> str:
    return graph.add("Concat", inputs, layer.name, axis=1)


SAME_EVERYWHERE = {"ReLU": "Relu", "Add": "Add", "Activation": "Identity", "Dropout": "Identity", "StochasticDepth": "Identity"}
WITH_PARAMETERS = {
    "Rescaling": _add_rescaling,
    "StandardiseFilm": _add_standardising,
    "ZeroPadding2D": _add_padding,
    "Concatenate": _add_concatenation,
    "Conv2D": _add_convolution,
    "BatchNormalization": _add_norm,
    "MaxPooling2D": _add_max_pool,
    "GlobalAveragePooling2D": _add_mean,
}
