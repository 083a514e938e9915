"""A Debian machine to install on: this one's root with directories of its own where the installation writes.

Each command runs in a mount namespace of its own; nothing outside is touched, and no systemd is seen.
"""

import os
import re
import shutil
import subprocess
import sysconfig
from hashlib import sha256
from pathlib import Path

from tests.deploy.edge import make_certificate
from tests.portal import ROOT

PATH = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OWN = (
    "etc",
    "opt",
    "usr/local/bin",
    "var/lib/portal",
    "var/lib/prometheus",
    "var/lib/nginx",
    "var/log/nginx",
    "var/lib/grafana",
)
PYTHON = Path("/usr/bin/python3.11")
MOUNT = """
set -e
for own in {own}; do mkdir -p "/$own"; mount --bind "$MACHINE/$own" "/$own"; done
mount -t tmpfs none /run
mkdir /run/lock
if [ -e "$MACHINE/systemd" ]; then mkdir -p /run/systemd/system; fi
exec "$@"
""".format(own=" ".join(OWN))


def can_be_made() -> bool:
    """Root on Debian 12 with its own Python and the right to mount."""
    if os.geteuid() != 0 or not PYTHON.exists() or shutil.which("unshare") is None:
        return False
    is_debian = re.search(r'^VERSION_ID="12"$', Path("/etc/os-release").read_text(encoding="utf-8"), re.MULTILINE)
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    return bool(is_debian) and subprocess.run(command, check=False, capture_output=True).returncode == 0


class Machine:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for own in OWN:
            (directory / own).mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", "/etc/.", str(directory / "etc")], check=True)
        (directory / "etc" / "portal").mkdir()

    def command(self, *words: str) -> list[str]:
        return ["unshare", "-m", "sh", "-c", MOUNT, "machine", *words]

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.command(*words), env=self.environment, capture_output=True, text=True, check=False)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": PATH, "MACHINE": str(self.directory), "LANG": "C.UTF-8"}

    def path(self, absolute: str) -> Path:
        return self.directory / absolute.lstrip("/")

    def write(self, absolute: str, text: str) -> None:
        self.path(absolute).parent.mkdir(parents=True, exist_ok=True)
        self.path(absolute).write_text(text, encoding="utf-8")

    def configure(self, settings: dict[str, str]) -> None:
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        self.write("/etc/portal/portal.env", "".join(lines))

    def certify(self) -> Path:
        tls = self.path("/etc/portal/tls")
        tls.mkdir(exist_ok=True)
        certificate, key = make_certificate(tls)
        shutil.copy(key, tls / "privkey.pem")
        return Path(shutil.copy(certificate, tls / "fullchain.pem"))

    def lend_libraries(self) -> None:
        """The pinned libraries of this environment under a Python of Debian's, in place of a download of 2 GB."""
        name = sha256((ROOT / "requirements.txt").read_bytes()).hexdigest()[:16]
        made = self.run(str(PYTHON), "-m", "venv", "--without-pip", f"/opt/portal/venvs/{name}")
        assert made.returncode == 0, made.stderr
        venv = self.path(f"/opt/portal/venvs/{name}")
        lent = venv / "lib" / "python3.11" / "site-packages" / "lent.pth"
        lent.write_text(f"{sysconfig.get_paths()['purelib']}\n", encoding="utf-8")
        gunicorn = venv / "bin" / "gunicorn"
        gunicorn.write_text(
            f"#!/opt/portal/venvs/{name}/bin/python\nimport sys\nfrom gunicorn.app.wsgiapp import run\nsys.exit(run())\n",
            encoding="utf-8",
        )
        gunicorn.chmod(0o755)
        (venv / ".complete").touch()

    def pretend_systemd(self, *, fails_on: str) -> None:
        """A `systemctl` that notes what it is asked, and starts nothing while that release is in service."""
        (self.directory / "systemd").touch()
        script = f"""#!/bin/sh
echo "$@" >>/var/lib/portal/asked
case "$1 $(readlink /opt/portal/current)" in "restart releases/{fails_on}") exit 1 ;; esac
"""
        self.write("/usr/local/bin/systemctl", script)
        self.path("/usr/local/bin/systemctl").chmod(0o755)

    def snapshot(self) -> dict[str, int]:
        """Every file with the time of its last change."""
        return {str(path): path.lstat().st_mtime_ns for path in self.directory.rglob("*")}
