"""Hospitals are offline: the portal starts, reads films and shows pages in a network that has loopback and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.portal import ROOT

UNSHARE = ["unshare", "--net", "--map-root-user"]


def can_cut_the_network() -> bool:
    try:
        return subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.model
@pytest.mark.skipif(not can_cut_the_network(), reason="this machine does not let a test cut its own network")
def test_with_the_network_cut_a_film_gets_its_result(tmp_path: Path) -> None:
    command = [*UNSHARE, sys.executable, "-m", "tests.integration.offline", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    assert "done" in done.stdout
