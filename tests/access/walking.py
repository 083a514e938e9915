"""One request of one role, and the word for its answer."""

import re
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.test import RequestFactory
from django.test.client import ClientHandler
from django.urls import reverse

from tests.access.addresses import route_of
from tests.access.cast import Arguments, Person, World

# Redirects that the table has words for; any other is its status.
PLACES = {
    "login": "account_login",
    "door": "admin:login",
    "setup": "accounts:set_up_second_factor",
    "again": "account_reauthenticate",
}
STATIC = "static"
CATCH_ALL = "(?P<url>.*)$"


class Walker:
    """Sends requests past the test client, which would copy every template's context: thousands of them in a minute."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.handler = ClientHandler(enforce_csrf_checks=False)
        self.factory = RequestFactory()
        self.places = {reverse(name): word for word, name in PLACES.items()}

    def ask(self, key: str, name: str, method: str, role: str) -> str:
        """The status, or the word for where it leads. What the request changed is undone."""
        path = self.path(key, name)
        request = self.factory.generic(method, path, headers=_credentials(path, self.world.people[role]))
        with transaction.atomic():
            response = self.handler(request.environ)
            answer = self._word(response.status_code, response.headers.get("Location", ""))
            if response.streaming:
                list(response)  # to its end: the handler closes it there
            transaction.set_rollback(True)
        return answer

    def path(self, key: str, name: str) -> str:
        if key == STATIC:
            return f"{settings.STATIC_URL}access.txt"
        arguments = self.world.objects(key)[name]
        if key.startswith("/"):
            return _fill(route_of(key), arguments)
        return reverse(key, kwargs=dict(arguments))

    def _word(self, status: int, location: str) -> str:
        to = urlsplit(location)
        word = self.places.get(to.path) if status == 302 else None
        if word in {"login", "door"} and not to.query:
            word = None  # the page itself was asked for, or left; nobody was turned away
        return word or str(status)


def _credentials(path: str, person: Person) -> dict[str, str]:
    """A session on pages, a token at the API, as browsers and programs send them."""
    if path.startswith("/api/"):
        return {"Authorization": f"Bearer {person.token}"} if person.token else {}
    return {"Cookie": f"{settings.SESSION_COOKIE_NAME}={person.session}"} if person.session else {}


def _fill(route: str, arguments: Arguments) -> str:
    """The address of a route without a name."""
    for name, value in arguments.items():
        route = re.sub(rf"<(?:\w+:)?{name}>", str(value), route)
    return "/" + route.replace(CATCH_ALL, "no-such-page")
