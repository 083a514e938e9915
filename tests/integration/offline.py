"""`python -m tests.integration.offline DIR`, inside a network namespace of its own: start, upload, read, look at the pages."""

import contextlib
import fcntl
import os
import re
import socket
import struct
import sys
from pathlib import Path

import requests

from tests.portal import running_portal

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
ELSEWHERE = re.compile(r"""(?:src|href|action)=["'](?:https?:)?//(?!127\.0\.0\.1)""")


def raise_loopback() -> None:
    with socket.socket() as control:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags | IFF_UP, b""))


def refuse_a_way_out() -> None:
    """The test means something only if nothing outside can be reached."""
    with contextlib.suppress(OSError):
        socket.create_connection(("192.0.2.1", 80), timeout=1).close()
        raise SystemExit("the network is not cut")


def main(var_dir: Path) -> None:
    raise_loopback()
    refuse_a_way_out()
    os.environ["DJANGO_SETTINGS_MODULE"] = "pneumo_site.settings"
    from diagnostics import phantom

    with running_portal(var_dir) as portal:
        case = portal.wait_for(portal.upload(phantom.encode_jpeg(phantom.draw_film(seed=3))).json()["id"])
        page = requests.get(f"{portal.url}/accounts/login/", timeout=10).text
        if found := ELSEWHERE.findall(page):
            raise SystemExit(f"the log-in page names other hosts: {found}")
        print(case["state"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
