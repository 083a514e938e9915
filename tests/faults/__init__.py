"""The real portal as processes, a client that keeps its own log, and faults with a seed: `make faults`."""
