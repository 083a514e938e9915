"""F4 to F7: what befalls Redis. No upload may notice, and no case may wait for it."""

import contextlib
import signal
import time

from redis.exceptions import RedisError

from tests.faults.parts import Redis
from tests.faults.scene import Fault, Scene
from tests.faults.site import Pace

UPLOAD_EXTRA_SECONDS = 1.5  # F6: what an upload may take longer while Redis is away
NORMAL_UPLOADS = 20  # sent before the fault, for comparison


def flush(scene: Scene) -> None:
    def strike() -> None:
        with contextlib.suppress(RedisError):
            scene.site.redis_client().flushall()
        scene.strike()

    scene.every(10.0, strike, least=3)


def restart_with_file(scene: Scene) -> None:
    _restart(scene, forget=False)


def restart_without_file(scene: Scene) -> None:
    _restart(scene, forget=True)


def _restart(scene: Scene, *, forget: bool) -> None:
    """kill -9, away for 2 and for 30 seconds."""
    server = scene.site.redis
    assert isinstance(server, Redis)
    for away in (2.0, 30.0):
        scene.pause(3.0)
        with scene.trouble():
            server.stop(number=signal.SIGKILL)
            if forget:
                server.forget()
            scene.pause(away)
            server.start()
    scene.client.release()
    scene.pause(5.0)


def away_for_the_whole_run(scene: Scene) -> None:
    server = scene.site.redis
    assert server is not None
    with scene.trouble():
        server.stop(number=signal.SIGKILL)
        scene.wait_uploads()
        results_meanwhile(scene)
        server.start()
    compare_uploads(scene)


def swallow(scene: Scene) -> None:
    """The network drops every packet to and from Redis."""
    assert scene.site.redis_proxy is not None
    with scene.trouble():
        scene.site.redis_proxy.set_mode("swallow")
        scene.wait_uploads()
        results_meanwhile(scene)
        scene.site.redis_proxy.set_mode("pass")
    compare_uploads(scene)


def pause_server(scene: Scene) -> None:
    """Redis accepts connections and never answers."""
    server = scene.site.redis
    assert server is not None
    try:
        with scene.trouble():
            server.kill(signal.SIGSTOP)
            scene.wait_uploads()
            results_meanwhile(scene)
            server.kill(signal.SIGCONT)
    finally:
        server.kill(signal.SIGCONT)
    compare_uploads(scene)


def results_meanwhile(scene: Scene) -> None:
    """Results come although nobody is called: workers look by themselves."""
    end = time.monotonic() + scene.pace.recovery
    while time.monotonic() < end:
        if scene.client.accepted.keys() <= scene.site.records.final_keys(scene.run):
            break
        time.sleep(0.1)
    final = len(scene.site.records.final_keys(scene.run))
    scene.facts["final while Redis was away"] = final


def compare_uploads(scene: Scene) -> None:
    """The slowest uploads against those of the run without a fault, where there was one."""
    ordered = sorted(one.seconds for one in scene.client.accepted.values())
    slowest = ordered[int(0.99 * (len(ordered) - 1))]
    normal = NORMAL.get(scene.site.kind)
    if normal is not None:
        scene.facts["upload p99 without a fault"] = normal
        if slowest > normal + UPLOAD_EXTRA_SECONDS:
            scene.facts["broken"] = [f"uploads took {slowest - normal:.1f} s longer"]
    if any(status >= 300 for status in scene.client.answers):
        scene.facts.setdefault("broken", []).append("an upload was not accepted at once")


NORMAL: dict[str, float] = {}  # of each kind of site, the 99th percentile of an upload's seconds with no fault


def remember_normal(kind: str, upload_p99: float) -> None:
    NORMAL[kind] = upload_p99


def drain_bound(pace: Pace) -> float:
    return 60.0 * pace.stretch + pace.allowance


REDIS_FAULTS = (
    Fault("F4", "FLUSHALL, every 10 s", flush, lambda pace: 30.0 * pace.stretch + pace.allowance),
    Fault("F5a", "Redis killed, back after 2 s and 30 s with its file", restart_with_file, drain_bound),
    Fault("F5b", "Redis killed, back after 2 s and 30 s empty", restart_without_file, drain_bound),
    Fault("F6", "no Redis for the whole run", away_for_the_whole_run, drain_bound),
    Fault("F7a", "the network swallows what goes to Redis", swallow, drain_bound),
    Fault("F7b", "Redis stopped: it accepts and never answers", pause_server, drain_bound),
)
