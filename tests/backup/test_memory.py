"""Neither large films nor many of them at once take much memory, wherever they go and come from."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.backup.site import Site

MEASURE = """
import json, sys, django
from pathlib import Path
django.setup()
from django.core.management import call_command
call_command(*sys.argv[1:])
heavy = {"tensorflow", "keras", "openvino", "numpy", "PIL", "pydicom", "boto3"} & {name.split(".")[0] for name in sys.modules}
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")).split()[1]
print(json.dumps({"peak": int(peak) / 1024, "heavy": sorted(heavy)}))
"""
MB = 1024**2
MOST_MEMORY = 160  # MB, of which Django takes the most
MOST_WITH_S3 = 260  # boto3 takes 25; each of eight films on their way two parts


def add_film(site: Site, size: int) -> None:
    """One that takes no room on the disk."""
    with (site.var / "media" / "cases" / str(uuid4())).open("wb") as file:
        file.truncate(size)


def measure(site: Site, *command: str, most: int, heavy: list[str]) -> None:
    measured = site.script(MEASURE, *command)
    assert measured.returncode == 0, measured.stderr
    facts = json.loads(measured.stdout.splitlines()[-1])
    assert facts["heavy"] == heavy
    assert facts["peak"] < most, (command, facts["peak"])


@pytest.mark.slow
def test_a_directory_gets_and_gives_in_little_memory(elsewhere: Site) -> None:
    elsewhere.told("restore")
    add_film(elsewhere, 300 * MB)
    measure(elsewhere, "backup", most=MOST_MEMORY, heavy=[])
    measure(elsewhere, "restore", "--check", most=MOST_MEMORY, heavy=[])


@pytest.mark.slow
@pytest.mark.s3
def test_a_bucket_gets_and_gives_in_bounded_memory(elsewhere: Site, bucket: dict[str, str], tmp_path: Path) -> None:
    elsewhere.told("restore")
    elsewhere.settings |= bucket
    for _ in range(10):  # more than are on their way at once, each of some parts
        add_film(elsewhere, 35 * MB)
    measure(elsewhere, "backup", most=MOST_WITH_S3, heavy=["boto3"])
    measure(elsewhere, "restore", "--check", most=MOST_WITH_S3, heavy=["boto3"])
