"""The serving graph of a network that was trained on another back end: `python -m mlmodel.training.export_child FOLDER`.

OpenVINO converts what TensorFlow traces, and too few of the operations that another back end leaves in its graph.
"""

import json
import sys
from pathlib import Path

NETWORK = "network.json"


def main(folder: Path) -> None:
    """Write the graph into the folder that holds the network's configuration and weights."""
    from mlmodel.training.backend import load_backend

    load_backend()
    from mlmodel.network import NetworkConfig, build_network
    from mlmodel.training.export import write_graph
    from mlmodel.weights import load_weights

    network = build_network(NetworkConfig.from_dict(json.loads((folder / NETWORK).read_text(encoding="utf-8"))))
    load_weights(network, folder)
    write_graph(network, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
