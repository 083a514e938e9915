"""Where alerts arrive: a webhook and a mail server, and an Alertmanager with the shipped configuration that sends to both."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from aiosmtpd.controller import Controller

from tests.portal import ROOT
from tests.servers import free_port, process, url_answers, wait_until

SHIPPED = ROOT / "deploy" / "alertmanager"
# The mail server of a test is on loopback and knows neither TLS nor passwords
MAIL = """smtp_auth_username: portal-alerts@hospital.example
  smtp_auth_password_file: smtp_password
  smtp_require_tls: true"""


@dataclass
class Alarms:
    """What has arrived."""

    hook_port: int
    calls: list[dict[str, Any]] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)

    def called(self, alert: str, status: str = "firing") -> bool:
        """Whether the webhook was told that the alert has this status."""
        told = (one for call in self.calls for one in call["alerts"])
        return any(one["labels"]["alertname"] == alert and one["status"] == status for one in told)

    def mailed(self, alert: str) -> bool:
        return any(f"FIRING: {alert}" in mail for mail in self.mails)

    def everything(self) -> str:
        return json.dumps(self.calls) + "".join(self.mails)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(envelope.content.decode())
        return "250 OK"


@contextmanager
def alarms() -> Iterator[tuple[Alarms, int]]:
    """The webhook and the mail server; yields what arrives there and the mail server's port."""
    arrived = Alarms(free_port())

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.calls.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing: the calls are kept."""

    mail = Controller(arrived, hostname="127.0.0.1", port=free_port())
    server = ThreadingHTTPServer(("127.0.0.1", arrived.hook_port), Hook)
    Thread(target=server.serve_forever, daemon=True).start()
    mail.start()
    try:
        yield arrived, mail.port
    finally:
        mail.stop()
        server.shutdown()
        server.server_close()


@contextmanager
def alertmanager(directory: Path, *, hook_port: int, mail_port: int) -> Iterator[int]:
    """As shipped, with another mail server and webhook, and without the patience; yields its port."""
    home, port = directory / "alertmanager", free_port()
    shutil.copytree(SHIPPED, home)
    text = (home / "alertmanager.yml").read_text(encoding="utf-8")
    instead = {
        "smtp_smarthost: mail.hospital.example:587": f"smtp_smarthost: 127.0.0.1:{mail_port}",
        MAIL: "smtp_require_tls: false",
        "url: http://127.0.0.1:9095/alerts": f"url: http://127.0.0.1:{hook_port}/alerts",
        "group_wait: 15s": "group_wait: 1s",
        "group_wait: 5s": "group_wait: 1s",
        "group_interval: 5m": "group_interval: 2s",
    }
    for written, put in instead.items():
        assert written in text, written
        text = text.replace(written, put)
    (home / "alertmanager.yml").write_text(text, encoding="utf-8")
    options = [f"--config.file={home / 'alertmanager.yml'}", f"--storage.path={directory / 'alerts'}"]
    listen = [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with process(["prometheus-alertmanager", *options, *listen], directory / "alertmanager.log"):
        wait_until(
            lambda: url_answers(f"http://127.0.0.1:{port}/-/ready"),
            f"Alertmanager's start (see {directory / 'alertmanager.log'})",
        )
        yield port
