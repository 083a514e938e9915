"""Disks of a test's own: small ones that can be full, and one from which the power can be taken."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

NEVER = 6000  # seconds between two commits of the journal: what lies in the image was asked for by fsync
BALLAST = "ballast"
BLOCK = 64 * 1024
MOUNTED: set[Path] = set()


def may_mount() -> bool:
    return os.geteuid() == 0 and subprocess.run(["mount", "--version"], check=False, capture_output=True).returncode == 0


@contextlib.contextmanager
def mounted_tmpfs(directory: Path, megabytes: int) -> Iterator[bool]:
    """A small disk; false where this machine lets nobody mount."""
    directory.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(directory)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    MOUNTED.update([directory] if mounted else [])
    try:
        yield mounted
    finally:
        if mounted:
            unmount(directory)


def unmount_all() -> None:
    for directory in list(MOUNTED):
        unmount(directory)


def unmount(directory: Path) -> None:
    MOUNTED.discard(directory)
    subprocess.run(["umount", "-l", str(directory)], check=False, capture_output=True)


def fill(directory: Path) -> None:
    """Take every free byte. Raises `OSError` for any other reason than a full disk."""
    with (directory / BALLAST).open("ab", buffering=0) as ballast:
        size = BLOCK
        while size:
            try:
                ballast.write(bytes(size))
            except OSError:
                size //= 2


def free_a_little(directory: Path, size: int = BLOCK) -> None:
    with contextlib.suppress(OSError):
        os.truncate(directory / BALLAST, max(0, (directory / BALLAST).stat().st_size - size))


def empty(directory: Path) -> None:
    (directory / BALLAST).unlink(missing_ok=True)


class PowerlessDisk:
    """An ext4 file system in an image. What its programs have not made durable is in the kernel's memory and not in the image,
    so that a copy of the image is what a machine finds after the power was cut.
    """

    def __init__(self, image: Path, mount_point: Path, *, megabytes: int = 256) -> None:
        self.image, self.mount_point = image, mount_point
        mount_point.mkdir(parents=True, exist_ok=True)
        with image.open("wb") as file:
            file.truncate(megabytes * 1024 * 1024)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
        self._mount()
        MOUNTED.add(mount_point)

    def _mount(self) -> None:
        options = f"loop,commit={NEVER}"
        subprocess.run(["mount", "-o", options, str(self.image), str(self.mount_point)], check=True)

    def copy(self) -> Path:
        """The image as it is now. The caller has stopped whoever writes."""
        after = self.image.with_suffix(".after")
        subprocess.run(["cp", "--sparse=always", str(self.image), str(after)], check=True)
        return after

    def become(self, image: Path) -> None:
        """Go on with what a copy holds; the journal is played back, as at a machine's start."""
        unmount(self.mount_point)
        self.image = image.rename(self.image.with_suffix(f".{image.stat().st_ino}"))
        self._mount()
        MOUNTED.add(self.mount_point)

    def close(self) -> None:
        unmount(self.mount_point)
