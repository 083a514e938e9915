"""Keras and its back end, loaded without the banners that their C++ parts write to standard error."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile


class BackendError(Exception):
    """The back end that KERAS_BACKEND names cannot be loaded."""


def load_backend() -> str:
    """The back end's name: that of KERAS_BACKEND, else TensorFlow. Raises `BackendError`."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    name = os.environ["KERAS_BACKEND"]
    if name == "torch":
        # PyTorch 2.13 for CPUs dies in its first backward pass where other libraries' threads share its OpenMP
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        with _held_back_stderr():
            import keras

            keras.ops.convert_to_numpy(keras.ops.ones(1))  # devices are looked for, and remarked on, at the first use
    except (ImportError, ValueError) as error:
        raise BackendError(f"The back end {name!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    loaded: str = keras.config.backend()
    return loaded


@contextmanager
def _held_back_stderr() -> Iterator[None]:
    """What is written to descriptor 2 meanwhile is lost; Python's own errors are raised as ever."""
    kept = os.dup(2)
    with TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
