"""F13, F14: what befalls a web process in the middle of an upload."""

import contextlib
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]

from tests.faults.scene import Fault, Scene
from tests.faults.worker_faults import wait_until_hit
from tests.servers import wait_until

HALF_BODY = 200_000  # bytes of which half are sent


def kill_web_worker(scene: Scene) -> None:
    """kill -9 of a gunicorn worker at any moment, in the middle of a body, and between the film's bytes and its row."""

    def strike() -> None:
        kind = scene.chance.choice(("any moment", "mid-upload", "web.film_saved"))
        if kind == "web.film_saved":
            scene.site.arm(kind)
            wait_until_hit(scene, kind)
        elif kind == "mid-upload":
            with half_an_upload(scene):
                kill_one(scene)
        else:
            kill_one(scene)
        scene.facts[kind] = scene.facts.get(kind, 0) + 1
        scene.strike()
        wait_until(scene.site.portal.answers, "the web's return")

    scene.every(4.0, strike, least=4)


def kill_after_commit(scene: Scene) -> None:
    """kill -9 after the commit: before the wake-up call, and before the answer. The client sends again with its key."""
    places = ("web.committed", "web.accepted")

    def strike() -> None:
        place = scene.chance.choice(places)
        scene.site.arm(place)
        wait_until_hit(scene, place)
        scene.strike()
        wait_until(scene.site.portal.answers, "the web's return")

    scene.every(4.0, strike, least=4)
    scene.facts |= {place: scene.site.hits(place) for place in places}
    scene.facts["first case came back"] = scene.client.answers[200]
    if not scene.facts["first case came back"]:
        scene.facts["broken"] = ["no upload was repeated after its commit"]


def kill_one(scene: Scene) -> None:
    children = scene.site.web.family()
    if children:
        with contextlib.suppress(psutil.Error):
            scene.chance.choice(children).kill()


@contextlib.contextmanager
def half_an_upload(scene: Scene) -> Iterator[None]:
    """A request whose body has arrived by half."""
    address = urlsplit(scene.site.portal.url)
    head = (
        f"POST /api/v1/cases HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {scene.client.token}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {HALF_BODY}\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="file"; filename="film.png"\r\n\r\n'
    )
    with socket.create_connection((address.hostname or "", address.port or 80), timeout=10) as connection:
        connection.sendall(head.encode() + bytes(HALF_BODY // 2))
        time.sleep(0.2)
        yield


WEB_FAULTS = (
    Fault(
        "F13",
        "kill -9 of a web worker: any time, mid-upload, film stored and row not",
        kill_web_worker,
        lambda pace: pace.recovery,
    ),
    Fault("F14", "kill -9 of a web worker after the commit, before the answer", kill_after_commit, lambda pace: pace.recovery),
)
