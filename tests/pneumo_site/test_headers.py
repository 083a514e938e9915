"""The full set of headers on every answer of every address: pages, fragments, films, files, redirects, refusals, failures."""

import re
from collections.abc import Iterator
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django import Settings

from accounts.models import User
from diagnostics import storage
from diagnostics.views import worklist
from mlmodel.registry import newest_shipped
from pneumo_site.settings import BASE_DIR
from tests.diagnostics.cases import make_case, make_prediction

SAMPLES = {"uuid": str(uuid4()), "int": "1", "str": newest_shipped().name, "slug": "x", "path": "x"}
PICTURES = {"image/png", "image/jpeg", "application/dicom", "image/svg+xml"}
PUBLIC = ("/static/", "/model/")  # nothing of a patient in them: a browser may keep these files


def addresses(resolver: Any = None, before: str = "/") -> Iterator[str]:
    """One address for each pattern of the whole tree."""
    for pattern in (resolver or get_resolver()).url_patterns:
        address = before + sample_of(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern, address)
        else:
            assert isinstance(pattern, URLPattern)
            yield address


def sample_of(route: str) -> str:
    """`<uuid:pk>/` and `^(?P<key>.+)/$` with something in their places."""
    filled = re.sub(r"<(?:(\w+):)?\w+>", lambda match: SAMPLES[match[1] or "str"], re.sub(r"\(\?P<(\w+)>", r"(", route))
    return re.sub(r"\((?:[^()]|\([^()]*\))*\)|[\^$?\\]", lambda match: "auth" if match[0].startswith("(") else "", filled)


def assert_set(answer: Any, address: str) -> None:
    """`answer` is what a client got from `address`."""
    headers, where = answer.headers, f"{address} ({answer.status_code})"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy, where
    assert "frame-ancestors 'none'" in policy, where
    assert "unsafe" not in policy, where
    assert headers["X-Frame-Options"] == "DENY", where
    assert headers["X-Content-Type-Options"] == "nosniff", where
    assert headers["Referrer-Policy"] == "same-origin", where
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin", where
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin", where
    assert "camera=()" in headers["Permissions-Policy"], where
    assert re.fullmatch(r"[0-9a-f]{32}", headers["X-Request-ID"]), where
    assert "Access-Control-Allow-Origin" not in headers, where
    if not address.startswith(PUBLIC):
        assert "no-store" in headers["Cache-Control"], where
    if headers.get("Content-Type", "").split(";")[0] in PICTURES:
        assert "sandbox" in policy, where


def test_the_walk_meets_every_room() -> None:
    found = set(addresses())
    assert len(found) > 80
    rooms = {
        "/cases/upload/",
        "/api/v1/cases",
        "/admin/diagnostics/case/",
        "/accounts/2fa/webauthn/add/",
        "/metrics",
        f"/model/{SAMPLES['str']}/",
    }
    assert rooms <= found


@pytest.mark.parametrize("who", [None, "doctor", "radiologist", "admin_user", "operator"])
def test_every_address_answers_with_the_set(who: str | None, request: pytest.FixtureRequest, client: Client, db: None) -> None:
    if who:
        client.force_login(request.getfixturevalue(who))
    client.raise_request_exception = False
    for address in addresses():
        if "logout" not in address:
            assert_set(client.get(address), address)
            assert_set(client.post(address), address)


def test_films_come_with_the_set_and_in_a_sandbox(client: Client, doctor: User, film_jpeg: bytes) -> None:
    case = make_case(doctor, state="done")
    prediction = make_prediction(case)
    for key in (case.original_key, storage.display_key(case.pk), prediction.heatmap_key):
        storage.save_derived(key, film_jpeg)
    client.force_login(doctor)
    for part in ("original", "display", "heatmap"):
        answer = client.get(f"/cases/{case.pk}/{part}/")
        assert answer.status_code == 200
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert_set(answer, f"/cases/{case.pk}/{part}/")


def test_refusals_and_failures_carry_the_set(client: Client, doctor: User, operator: User, settings: Settings) -> None:
    client.raise_request_exception = False
    client.force_login(doctor)
    answers = [client.get("/nowhere/"), client.get("/cases/", headers={"Host": "elsewhere.example"})]
    answers.append(client.generic("POST", "/cases/upload/", b"", CONTENT_LENGTH=str(2**40)))
    with mock.patch.object(worklist, "render", side_effect=ValueError):
        answers.append(client.get("/cases/"))
    strict = Client(enforce_csrf_checks=True)
    answers.append(strict.post("/accounts/login/", {}))
    client.force_login(operator)
    answers.append(client.get("/cases/"))
    assert [answer.status_code for answer in answers] == [404, 400, 413, 500, 403, 403]
    for answer in answers:
        assert_set(answer, "/refused/")


def test_static_files_carry_the_set(client: Client, settings: Settings) -> None:
    settings.WHITENOISE_AUTOREFRESH = settings.WHITENOISE_USE_FINDERS = True
    settings.STATICFILES_DIRS = [BASE_DIR / "static"]
    for address in ("/static/css/portal.css", "/static/js/ui.js", "/static/img/favicon.svg"):
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert_set(answer, address)


def test_over_tls_the_browser_is_told_to_stay_there(client: Client, db: None, settings: Settings) -> None:
    settings.SECURE_HSTS_SECONDS, settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = 31_536_000, True
    settings.SECURE_SSL_REDIRECT = True
    assert (
        "max-age=31536000; includeSubDomains"
        in client.get("/accounts/login/", secure=True).headers["Strict-Transport-Security"]
    )
    redirect = client.get("/accounts/login/")
    assert redirect.status_code == 301
    assert_set(redirect, "/accounts/login/")


@pytest.mark.parametrize("address", ["/accounts/logout/", "/admin/logout/"])
def test_logging_out_empties_the_browsers_cache(client: Client, admin_user: User, address: str) -> None:
    client.force_login(admin_user)
    assert "Clear-Site-Data" not in client.get("/cases/").headers
    answer: HttpResponse = client.post(address)  # type: ignore[assignment]
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert client.get("/cases/").status_code == 302


def test_scripts_run_by_nonce_or_from_here_alone(client: Client, db: None) -> None:
    policy = client.get("/accounts/login/").headers["Content-Security-Policy"]
    script = next(part for part in policy.split(";") if part.strip().startswith("script-src"))
    assert set(script.split()[1:]) - {"'self'"} <= {word for word in script.split() if word.startswith("'nonce-")}
