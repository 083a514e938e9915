"""OpenVINO, silent: its telemetry package, installed beside it, would phone home from the conversion tools."""

import sys
from typing import Any, cast


def import_openvino() -> Any:
    """The `openvino` module. Before its first import the telemetry package is made unimportable (None in `sys.modules`: Python
    reference, section 5.3.1); OpenVINO then falls back to its own empty stub."""
    if "openvino_telemetry" not in sys.modules:
        cast("dict[str, Any]", sys.modules)["openvino_telemetry"] = None
    import openvino

    return openvino
