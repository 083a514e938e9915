"""Where a patient's data must not be: logs, Redis and its file, metrics, error pages, mails, file names."""

import contextlib
import zlib
from collections.abc import Iterable
from pathlib import Path

import requests

from tests.faults.marks import CANARY
from tests.faults.site import Site

NEEDLE = CANARY.encode()
ZLIB_HEAD = b"\x78\x9c"  # RQ keeps a job's arguments compressed
LOG_ENDINGS = {".log", ".aof", ".eml"}


def find_canaries(site: Site, bodies: Iterable[str]) -> list[str]:
    """Places with a canary in them; empty is what it should be."""
    found = [f"error page: {body[:60]!r}" for body in bodies if CANARY in body]
    found += [f"file {path.name}" for path in _files_to_search(site) if CANARY in str(path) or _holds_canary(path)]
    found += [f"object {key}" for key in site.objects.keys() if CANARY in key]  # noqa: SIM118 - a method of ours
    with contextlib.suppress(requests.RequestException):
        if CANARY in requests.get(f"{site.portal.url}/metrics", timeout=30).text:
            found.append("/metrics")
    return found


def _files_to_search(site: Site) -> set[Path]:
    folders = {site.directory, site.logs}
    mails = set((site.directory / "mail").glob("*"))
    return mails | {path for folder in folders for path in folder.rglob("*") if path.suffix in LOG_ENDINGS and path.is_file()}


def _holds_canary(path: Path) -> bool:
    try:
        content = path.read_bytes()
    except OSError:  # gone meanwhile: Redis rewrites its file
        return False
    return NEEDLE in content or (path.suffix == ".aof" and any(NEEDLE in text for text in _inflated(content)))


def _inflated(content: bytes) -> Iterable[bytes]:
    """Whatever in the file is compressed, in the clear."""
    start = content.find(ZLIB_HEAD)
    while start >= 0:
        with contextlib.suppress(zlib.error):
            yield zlib.decompressobj().decompress(content[start : start + 65_536], 65_536)
        start = content.find(ZLIB_HEAD, start + 1)
