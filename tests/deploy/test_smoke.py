"""`smoke.py` against the running embedded portal, and what it does by hand there: a code and a picture."""

import importlib.util
import io
import os
import subprocess
import sys
from types import ModuleType

import pytest
from PIL import Image

from tests.deploy.edge import DEPLOY
from tests.portal import Portal
from tests.servers import free_port

SMOKE = DEPLOY / "smoke.py"
CAREFUL = {"SMOKE_EMAIL": "careful@demo.example", "SMOKE_PASSWORD": "seven quiet lamps"}


@pytest.fixture(scope="module")
def smoke() -> ModuleType:
    spec = importlib.util.spec_from_file_location("smoke", SMOKE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(url: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-I", str(SMOKE), url]
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def log_in_of(portal: Portal, who: str) -> dict[str, str]:
    login = portal.logins[who]
    return {"SMOKE_EMAIL": login["email"], "SMOKE_PASSWORD": login["password"]}


@pytest.mark.parametrize(("at", "code"), [(59, "287082"), (1111111109, "081804"), (20000000000, "353130")])
def test_a_code_is_that_of_the_standard(smoke: ModuleType, at: int, code: str) -> None:
    assert smoke.totp("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", at) == code  # RFC 6238, appendix B, the last six digits


def test_the_drawn_film_is_a_picture_and_never_the_same(smoke: ModuleType) -> None:
    first, second = smoke.draw_film(), smoke.draw_film()
    assert first != second
    with Image.open(io.BytesIO(first)) as picture:
        picture.load()
        assert (picture.mode, picture.size) == ("L", (smoke.SIDE, smoke.SIDE))


@pytest.mark.model
def test_each_step_says_a_line_and_the_code_is_zero(portal: Portal) -> None:
    done = run(portal.url, **log_in_of(portal, "doctor"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ok"] * 5
    assert portal.logins["doctor"]["password"] not in done.stdout


@pytest.mark.model
def test_a_user_with_a_second_factor_gets_in_by_its_code(portal: Portal) -> None:
    made = "from accounts.models import Hospital, User; from accounts.second_factor import enrol_app; "
    made += f"u = User(email='{CAREFUL['SMOKE_EMAIL']}', full_name='C', role='doctor', hospital=Hospital.objects.first()); "
    made += f"u.set_password('{CAREFUL['SMOKE_PASSWORD']}'); u.save(); print(enrol_app(user=u))"
    secret = portal.manage("shell", "-c", made).strip().splitlines()[-1]
    refused = run(portal.url, **CAREFUL)
    assert (refused.returncode, "--totp-secret-file" in refused.stdout) == (1, True)
    done = run(portal.url, **CAREFUL, SMOKE_TOTP_SECRET=secret)
    assert done.returncode == 0, done.stdout
    assert "password and code" in done.stdout


def test_no_portal_no_name_and_no_address_end_in_one_sentence(portal: Portal) -> None:
    nobody = run(f"http://127.0.0.1:{free_port()}", SMOKE_EMAIL="a@b.example", SMOKE_PASSWORD="x")
    assert (nobody.returncode, "does not answer" in nobody.stdout) == (1, True)
    assert run(portal.url).returncode == 2
    assert run("ftp://portal.example", SMOKE_EMAIL="a@b.example", SMOKE_PASSWORD="x").returncode == 2
