"""The edge of a machine: what a real nginx with the shipped configuration lets through, refuses and writes down."""

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
import requests

from tests.deploy.edge import DEPLOY, Edge, log_in, nginx, production_portal
from tests.portal import Portal
from tests.servers import free_port, wait_until

pytestmark = [
    pytest.mark.model,
    pytest.mark.postgres,
    pytest.mark.redis,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed"),
    pytest.mark.skipif(shutil.which("envsubst") is None, reason="envsubst (gettext-base) is not installed"),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed"),
]
ONCE = ("Strict-Transport-Security", "X-Content-Type-Options", "Content-Security-Policy", "X-Request-ID", "Cache-Control")
HALF_OPEN = 300


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with production_portal(tmp_path_factory.mktemp("production")) as portal:
        yield portal


@pytest.fixture(scope="module")
def edge(behind: Portal, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with nginx(behind, tmp_path_factory.mktemp("edge")) as running:
        yield running


def upload(edge: Edge, portal: Portal, film: bytes, **headers: str) -> requests.Response:
    return edge.ask("POST", "/api/v1/cases", files={"file": ("film.jpg", film)}, headers=portal.bearer("doctor") | headers)


def send_head(edge: Edge, path: str, length: int) -> http.client.HTTPResponse:
    """The answer to a request whose body is announced and not sent."""
    context = ssl.create_default_context(cafile=str(edge.certificate))
    connection = http.client.HTTPSConnection("localhost", edge.ports["HTTPS_LISTEN"], context=context, timeout=30)
    connection.putrequest("POST", path)
    connection.putheader("Content-Length", str(length))
    connection.endheaders()
    return connection.getresponse()


def assert_each_header_once(answer: requests.Response) -> None:
    names = [name.lower() for name in answer.raw.headers]
    values = {name: answer.raw.headers.getlist(name) for name in ONCE}
    assert {name: len(found) for name, found in values.items()} == dict.fromkeys(ONCE, 1), (values, names)


def test_plain_http_is_sent_to_https_on_the_portals_own_name(edge: Edge) -> None:
    answer = requests.get(
        f"{edge.plain_url}/cases/?page=2", headers={"Host": "evil.example"}, allow_redirects=False, timeout=30
    )
    assert answer.status_code == 301
    assert answer.headers["Location"] == f"{edge.url}/cases/?page=2"
    assert answer.headers["Server"] == "nginx"


def test_a_film_goes_up_and_its_result_and_bytes_come_back(edge: Edge, behind: Portal, film_jpeg: bytes) -> None:
    accepted = upload(edge, behind, film_jpeg)
    assert accepted.status_code == 201
    case = accepted.json()
    read = f"/api/v1/cases/{case['id']}"
    wait_until(
        lambda: edge.ask("GET", read, headers=behind.bearer("doctor")).json()["state"] in {"done", "refused"}, "the result"
    )
    session = log_in(edge.url, edge.certificate, behind.logins["doctor"]["email"], behind.logins["doctor"]["password"])
    film = session.get(f"{edge.url}/cases/{case['id']}/original/", timeout=30)
    assert film.content == film_jpeg
    assert film.headers["Content-Type"] == "image/jpeg"
    assert film.headers["Content-Disposition"] == 'attachment; filename="film.jpg"'
    assert film.headers["Cache-Control"] == "private, no-store"
    assert "sandbox" in film.headers["Content-Security-Policy"]
    assert "X-Accel-Redirect" not in film.headers
    assert_each_header_once(film)
    wait_until(lambda: session.get(f"{edge.url}/cases/{case['id']}/display/", timeout=30).status_code == 200, "the picture")
    sent_by_nginx = [line for line in edge.log() if line["path"] == f"/cases/{case['id']}/original/"]
    assert [line["bytes"] for line in sent_by_nginx] == [len(film_jpeg)]


def test_films_have_no_address_of_their_own(edge: Edge, behind: Portal, film_jpeg: bytes) -> None:
    case_id = upload(edge, behind, film_jpeg).json()["id"]
    assert (behind.var_dir / "media" / "cases" / case_id).exists()
    assert edge.ask("GET", f"/films/cases/{case_id}").status_code == 404
    assert (
        edge.ask("GET", f"/cases/{case_id}/original/", headers={"X-Accel-Redirect": f"/films/cases/{case_id}"}).status_code
        == 302
    )


def test_what_a_client_claims_about_itself_is_overwritten(edge: Edge, behind: Portal, film_jpeg: bytes) -> None:
    claims = {
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Proto": "http",
        "Forwarded": "for=203.0.113.7",
        "X-Request-ID": "f" * 32,
    }
    answer = upload(edge, behind, film_jpeg, **claims)
    assert answer.status_code in {200, 201}
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])
    assert answer.headers["X-Request-ID"] != "f" * 32
    entry = f"AuditEvent.objects.get(request_id='{answer.headers['X-Request-ID']}', action='uploaded')"
    said = behind.manage("shell", "-c", f"from accounts.models import AuditEvent; print({entry}.address)")
    assert said.strip().splitlines()[-1] == "127.0.0.1"


def test_a_load_balancer_in_front_is_believed_where_it_is_named(
    edge: Edge, behind: Portal, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert address_logged(edge, "203.0.113.7") == "127.0.0.1"
    with nginx(behind, tmp_path_factory.mktemp("balanced"), TRUSTED_PROXIES="10.0.0.0/16 127.0.0.1") as balanced:
        assert address_logged(balanced, "203.0.113.7") == "203.0.113.7"


def address_logged(edge: Edge, claimed: str) -> str:
    """Whom nginx takes for the client of a request that claims to come from elsewhere; the line follows the answer."""
    before = len(edge.log())
    edge.ask("GET", "/healthz", headers={"X-Forwarded-For": claimed})
    wait_until(lambda: len(edge.log()) > before, "nginx' line")
    return str(edge.log()[-1]["address"])


@pytest.mark.parametrize(
    ("variables", "named"), [({}, "SERVER_NAME"), ({"SERVER_NAME": "x", "CERTIFICATE": "y", "CERTIFICATE_KEY": "z"}, "films")]
)
def test_a_configuration_that_lacks_something_is_not_made(variables: dict[str, str], named: str) -> None:
    environment = {"PATH": os.environ["PATH"], "LOCAL_FILMS_BY_PROXY": "films", **variables}
    done = subprocess.run(
        ["sh", str(DEPLOY / "nginx" / "render.sh")], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, named in done.stderr) == (1, "", True)


def test_only_uploads_may_be_large(edge: Edge) -> None:
    megabyte = 1024 * 1024
    form = send_head(edge, "/accounts/login/", 2 * megabyte)
    assert form.status == 413
    assert form.getheader("Strict-Transport-Security")
    refused = send_head(edge, "/api/v1/cases", 66 * megabyte)
    assert (refused.status, json.loads(refused.read())["code"]) == (413, "TOO_LARGE")
    assert send_head(edge, "/cases/upload/", 66 * megabyte).getheader("Content-Type", "").startswith("text/plain")


def test_a_film_of_the_largest_size_reaches_the_portal(edge: Edge, behind: Portal) -> None:
    answer = upload(edge, behind, b"\0" * (64 * 1024 * 1024))
    assert (answer.status_code, answer.json()["code"]) == (422, "UNSUPPORTED_FORMAT")


def test_a_flood_of_logins_gets_429_and_reading_goes_on(behind: Portal, tmp_path_factory: pytest.TempPathFactory) -> None:
    with nginx(
        behind, tmp_path_factory.mktemp("strict"), ADDRESS_LOGINS_PER_MINUTE="6", LOGINS_BURST="2", UPLOADS_BURST="1"
    ) as strict:
        answers = [strict.ask("POST", "/accounts/login/", data={"login": "x"}) for _ in range(6)]
        assert [answer.status_code for answer in answers[-2:]] == [429, 429]
        assert answers[-1].headers["Retry-After"] == "10"
        assert_each_header_once(answers[-1])
        assert strict.ask("GET", "/accounts/login/").status_code == 200


def test_headers_come_once_from_whoever_answers(edge: Edge) -> None:
    page = edge.ask("GET", "/accounts/login/")
    style = re.search(r'href="(/static/[^"]+\.css)"', page.text)
    assert style
    assert_each_header_once(page)
    static = edge.ask("GET", style[1])
    assert static.headers["Cache-Control"] == "public, max-age=315360000, immutable"
    assert static.headers["Content-Encoding"] == "gzip"
    assert static.headers["Strict-Transport-Security"]
    assert edge.log()[-1]["portal_status"] == ""  # nginx sent it by itself
    assert edge.ask("GET", "/static/nothing.css").status_code == 404


def test_the_access_log_holds_no_query_and_no_secret_link(edge: Edge) -> None:
    edge.ask("GET", "/cases/?q=ZZPHICANARY", headers={"Referer": f"{edge.url}/cases/?q=ZZPHICANARY"})
    edge.ask("GET", "/nowhere?q=ZZPHICANARY")
    edge.ask("GET", "/accounts/invitation/MQ/SECRETLINK/")
    edge.ask("GET", "/accounts/password/reset/key/1-SECRETLINK/")
    requests.get(f"{edge.plain_url}/cases/?q=ZZPHICANARY", allow_redirects=False, timeout=30)
    written = "".join((edge.directory / name).read_text(encoding="utf-8") for name in ("access.log", "error.log", "start.log"))
    assert "ZZPHICANARY" not in written
    assert "SECRETLINK" not in written
    paths = [line["path"] for line in edge.log()[-5:]]
    assert paths == ["/cases/", "/nowhere", "/accounts/invitation/…", "/accounts/password/reset/key/…", "/cases/"]


def test_a_file_switches_the_maintenance_page_on(edge: Edge) -> None:
    edge.maintenance.touch()
    try:
        page = edge.ask("GET", "/cases/", headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["Retry-After"]) == (503, "30")
        assert "<h1>The portal is being worked on</h1>" in page.text
        assert page.headers["Content-Type"].startswith("text/html")
        assert_each_header_once(page)
        assert edge.ask("POST", "/api/v1/cases", data=b"x").json()["code"] == "UNAVAILABLE"
    finally:
        edge.maintenance.unlink()
    assert edge.ask("GET", "/healthz").status_code == 200


def test_a_portal_that_is_down_gets_the_same_page(behind: Portal, tmp_path_factory: pytest.TempPathFactory) -> None:
    with nginx(behind, tmp_path_factory.mktemp("down"), UPSTREAMS=f"127.0.0.1:{free_port()}") as alone:
        page = alone.ask("GET", "/cases/")
        assert page.status_code == 503
        assert "being worked on" in page.text


def test_trace_is_refused_and_the_metrics_are_for_the_monitoring_host(
    edge: Edge, behind: Portal, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert edge.ask("TRACE", "/").status_code == 405
    assert edge.ask("PROPFIND", "/").status_code == 405
    assert edge.ask("GET", "/metrics").status_code == 403  # through the proxy nobody is loopback: the token alone opens
    with nginx(behind, tmp_path_factory.mktemp("monitored"), MONITORING="192.0.2.1") as closed:
        assert [closed.ask("GET", path).status_code for path in ("/metrics", "/readyz")] == [404, 404]
        assert closed.ask("GET", "/healthz").status_code == 200
    status = requests.get(f"http://127.0.0.1:{edge.ports['STATUS_PORT']}/status", timeout=30)
    assert status.text.startswith("Active connections:")


def test_old_tls_is_refused(edge: Edge) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.create_default_context(cafile=str(edge.certificate))
        context.minimum_version = context.maximum_version = version
        with socket.create_connection(("localhost", edge.ports["HTTPS_LISTEN"])) as raw:
            context.wrap_socket(raw, server_hostname="localhost").close()
    command = [
        "openssl",
        "s_client",
        "-connect",
        f"localhost:{edge.ports['HTTPS_LISTEN']}",
        "-tls1_1",
        "-cipher",
        "ALL:@SECLEVEL=0",
    ]
    assert subprocess.run(command, input=b"", capture_output=True, check=False).returncode != 0


def test_half_open_connections_are_cut_and_keep_nobody_waiting(edge: Edge) -> None:
    context = ssl.create_default_context(cafile=str(edge.certificate))
    with ExitStack() as held:
        slow = []
        for _ in range(HALF_OPEN):
            raw = held.enter_context(socket.create_connection(("localhost", edge.ports["HTTPS_LISTEN"]), timeout=30))
            slow.append(held.enter_context(context.wrap_socket(raw, server_hostname="localhost")))
            slow[-1].sendall(b"GET /cases/ HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        begin = time.monotonic()
        assert [edge.ask("GET", "/healthz").status_code for _ in range(10)] == [200] * 10
        assert time.monotonic() - begin < 10
        slow[-1].settimeout(30)
        with suppress(ConnectionResetError):
            assert not slow[-1].recv(1024)  # closed by nginx once its patience is over


@pytest.mark.parametrize("who", ["doctor", "radiologist", "admin"])
def test_the_smoke_test_passes_against_the_installation(edge: Edge, behind: Portal, who: str) -> None:
    login = behind.logins[who]
    if who == "admin":
        login = login | {"password": "not the password"}
    secrets = {"SMOKE_EMAIL": login["email"], "SMOKE_PASSWORD": login["password"]}
    secrets["SMOKE_TOTP_SECRET"] = login.get("totp_secret", "")
    command = [sys.executable, "-I", str(DEPLOY / "smoke.py"), edge.url, "--ca", str(edge.certificate), "--json"]
    done = subprocess.run(
        command, env={"PATH": os.environ["PATH"]} | secrets, capture_output=True, text=True, check=False, timeout=120
    )
    report = json.loads(done.stdout)
    steps = [(step["step"], step["ok"]) for step in report["steps"]]
    if who == "admin":
        assert (done.returncode, steps) == (1, [("answer", True), ("log in", False)])
        return
    assert (done.returncode, report["ok"]) == (0, True), report
    assert [name for name, _ in steps] == ["answer", "log in", "upload", "result", "log out"]
    assert re.match(r"(pneumonia|normal|refused|indeterminate)\b", report["steps"][3]["said"]), report
