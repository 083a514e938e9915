"""F10, F11: what befalls S3."""

from tests.faults.scene import Fault, Scene
from tests.faults.site import Pace


def puts_fail(scene: Scene) -> None:
    """30 % of what is stored fails in one way or another, the reply alone being lost among them."""
    plan = {"error": 0.1, "unavailable": 0.08, "reset": 0.05, "slow": 0.03, "lost_reply": 0.06}
    with scene.trouble():
        scene.site.set_s3_faults(put=plan, seed=scene.chance.random())
        scene.wait_uploads()
        note_met(scene, scene.site.set_s3_faults())
    scene.facts["cut_off"] = scene.count  # stored, and the reply lost


def puts_hang(scene: Scene) -> None:
    """One in fifty hangs for longer than the portal waits."""
    with scene.trouble():
        scene.site.set_s3_faults(put={"hang": max(0.02, 2 / scene.count)}, seed=scene.chance.random())
        scene.wait_uploads()
        note_met(scene, scene.site.set_s3_faults())
    scene.facts["cut_off"] = scene.count  # given up, and stored all the same


def away(scene: Scene) -> None:
    """Nothing is stored and nothing read for a while: no upload is accepted, and waiting cases keep their attempts."""
    scene.wait_uploads(share=0.3)
    with scene.trouble():
        scene.site.set_s3_faults(put={"error": 1.0}, get={"error": 1.0}, head={"error": 1.0}, probes=True)
        scene.client.release()
        scene.pause(30.0)
        note_met(scene, scene.site.set_s3_faults())
    scene.wait_uploads()


def gets_fail(scene: Scene) -> None:
    """Reads that are refused, not found, cut short: tried again, since the film is there."""
    plan = {"error": 0.1, "missing": 0.05, "short": 0.1, "truncated": 0.05, "reset": 0.05}
    with scene.trouble():
        scene.site.set_s3_faults(get=plan, head={"missing": 0.05}, seed=scene.chance.random())
        scene.wait_uploads()
        scene.pause(5.0)
        note_met(scene, scene.site.set_s3_faults())


def note_met(scene: Scene, met: dict[str, int]) -> None:
    """How often S3 failed; a fault that no request met was none."""
    scene.facts["met"] = met
    if not met:
        scene.facts["broken"] = ["no request met the fault"]


def bound(pace: Pace) -> float:
    """A request to S3 is given up after 10 s and three tries; then the lease counts."""
    return pace.recovery + 30.0


STORAGE_FAULTS = (
    Fault("F10a", "30 % of S3's writes fail: 500, 503, reset, slow, reply lost", puts_fail, bound, may_fail=True),
    Fault("F10b", "2 % of S3's writes (more where films are few) hang for 20 s", puts_hang, bound),
    Fault("F10c", "S3 fails altogether for 30 s", away, bound),
    Fault("F11", "35 % of S3's reads fail: 500, 404, cut short, half an object, reset", gets_fail, bound, may_fail=True),
)
