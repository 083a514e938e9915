"""Installations to back up and to restore to: each with its own `var/`, database and storage; commands run as an operator's."""

import base64
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from diagnostics.services.backup.sets import WHEN, Manifest, Vault
from tests.portal import ROOT

CASES = 4  # in the small portal
COUNTS = """
import json
from accounts.models import AuditEvent, User
from diagnostics.models import Case, Prediction, Review
counts = {model.__name__: model.objects.count() for model in (User, Case, Prediction, Review)}
counts["AuditEvent"] = AuditEvent.objects.exclude(action__in=["backed_up", "restored"]).count()
print(json.dumps(counts | {"hashes": sorted(Case.objects.values_list("sha256", flat=True))}))
"""


@dataclass
class Site:
    """One installation, and what its operator set."""

    var: Path
    settings: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name not in {"DJANGO_SETTINGS_MODULE", "VAR_DIR"}}
        return inherited | {"VAR_DIR": str(self.var)} | self.settings

    def python(self, *arguments: str, before: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
        command = [*before, sys.executable, *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)

    def manage(self, *arguments: str, before: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
        return self.python("manage.py", *arguments, before=before)

    def good(self, *arguments: str) -> str:
        """Output of a command that must succeed."""
        done = self.manage(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def told(self, *arguments: str) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.good(*arguments, "--json").splitlines()[-1])
        return facts

    def refused(self, *arguments: str, before: tuple[str, ...] = ()) -> str:
        """The one line of a command that must fail."""
        done = self.manage(*arguments, before=before)
        lines = done.stderr.strip().splitlines()
        assert (done.returncode, len(lines)) == (1, 1), done.stdout + done.stderr
        return lines[0]

    def script(self, code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Code that sets Django up itself: for what must be changed before a command runs, or measured around it."""
        return self.python("-c", code, *arguments, before=("env", "DJANGO_SETTINGS_MODULE=pneumo_site.settings"))

    def shell(self, code: str) -> str:
        """What it prints."""
        return self.good("shell", "-v", "0", "-c", code)

    def fill(self, cases: int) -> None:
        self.good("prepare")
        filled = self.python("-m", "tests.backup.fill", str(cases))
        assert filled.returncode == 0, filled.stderr

    def counts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.shell(COUNTS).splitlines()[-1])
        return found

    @property
    def metric(self) -> Path:
        return self.var / "metrics" / "portal_backup.prom"


def write_key(path: Path) -> Path:
    """A key as the operator makes it."""
    path.write_text(base64.b64encode(os.urandom(32)).decode() + "\n", encoding="ascii")
    path.chmod(0o600)
    return path


def build(var: Path, **settings: str) -> Site:
    var.mkdir(parents=True, exist_ok=True)
    return Site(var, settings)


def age(vault: Vault, backup: Manifest, days: int) -> Manifest:
    """The same backup under a name and a date of so many days ago."""
    began = backup.began_at - timedelta(days=days)
    name = began.strftime(WHEN)
    for part in ("rows", "objects", "purged"):
        vault.put(f"sets/{name}/{part}", BytesIO(b"".join(vault.read(f"sets/{backup.name}/{part}"))))
        vault.target.delete(f"sets/{backup.name}/{part}")
    vault.target.delete(f"sets/{backup.name}/manifest")
    older = replace(backup, name=name, began=began.isoformat())
    vault.write_manifest(older)
    return older


def embedded(directory: Path, name: str, target: Path) -> Site:
    target.mkdir(exist_ok=True)
    return build(directory / name, BACKUP_TARGET=str(target), BACKUP_KEY_FILE=str(directory / "backup.key"))


def take_secrets(source: Site, to: Site) -> None:
    """What an operator keeps apart from the backups."""
    shutil.copy2(source.var / "audit_key", to.var / "audit_key")
