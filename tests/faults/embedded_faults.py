"""The embedded set-up: F1 again, F12 (a full disk) and F19 (the power is cut)."""

import contextlib
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import psutil  # type: ignore[import-untyped]

from tests.faults import disks
from tests.faults.parts import Part
from tests.faults.scene import Fault, Scene
from tests.faults.site import Pace, Site, embedded_site
from tests.faults.worker_faults import kill_worker
from tests.servers import wait_until

DISK_MB = 96
CUTS = 2
DISKS: dict[int, disks.PowerlessDisk] = {}  # of each site that lies on one


@contextlib.contextmanager
def site_on(kind: str, pace: Pace) -> Iterator[Site]:
    """The embedded portal over a directory, a small disk, or one from which the power can be taken."""
    directory = Path(mkdtemp(prefix="faults-embedded-"))
    var = directory / "var"
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        disk = None
        if kind == "small disk":
            stack.enter_context(disks.mounted_tmpfs(var, DISK_MB))
        elif kind == "power":
            disk = disks.PowerlessDisk(directory / "disk.img", var)
            stack.callback(disk.close)
        site = stack.enter_context(embedded_site(pace, var))
        if disk is not None:
            DISKS[id(site)] = disk
        yield site


def fill_disk(scene: Scene) -> None:
    """Everything the embedded portal writes lies on one disk, which is full for a while, and now and then nearly full."""
    scene.wait_uploads(share=0.3)
    directory = scene.site.directory
    with scene.trouble():
        disks.fill(directory)
        end = time.monotonic() + 20.0 * scene.pace.stretch
        while time.monotonic() < end:
            time.sleep(0.2)
            disks.free_a_little(directory)
            time.sleep(0.2)
            disks.fill(directory)
        disks.empty(directory)
    scene.facts["batches refused"] = 1  # the heatmaps were stored, and then the disk was full for their rows
    scene.wait_uploads()


def fill_database_disk(scene: Scene) -> None:
    """PostgreSQL's own disk is full; the server may end, and is started again when there is room."""
    server = scene.site.postgres
    assert server is not None
    scene.wait_uploads(share=0.3)
    with scene.trouble():
        disks.fill(server.directory)
        scene.client.release()
        scene.pause(20.0)
        disks.empty(server.directory)
        server.start()
    scene.facts |= {"PostgreSQL started again": server.starts, "batches refused": 1}
    scene.wait_uploads()


def cut_power(scene: Scene) -> None:
    """Every process halts, and the machine comes back with what its disk holds: nothing that was answered may be missing."""
    for number in range(CUTS):
        scene.wait_uploads(share=(number + 1) / (CUTS + 1))
        scene.pause(1.0)
        with scene.trouble():
            _cut_and_return(scene)
    scene.facts["cuts"] = CUTS
    scene.facts["cut_off"] = 64 * CUTS  # what was being written when the power went
    scene.wait_uploads()


def _cut_and_return(scene: Scene) -> None:
    site, disk = scene.site, DISKS[id(scene.site)]
    parts = [part for part in (site.web, *site.workers, site.redis) if part is not None]
    _signal(parts, signal.SIGSTOP)
    after = disk.copy()
    for part in parts:
        _signal([part], signal.SIGKILL)
        part.stop(number=signal.SIGKILL)
    with site.records.closed():
        disk.become(after)
    site.portal.manage("prepare")  # as `make run` does
    for part in parts:
        part.start()
    wait_until(site.portal.answers, "the return after the power cut")


def _signal(parts: list[Part], number: int) -> None:
    for part in parts:
        for process in part.family():
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
        part.kill(number)


EMBEDDED_FAULTS = (
    Fault("F1e", "embedded: kill -9 of the worker, every 5 s", kill_worker, lambda pace: pace.recovery, site="embedded"),
    *(
        (
            Fault("F12a", "embedded: the disk is full for 20 s", fill_disk, lambda pace: pace.recovery, site="small disk"),
            Fault("F12b", "PostgreSQL's disk is full for 20 s", fill_database_disk, lambda pace: pace.recovery),
            Fault("F19", "embedded: the power is cut, twice", cut_power, lambda pace: pace.recovery, site="power"),
        )
        if disks.may_mount()
        else ()
    ),
)
