"""The serving graph on a CPU by OpenVINO. Imports no TensorFlow."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlmodel.artifact import GRAPH
from mlmodel.engines import Outputs, core_count
from mlmodel.engines.openvino_library import import_openvino
from mlmodel.types import ArtifactIncompatibleError


class OpenVinoEngine:
    """One stream over all cores (LATENCY): two (THROUGHPUT) halve what a single caller gets."""

    def __init__(self, directory: Path, *, threads: int = 0, precision: str = "auto") -> None:
        openvino = import_openvino()
        core = openvino.Core()
        has_bfloat16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        kind = "bf16" if has_bfloat16 and precision == "auto" else "f32"
        options = {
            "INFERENCE_PRECISION_HINT": kind,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads or core_count(),
        }
        try:
            self._model = core.compile_model(core.read_model(directory / GRAPH), "CPU", options)
            self._logit, self._activation = self._model.output("logit"), self._model.output("activation")
            named = {name: output for output in self._model.outputs for name in output.get_names()}
            self._features = named.get("features")
        except RuntimeError as error:
            raise ArtifactIncompatibleError(f"OpenVINO does not open {directory / GRAPH}.") from error
        self._request = self._model.create_infer_request()
        self.name = f"openvino {openvino.__version__.split('-')[0]} {'bfloat16' if kind == 'bf16' else 'float32'}"

    def run(self, films: NDArray[np.uint8]) -> Outputs:
        """See `Engine.run`. Not to be called from two threads at once."""
        outputs = self._request.infer([films])
        features = None if self._features is None else np.array(outputs[self._features])
        return Outputs(np.array(outputs[self._logit][:, 0]), np.array(outputs[self._activation]), features)
