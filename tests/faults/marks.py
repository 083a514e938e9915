"""What the harness and the processes that it starts agree on."""

import os

CANARY = "ZZPHICANARY"  # in every field that may hold a patient's data
SIDE = 64  # pixels of what the stub has decoded
POISON = b"POISON:"  # and four letters: what the decoding child is to die of
HANGS_THE_ENGINE = b"HANG:engine"


def network_runs() -> bool:
    """Whether the shipped network is at work, and not the stub."""
    return bool(os.environ.get("FAULTS_REAL_MODEL"))


def probability_of(sha256: str) -> float:
    """What the stub says of a film."""
    return int(sha256[:8], 16) / 0xFFFFFFFF
