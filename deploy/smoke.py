#!/usr/bin/env python3
"""`smoke.py URL`: does this installation do its work? Log in, upload a film, wait for the answer, log out.

Runs wherever Python 3.11 is, with the standard library alone. The film is drawn here and shows no patient; any answer that the
portal gives about it, a finding or a refusal with its code, is an answer. Exit code: 0, or 1 when a step failed, 2 for a
question that makes no sense.
"""

import argparse
import base64
import hashlib
import hmac
import html
import json
import os
import re
import ssl
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
import zlib
from collections.abc import Callable
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

SIDE = 512  # pixels; under 128 the gate would not look at it
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
VERDICT = re.compile(r'class="verdict verdict-([\w-]+)"')
CODE = re.compile(r"Code <code>(\w+)</code>")
SECOND_STEP = "/accounts/2fa/authenticate/"


class StepFailedError(Exception):
    """A sentence for the operator."""


class Browser:
    """Cookies, forms and redirects of one visit."""

    def __init__(self, url: str, *, ca: Path | None, timeout: float) -> None:
        self.url, self.timeout = url.rstrip("/"), timeout
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.HTTPSHandler(context=context)
        )

    def get(self, path: str) -> tuple[int, str, str]:
        return self._open(urllib.request.Request(self.url + path))  # noqa: S310 - `main` has looked at the scheme

    def post(
        self, path: str, body: bytes, content_type: str = "application/x-www-form-urlencoded", **headers: str
    ) -> tuple[int, str, str]:
        headers |= {"Content-Type": content_type, "Referer": self.url + path}
        return self._open(urllib.request.Request(self.url + path, data=body, headers=headers))  # noqa: S310 - as above

    def submit(self, path: str, **fields: str) -> tuple[int, str, str]:
        """Fetch the page with the form and send it filled in."""
        _, _, page = self.get(path)
        return self.post(path, urllib.parse.urlencode(fields | {"csrfmiddlewaretoken": find_token(page)}).encode())

    def _open(self, request: urllib.request.Request) -> tuple[int, str, str]:
        """Status, the path of the page that came in the end, and its text."""
        try:
            with self._opener.open(request, timeout=self.timeout) as answer:
                return answer.status, urllib.parse.urlsplit(answer.url).path, answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, urllib.parse.urlsplit(error.url or "").path, error.read().decode("utf-8", "replace")
        except (OSError, ValueError) as error:  # no connection, a certificate nobody vouches for, no HTTP
            reason = getattr(error, "reason", error)
            raise StepFailedError(f"{self.url} does not answer: {reason}") from error


def find_token(page: str) -> str:
    found = TOKEN.search(page)
    if found is None:
        raise StepFailedError("The page holds no form: is this the portal?")
    return html.unescape(found[1])


def draw_film() -> bytes:
    """A grey PNG with a brighter middle and noise that differs each time, so that no two are the same film."""
    seed = int.from_bytes(os.urandom(4), "big")
    rows = bytearray()
    for y in range(SIDE):
        rows.append(0)  # no filter
        for x in range(SIDE):
            seed = (1103515245 * seed + 12345) & 0x7FFFFFFF
            far = max(abs(x - SIDE / 2), abs(y - SIDE / 2)) / (SIDE / 2)
            rows.append(int(30 + 180 * (1 - far)) + (seed >> 26))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def totp(secret: str, at: float) -> str:
    """The code of RFC 6238: SHA-1, 30 seconds, six digits."""
    key = base64.b32decode(secret.upper() + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(at) // 30), hashlib.sha1).digest()
    start = digest[-1] & 15
    return f"{(int.from_bytes(digest[start : start + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"


class Smoke:
    """The steps in their order; each returns what it saw."""

    def __init__(self, browser: Browser, *, email: str, password: str, secret: str, patience: float) -> None:
        self.browser, self.email, self.password, self.secret, self.patience = browser, email, password, secret, patience
        self.case: dict[str, Any] = {}

    def answer(self) -> str:
        status, _, text = self.browser.get("/healthz")
        if status != 200:
            raise StepFailedError(f"/healthz answers {status}: {text.strip()[:80]}")
        return "the portal answers"

    def log_in(self) -> str:
        status, path, _ = self.browser.submit("/accounts/login/", login=self.email, password=self.password)
        how = "password"
        if path == SECOND_STEP:
            if not self.secret:
                raise StepFailedError("This user has a second factor: give --totp-secret-file.")
            status, path, _ = self.browser.submit(SECOND_STEP, code=totp(self.secret, time.time()))
            how = "password and code"
        if status != 200 or path.startswith("/accounts/"):
            raise StepFailedError(f"The log-in was refused ({status}, {path}).")
        return f"{self.email}, by {how}"

    def upload(self) -> str:
        _, _, page = self.browser.get("/cases/upload/")
        body, content_type = multipart({"csrfmiddlewaretoken": find_token(page)}, "smoke-test.png", draw_film())
        status, _, text = self.browser.post("/cases/upload/", body, content_type, Accept="application/json")
        if status not in {200, 201}:
            raise StepFailedError(f"The upload was refused ({status}): {text.strip()[:200]}")
        self.case = json.loads(text)
        return f"{len(body)} bytes, case {self.case['id']}"

    def result(self) -> str:
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            status, _, text = self.browser.get(self.case["status_url"])
            if status not in {200, 204}:
                raise StepFailedError(f"The case's page answers {status}.")
            found = VERDICT.search(text)
            if found and found[1] != "waiting":
                code = CODE.search(text)
                if found[1] == "failed":
                    raise StepFailedError(f"The analysis failed: {code[1] if code else 'no code'}.")
                return f"{found[1]}{f', {code[1]}' if code else ''}"
            time.sleep(0.5)
        raise StepFailedError(f"No result within {self.patience:.0f} s: is a worker running?")

    def log_out(self) -> str:
        self.browser.submit("/accounts/logout/")
        _, path, _ = self.browser.get("/cases/")
        if not path.startswith("/accounts/login/"):
            raise StepFailedError("The session lives on after logging out.")
        return "the session is over"

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("answer", self.answer),
            ("log in", self.log_in),
            ("upload", self.upload),
            ("result", self.result),
            ("log out", self.log_out),
        ]


def multipart(fields: dict[str, str], name: str, content: bytes) -> tuple[bytes, str]:
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'
    return b"".join(
        [*parts, head.encode(), content, f"\r\n--{boundary}--\r\n".encode()]
    ), f"multipart/form-data; boundary={boundary}"


def run(smoke: Smoke, *, as_json: bool) -> bool:
    """Every step until one fails, one line each."""
    done = []
    for name, step in smoke.steps():
        start = time.monotonic()
        try:
            said, ok = step(), True
        except StepFailedError as error:
            said, ok = str(error), False
        done.append({"step": name, "ok": ok, "seconds": round(time.monotonic() - start, 3), "said": said})
        if not as_json:
            print(f"{'ok' if ok else 'FAILED':>6}  {name}: {said} ({done[-1]['seconds']:.2f} s)", flush=True)  # noqa: T201 - it is for this
        if not ok:
            break
    ok = all(entry["ok"] for entry in done)
    if as_json:
        print(json.dumps({"ok": ok, "steps": done}))  # noqa: T201 - as above
    return ok


def secret_from(path: Path | None, variable: str) -> str:
    """Never an argument: those are in the list of processes."""
    return path.read_text(encoding="utf-8").strip() if path else os.environ.get(variable, "")


def main() -> int:
    parser = argparse.ArgumentParser(description="Log in, upload a film, wait for its result, log out.")
    parser.add_argument("url", help="https://portal.hospital.example")
    parser.add_argument(
        "--email", default=os.environ.get("SMOKE_EMAIL", ""), help="who logs in: a user who may upload (SMOKE_EMAIL)"
    )
    parser.add_argument("--password-file", type=Path, help="file that holds the password (else SMOKE_PASSWORD)")
    parser.add_argument(
        "--totp-secret-file", type=Path, help="file that holds the authenticator's secret (else SMOKE_TOTP_SECRET)"
    )
    parser.add_argument("--ca", type=Path, help="certificate of the hospital's own authority")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds until the result must be there (default: 60)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    given = parser.parse_args()
    if urllib.parse.urlsplit(given.url).scheme not in {"http", "https"}:
        parser.error(f"URL begins with https:// or http://. Received: {given.url}")
    try:
        password = secret_from(given.password_file, "SMOKE_PASSWORD")
        secret = secret_from(given.totp_secret_file, "SMOKE_TOTP_SECRET")
        browser = Browser(given.url, ca=given.ca, timeout=30)
    except OSError as error:
        parser.error(f"A file cannot be read: {error}")
    if not given.email or not password:
        parser.error("Who logs in? --email and --password-file, or SMOKE_EMAIL and SMOKE_PASSWORD.")
    smoke = Smoke(browser, email=given.email, password=password, secret=secret, patience=given.wait)
    return 0 if run(smoke, as_json=given.json) else 1


if __name__ == "__main__":
    sys.exit(main())
