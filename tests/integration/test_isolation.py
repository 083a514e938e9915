"""What a web process loads, and that nothing needs the network."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.portal import ROOT, Portal

TENSORS = ("tensorflow", "keras", "openvino", "sklearn", "matplotlib", "numpy")
DECODERS = ("PIL", "pydicom", "gdcm", "openjpeg", "jpeg_ls")
HEAVY = (*TENSORS, *DECODERS, "boto3")
WEB_LIMIT = 150  # MB
WORKER_LIMIT = 1536  # MB

LOAD_WEB = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
from pneumo_site.wsgi import application
from mlmodel import api
api.active_model()
from diagnostics import phantom
bad = {name for name in sys.modules if name.split(".")[0] in set(sys.argv[1:])}
print(json.dumps(sorted(bad)))
"""


def test_a_web_process_imports_no_tensor_library_and_no_pixel_decoder() -> None:
    done = subprocess.run([sys.executable, "-c", LOAD_WEB, *HEAVY], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


READ_PORTAL = """
import json, os, threading
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import pneumo_site.wsgi
from django.urls import get_resolver
from django.db import connections
import psutil
own = psutil.Process()
files = [file.path for file in own.open_files() if "sqlite" in file.path]
print(json.dumps([
    "url_patterns" in vars(get_resolver()),
    threading.active_count(), len(own.net_connections()), files, [one.connection is not None for one in connections.all()],
]))
"""


def test_what_gunicorn_reads_before_it_forks_opens_no_connection_and_starts_no_thread() -> None:
    """Processes that share a connection would read each other's answers; a thread would not be there after the fork."""
    done = subprocess.run([sys.executable, "-c", READ_PORTAL], cwd=ROOT, capture_output=True, text=True, check=True)
    has_views, threads, sockets, files, connected = json.loads(done.stdout.splitlines()[-1])
    assert has_views
    assert (threads, sockets, files) == (1, 0, [])
    assert not any(connected)


def peak_memory_of(pid: int) -> float:
    """The most that was ever resident, in MB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def processes_of(portal: Portal, command: str) -> list[int]:
    """Processes with that command line which belong to this portal's `var/`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().decode().replace("\0", " ")
            # Redis writes its title over its environment; the title names its socket.
            own = str(portal.var_dir).encode() in (entry / "environ").read_bytes() + words.encode()
        except (OSError, ValueError):
            continue
        wrapped = any(wrapper in words for wrapper in ("keep_running", "honcho", "sh -c"))
        if entry.name.isdigit() and own and command in words and not (command and wrapped):
            found.append(int(entry.name))
    return found


@pytest.mark.model
def test_web_and_worker_stay_within_their_memory(portal: Portal, film_jpeg: bytes, film_dicom: bytes) -> None:
    for _ in range(10):
        for content in (film_jpeg, film_dicom):
            portal.wait_for(portal.upload(content).json()["id"])
    for _ in range(4):
        log_in(portal)  # a password's hash takes memory too
    portal.upload(film_jpeg + bytes(60 * 1024 * 1024))
    web, worker = processes_of(portal, "gunicorn"), processes_of(portal, "run_worker")
    assert len(web) == 3
    assert len(worker) == 1
    assert max(peak_memory_of(pid) for pid in web) < WEB_LIMIT
    assert peak_memory_of(worker[0]) < WORKER_LIMIT


def log_in(portal: Portal) -> None:
    with requests.Session() as browser:
        page = browser.get(f"{portal.url}/accounts/login/", timeout=30).text
        token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[0]
        login = portal.logins["doctor"]
        form = {"login": login["email"], "password": login["password"], "csrfmiddlewaretoken": token}
        answer = browser.post(f"{portal.url}/accounts/login/", data=form, timeout=30)
        assert answer.url == f"{portal.url}/cases/"


@pytest.mark.model
def test_a_running_worker_has_loaded_no_tensorflow_on_a_machine_without_gpu(portal: Portal) -> None:
    (worker,) = processes_of(portal, "run_worker")
    maps = Path(f"/proc/{worker}/maps").read_text(encoding="utf-8")
    assert "openvino" in maps
    assert Path("/dev/nvidia0").exists() or "libtensorflow" not in maps
