"""The gate: what an image's headers say, read with the standard library alone and safe on hostile bytes.

A web process runs this on every upload. No pixel is decoded, nothing is inflated, no call recurses, and every
loop is bounded.
"""

from mlmodel.headers.gate import inspect_headers
from mlmodel.headers.limits import MAX_PIXELS

__all__ = ["MAX_PIXELS", "inspect_headers"]
