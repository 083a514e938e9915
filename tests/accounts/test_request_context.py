"""Each request has an id and an address, and they are gone when it is over."""

from collections.abc import Callable
from uuid import UUID

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from pytest_django import Settings

from accounts import request_context
from accounts.models import User
from accounts.request_context import RequestContext, current, current_user_id


def seen_by(view: Callable[[HttpRequest], None], **request: str) -> HttpResponse:
    """What the middleware answers around this view."""

    def answer(asked: HttpRequest) -> HttpResponse:
        view(asked)
        return HttpResponse()

    response = request_context.middleware(answer)(RequestFactory().get("/", **request))  # type: ignore[arg-type]
    assert isinstance(response, HttpResponse)
    return response


def context_of(**request: str) -> RequestContext:
    found: list[RequestContext] = []
    seen_by(lambda _: found.append(current()), **request)
    return found[0]


def test_a_request_without_an_id_gets_one_and_is_told(client: Client) -> None:
    first, second = (client.get("/healthz").headers["X-Request-ID"] for _ in range(2))
    assert UUID(first).hex == first
    assert first != second


@pytest.mark.parametrize("given", ["0af7651916cd43dd8448eb211c80319c", "6f2b9a3e-8f5d-4a35-9f0c-2c1f8a1b7e55"])
def test_the_proxys_id_is_kept(client: Client, given: str) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "short", "Müller^Anna^19990101", "0" * 65, "0af7651916cd43dd\r\n8448eb211c80319c"])
def test_what_is_no_id_is_replaced(given: str) -> None:
    kept = seen_by(lambda _: None, HTTP_X_REQUEST_ID=given).headers["X-Request-ID"]
    assert kept != given
    assert len(kept) == 32


def test_without_a_proxy_the_peers_address_counts_and_no_header() -> None:
    assert context_of(REMOTE_ADDR="198.51.100.7", HTTP_X_FORWARDED_FOR="203.0.113.9").address == "198.51.100.7"


@pytest.mark.parametrize(
    ("proxies", "hops", "address"),
    [
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "192.0.2.66, 203.0.113.9", "203.0.113.9"),  # the first was written by the client itself
        (2, "192.0.2.66, 203.0.113.9, 10.0.0.5", "203.0.113.9"),
        (2, "203.0.113.9", "10.0.0.1"),  # too short a list came past the proxies
        (1, "", "10.0.0.1"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "unknown", None),
    ],
)
def test_behind_proxies_the_address_is_who_spoke_to_the_first(
    settings: Settings, proxies: int, hops: str, address: str | None
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    assert context_of(REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=hops).address == address


def test_a_peer_behind_a_socket_has_no_address() -> None:
    assert context_of(REMOTE_ADDR="").address is None


def test_outside_a_request_the_context_is_empty() -> None:
    context_of()
    assert current() == RequestContext(request_id="", address=None)
    assert current_user_id() is None


def test_a_view_that_fails_leaves_no_context_behind() -> None:
    def fail(_: HttpRequest) -> None:
        raise ValueError

    with pytest.raises(ValueError):
        seen_by(fail)
    assert current().request_id == ""


def test_the_user_is_known_once_the_session_was_read_and_never_asked_for(doctor: User) -> None:
    found: list[object] = []

    def look(request: HttpRequest) -> None:
        found.append(current_user_id())
        request._cached_user = doctor  # type: ignore[attr-defined]
        found.append(current_user_id())

    seen_by(look)
    assert found == [None, doctor.pk]
