"""What runs the serving graph: OpenVINO on a CPU, Keras on a GPU. The two give the same answer.

Nothing here imports a tensor library before an engine is asked for, and then none but its own.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ENGINES = ("auto", "openvino", "keras")
PRECISIONS = ("auto", "float32")


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """Of one forward pass: logits (batch,), class-activation maps (batch, h, w), pooled features (batch, channels of all
    stages). Graphs made before there was a gate have no features: None."""

    logits: "NDArray[np.float32]"
    activations: "NDArray[np.float32]"
    features: "NDArray[np.float32] | None"


class Engine(Protocol):
    """`name` says library and precision, for the record."""

    name: str

    def run(self, films: "NDArray[np.uint8]") -> Outputs:
        """(batch, size, size, 1) → the graph's outputs, one row per film."""


def load_engine(
    directory: Path, metadata: dict[str, Any], *, engine: str = "auto", threads: int = 0, precision: str = "auto"
) -> Engine:
    """The graph of a verified artifact, compiled. `threads` 0 is one per core; precision `auto` is bfloat16 where the CPU has
    it.

    `auto` is Keras where TensorFlow sees a GPU, else OpenVINO. Raises `ValueError` for an unknown name,
    `ArtifactIncompatibleError` where the graph does not fit this code.
    """
    if engine not in ENGINES or precision not in PRECISIONS:
        raise ValueError(f"engine is one of {ENGINES}, precision of {PRECISIONS}. Received: {engine!r} and {precision!r}")
    if engine == "keras" or (engine == "auto" and _sees_gpu()):
        from mlmodel.engines.keras_engine import KerasEngine

        return KerasEngine(directory, metadata, threads=threads)
    from mlmodel.engines.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(directory, threads=threads, precision=precision)


def core_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _sees_gpu() -> bool:
    """Asks TensorFlow (seconds, hundreds of MB) only where the NVIDIA driver has made a device."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return False
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
