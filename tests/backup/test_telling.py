"""Who looks finds out when a backup last succeeded: Prometheus by node exporter, and `doctor`."""

import os
import shutil
import time
from pathlib import Path

import pytest
import requests
from pytest_django import Settings

from diagnostics.services.backup import telling
from diagnostics.services.checkup.backups import check_backup
from diagnostics.services.checkup.findings import Level
from tests.backup.site import write_key
from tests.servers import free_port, process, wait_until


@pytest.fixture
def configured(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "target").mkdir()
    settings.BACKUP_TARGET, settings.BACKUP_KEY_FILE = str(tmp_path / "target"), write_key(tmp_path / "key")
    settings.BACKUP_METRICS_DIR = tmp_path / "metrics"


def tell(at: float) -> None:
    telling.tell_success({telling.SUCCESS: at, "portal_backup_missing_objects": 0})


@pytest.mark.skipif(shutil.which("prometheus-node-exporter") is None, reason="prometheus-node-exporter is not installed")
def test_node_exporter_tells_prometheus(configured: None, tmp_path: Path) -> None:
    """By a link, as install.sh makes it: the portal may not write where the exporter looks."""
    collected, port = tmp_path / "collected", free_port()
    collected.mkdir()
    umask = os.umask(0o027)
    try:
        tell(1_800_000_000.5)
    finally:
        os.umask(umask)
    (collected / telling.FILE).symlink_to(tmp_path / "metrics" / telling.FILE)
    assert (tmp_path / "metrics").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "metrics" / telling.FILE).stat().st_mode & 0o777 == 0o644
    command = ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}", "--collector.disable-defaults"]
    command += ["--collector.textfile", f"--collector.textfile.directory={collected}"]
    with process(command, tmp_path / "exporter.log"):
        page = f"http://127.0.0.1:{port}/metrics"
        wait_until(
            lambda: "portal_backup_success" in requests.get(page, timeout=5).text if is_up(page) else False, "the metric"
        )
        text = requests.get(page, timeout=5).text
    assert "portal_backup_success_timestamp_seconds 1.8000000005e+09" in text
    assert "node_textfile_scrape_error 0" in text
    assert [path.name for path in (tmp_path / "metrics").iterdir()] == [telling.FILE]


def is_up(page: str) -> bool:
    try:
        return requests.get(page, timeout=5).ok
    except requests.RequestException:
        return False


def test_doctor_knows_how_old_the_last_backup_is(configured: None) -> None:
    assert check_backup().level is Level.ERROR
    tell(time.time() - 3 * 3600)
    assert (check_backup().level, check_backup().what) == (Level.OK, "the last one began 3 hours ago")
    tell(time.time() - 27 * 3600)
    assert check_backup().level is Level.ERROR


def test_doctor_looks_at_the_target_and_the_key(configured: None, settings: Settings, tmp_path: Path) -> None:
    tell(time.time())
    (tmp_path / "key").chmod(0o644)
    assert "others can read" in check_backup().what
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "target").rmdir()
    assert "is not there" in check_backup().what


def test_a_hospitals_machine_without_backups_is_told_so(settings: Settings) -> None:
    settings.BACKUP_TARGET, settings.EMBEDDED = "", True
    assert check_backup().level is Level.OK
    settings.EMBEDDED = False
    assert check_backup().level is Level.WARNING
