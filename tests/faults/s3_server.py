"""`python -m tests.faults.s3_server PORT`: moto's S3 behind a layer that fails on request.

PUT /_faults takes a plan as JSON and answers how often each fault of the plan before was met:

{"put": {"error": 0.3, "hang": 0.1}, "get": {"missing": 0.2}}: shares of the requests by method that meet each fault.
"""

import json
import random
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple

HANG_SECONDS = 20.0
SLOW_SECONDS = 1.0
KEPT = "probes/"  # whether storage has come back is asked by a probe: faults of single requests spare it

Start = Callable[..., Any]


class FaultyS3:
    """moto, and a share of what is asked of it goes wrong."""

    def __init__(self) -> None:
        self._moto: Start = create_backend_app("s3")  # moto's own dispatcher reads its folder of services at each request
        self._plan: dict[str, dict[str, float]] = {}
        self._random = random.Random()
        self._met: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/_faults":
            return self._take_plan(environ, start_response)
        act = {
            "hang": self._hang,
            "slow": self._delay,
            "error": self._refuse,
            "unavailable": self._refuse,
            "missing": self._refuse,
            "reset": self._reset,
            "lost_reply": self._lose_reply,
            "short": self._shorten,
            "truncated": self._truncate,
        }
        fault = self._choose(environ)
        environ["faults.name"] = fault
        if fault:
            self._met[fault] += 1
        answer: Iterable[bytes] = act.get(fault, self._moto)(environ, start_response)
        return answer

    def _take_plan(self, environ: dict[str, Any], start_response: Start) -> list[bytes]:
        plan = json.loads(self._read_body(environ))
        self._random = random.Random(plan.pop("seed", None))
        self._plan, met = plan, self._met
        self._met = Counter()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(met).encode()]

    def _choose(self, environ: dict[str, Any]) -> str:
        shares = self._plan.get(environ["REQUEST_METHOD"].lower(), {})
        if environ["PATH_INFO"].partition(KEPT)[1] and not self._plan.get("probes"):
            return ""
        chance = self._random.random()
        for fault, share in shares.items():
            if chance < share:
                return fault
            chance -= share
        return ""

    def _read_body(self, environ: dict[str, Any]) -> bytes:
        body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        return body

    def _delay(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        time.sleep(SLOW_SECONDS)
        answer: Iterable[bytes] = self._moto(environ, start_response)
        return answer

    def _hang(self, environ: dict[str, Any], start_response: Start) -> list[bytes]:
        time.sleep(HANG_SECONDS)
        return self._refuse(environ, start_response)

    def _refuse(self, environ: dict[str, Any], start_response: Start) -> list[bytes]:
        self._read_body(environ)
        status, code = {
            "missing": ("404 Not Found", "NoSuchKey"),
            "unavailable": ("503 Slow Down", "SlowDown"),
        }.get(environ["faults.name"], ("500 Internal Server Error", "InternalError"))
        start_response(status, [("Content-Type", "application/xml")])
        return [f"<Error><Code>{code}</Code><Message>fault</Message></Error>".encode()]

    def _reset(self, environ: dict[str, Any], _start_response: Start) -> list[bytes]:
        connection: socket.socket = environ["werkzeug.socket"]
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        return []

    def _lose_reply(self, environ: dict[str, Any], _start_response: Start) -> list[bytes]:
        """What was asked is done, and nobody hears of it."""
        b"".join(self._moto(environ, lambda *_: None))
        return self._reset(environ, _start_response)

    def _shorten(self, environ: dict[str, Any], start_response: Start) -> list[bytes]:
        """The length in the header stays the whole's: the connection ends in the middle."""
        whole = b"".join(self._moto(environ, start_response))
        return [whole[: len(whole) // 2]]

    def _truncate(self, environ: dict[str, Any], start_response: Start) -> list[bytes]:
        """Half the object under a header that says so: nothing but the hash can tell."""
        kept: list[Any] = []
        whole = b"".join(self._moto(environ, lambda *given: kept.extend(given)))
        body = whole[: len(whole) // 2]
        unsaid = {"content-length", "content-range"}
        start_response(
            kept[0], [(name, value) for name, value in kept[1] if name.lower() not in unsaid and "checksum" not in name]
        )
        return [body]


class QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        """Nothing: a request's line is no news."""


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), FaultyS3(), threaded=True, request_handler=QuietHandler)
