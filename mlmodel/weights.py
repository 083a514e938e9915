"""A network's weights in an NPZ file, by the path of each variable. Data alone: nothing is unpickled, no code is loaded."""

from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np

from mlmodel.artifact import WEIGHTS
from mlmodel.types import ArtifactCorruptError, ArtifactIncompatibleError


def pack_weights(network: keras.Model) -> bytes:
    """Kernels as float16 (half the size; `round_kernels` first, so that nothing is lost), the rest as float32."""
    arrays = {}
    for variable in network.variables:
        value = keras.ops.convert_to_numpy(variable.value)
        if value.dtype.kind == "f":
            arrays[variable.path] = value.astype(np.float16 if value.ndim > 1 else np.float32)
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def round_kernels(network: keras.Model) -> None:
    """Round every kernel to what float16 can hold, so that the network that was measured is the one that is saved."""
    for variable in network.variables:
        value = keras.ops.convert_to_numpy(variable.value)
        if value.dtype.kind == "f" and value.ndim > 1:
            variable.assign(value.astype(np.float16).astype(np.float32))


def load_weights(network: keras.Model, directory: Path) -> None:
    """Fill the network from an artifact. Raises `ArtifactCorruptError` or, where names or shapes differ,
    `ArtifactIncompatibleError`."""
    try:
        with np.load(directory / WEIGHTS, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise ArtifactCorruptError(f"{directory / WEIGHTS} cannot be read.") from error
    wanted = {variable.path: variable for variable in network.variables if "seed_generator" not in variable.path}
    if set(wanted) != set(arrays) or any(tuple(wanted[name].shape) != arrays[name].shape for name in wanted):
        raise ArtifactIncompatibleError(f"{directory / WEIGHTS} does not fit the network that this code builds.")
    for name, variable in wanted.items():
        variable.assign(arrays[name].astype(np.float32))
