"""The whole matrix with few uploads and short leases. `make faults N=1000` is the same at the portal's own timings."""

from typing import Any

import pytest

from tests.faults import matrix
from tests.faults.matrix import FAULTS, run_all
from tests.faults.report import BUILD, as_markdown, write_json
from tests.faults.site import QUICK

UPLOADS, SEED, LANES = 40, 1, 3  # much of a fault is waiting

pytestmark = [pytest.mark.alone, pytest.mark.postgres, pytest.mark.redis, pytest.mark.s3, pytest.mark.slow]


@pytest.fixture(scope="module")
def run() -> dict[str, Any]:
    done = run_all(FAULTS, count=UPLOADS, seed=SEED, pace=QUICK, lanes=LANES)
    write_json(done, BUILD / "faults-quick.json")
    return done


@pytest.mark.parametrize("key", [fault.key for fault in FAULTS])
def test_nothing_accepted_is_lost_doubled_wrong_or_stuck(run: dict[str, Any], key: str) -> None:
    (row,) = [row for row in run["rows"] if row["fault"] == key]
    assert row["broken"] == [], row["words"]
    assert row["uploads"] == UPLOADS


def test_the_table_has_a_line_for_every_fault(run: dict[str, Any]) -> None:
    lines = as_markdown(run).splitlines()
    assert [line.split("|")[1].strip() for line in lines if line.startswith("| F")] == [fault.key for fault in FAULTS]


def test_a_fault_is_chosen_with_its_variants_and_an_unknown_one_is_named() -> None:
    assert [fault.key for fault in matrix.choose(["f5"])] == ["F5a", "F5b"]
    with pytest.raises(ValueError, match="F99"):
        matrix.choose(["F99"])
