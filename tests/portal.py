"""The real portal as processes: gunicorn, worker and Redis, as `make run` starts them, over a `var/` of its own."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.servers import free_port, process, url_answers, wait_until

ROOT = Path(__file__).resolve().parent.parent
FINAL_STATES = {"done", "refused", "failed"}


@dataclass
class Portal:
    """A running portal: where it is, and who may log in."""

    url: str
    var_dir: Path
    environment: dict[str, str]
    logins: dict[str, dict[str, str]] = field(default_factory=dict)

    def upload(self, content: bytes, name: str = "film.jpg", *, who: str = "doctor", **headers: str) -> requests.Response:
        """POST one film through the API."""
        return requests.post(
            f"{self.url}/api/v1/cases", files={"file": (name, content)}, headers=self.bearer(who) | headers, timeout=60
        )

    def case(self, case_id: str, *, who: str = "doctor") -> dict[str, Any]:
        answer = requests.get(f"{self.url}/api/v1/cases/{case_id}", headers=self.bearer(who), timeout=60)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def wait_for(self, case_id: str, *, seconds: float = 60.0, every: float = 0.02) -> dict[str, Any]:
        """The case once its state is final."""
        end = time.monotonic() + seconds
        while (case := self.case(case_id))["state"] not in FINAL_STATES:
            if time.monotonic() > end:
                raise TimeoutError(f"case {case_id} is still {case['state']} after {seconds:.0f} s")
            time.sleep(every)
        return case

    def bearer(self, who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.logins[who]['api_token']}"}

    def manage(self, *arguments: str) -> str:
        """Output of a management command on this portal's data."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, check=True, capture_output=True, text=True)
        return done.stdout

    def is_ready(self) -> bool:
        return self.answers("/readyz")

    def answers(self, path: str = "/healthz") -> bool:
        return url_answers(f"{self.url}{path}")

    @contextlib.contextmanager
    def worker(self) -> Iterator[None]:
        """A worker beside what runs, until the block ends."""
        with process([sys.executable, "manage.py", "run_worker"], self.var_dir / "worker.log", cwd=ROOT, env=self.environment):
            yield


@contextlib.contextmanager
def running_portal(
    var_dir: Path, settings: Mapping[str, str] | None = None, *, parts: tuple[str, ...] = ()
) -> Iterator[Portal]:
    """Prepare and start all parts, or those of the Procfile that are named; yields when the portal is ready (when it answers,
    where parts are left out). Ends every process it started."""
    port = free_port()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    inherited = {name: value for name, value in os.environ.items() if name not in {"DJANGO_SETTINGS_MODULE", "VAR_DIR"}}
    environment = {**inherited, "PATH": path, "VAR_DIR": str(var_dir), "PORTAL_PORT": str(port), "PYTHONUNBUFFERED": "1"}
    environment |= {"UPLOADS_PER_MINUTE": "0", "UPLOAD_DAILY_FILES": "0"} | dict(
        settings or {}
    )  # tests send faster than a ward
    portal = Portal(f"http://127.0.0.1:{port}", var_dir, environment)
    portal.manage("prepare", "--demo")
    portal.logins = json.loads((var_dir / "demo-logins.json").read_text(encoding="utf-8"))
    with process(["honcho", "start", *parts], var_dir / "portal.log", cwd=ROOT, env=environment):
        is_up = portal.answers if parts else portal.is_ready
        wait_until(is_up, f"the portal's readiness (see {var_dir / 'portal.log'})")
        yield portal
