"""A Debian 12 that nobody has used: debootstrap's minimal root and systemd, entered by chroot in namespaces of its own.

It shares the network with this machine, and this machine's way to the package registries: apt's and pip's configuration and the
certificates they trust.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tests.deploy.machine import PATH, Machine, can_be_made
from tests.portal import ROOT

SUITE = "bookworm"
RELEASE = "/srv/portal"
CERTIFICATES = "/etc/ssl/certs/lent.crt"
LENT = (
    *("etc/resolv.conf", "etc/hosts", "etc/pip.conf", "etc/xdg/pip"),
    *("etc/apt/sources.list", "etc/apt/sources.list.d", "etc/apt/apt.conf.d"),
)
ENTER = f"""
set -e
mount --bind "$MACHINE" "$MACHINE"
mkdir -p "$MACHINE{RELEASE}"
mount --bind "$RELEASE" "$MACHINE{RELEASE}"
mount -t proc proc "$MACHINE/proc"
mount --rbind /dev "$MACHINE/dev"
exec env -u MACHINE -u RELEASE chroot "$MACHINE" "$@"
"""


def is_asked_for() -> bool:
    """It downloads over 2 GB: only where CLEAN_DEBIAN is set."""
    return bool(os.environ.get("CLEAN_DEBIAN")) and can_be_made() and shutil.which("debootstrap") is not None


class CleanMachine(Machine):
    """Has nothing of this machine's but its network."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        bootstrap = ["debootstrap", "--variant=minbase", "--include=systemd", SUITE, str(directory)]
        subprocess.run(bootstrap, check=True, capture_output=True)
        self.path("/etc/apt/sources.list").unlink()  # debootstrap's; this machine's way stands in one of the lent
        for name in LENT:
            self._lend(Path("/") / name, directory / name)
        certificates = Path(os.environ.get("PIP_CERT", "/etc/ssl/certs/ca-certificates.crt"))
        self._lend(certificates, self.path(CERTIFICATES))
        (directory / "etc" / "portal").mkdir()

    def command(self, *words: str) -> list[str]:
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "machine", *words]

    @property
    def environment(self) -> dict[str, str]:
        own = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root", "PIP_CERT": CERTIFICATES}
        return own | {"MACHINE": str(self.directory), "RELEASE": str(ROOT)}

    def _lend(self, source: Path, target: Path) -> None:
        if not source.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)
