"""F18, F20 to F24: clocks, models, reconcilers, backups, releases, and everything at once."""

import io
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.faults import database_faults, worker_faults
from tests.faults.clock import LIBRARIES, set_clock, wrong_clock
from tests.faults.database_faults import server_of
from tests.faults.parts import Part
from tests.faults.records import Records
from tests.faults.scene import Fault, Scene
from tests.faults.worker_faults import wait_until_final, wait_until_hit
from tests.portal import ROOT
from tests.servers import wait_until

STEPS = ("+3600s", "-3600s", "+0s")
# The last release before this one whose tables this one's migrations go on from.
OLD_RELEASE = "97f24ae"
RUN_OLD = """
import sys
sys.path.insert(0, {old!r})
import tests
tests.__path__.append({new!r})
import runpy
runpy.run_module("tests.faults.worker", run_name="__main__")
"""
BACKUP_BUCKET = "restored"


def step_clock(scene: Scene, *, of: str) -> None:
    """The clock of one machine jumps an hour ahead, an hour back, and home, while films are read."""
    clock = scene.site.logs / "clock"
    set_clock(clock, "+0s")
    part: Part = {"worker": scene.site.workers[0], "web": scene.site.web, "database": server_of(scene)}[of]
    wrong = wrong_clock(clock)
    try:
        restart(scene, part, wrong)
        for step in STEPS:
            scene.pause(10.0)
            if step == "-3600s":  # a worker dies just before the clock is set back: its lease must not last an hour
                scene.site.arm("worker.in_hand")
                wait_until_hit(scene, "worker.in_hand")
            set_clock(clock, step)
            scene.strike()
        scene.wait_uploads()
        wait_until_final(scene, seconds=scene.pace.recovery)
    finally:
        restart(scene, part, dict.fromkeys(wrong, ""))
    attempts = [row.attempt for row in scene.site.records.cases(scene.run).values()]
    scene.facts["most attempts"] = max(attempts, default=0)


def restart(scene: Scene, part: Part, environment: dict[str, str]) -> None:
    part.stop()
    part.start(**environment)
    if part in scene.site.workers:
        scene.site.wait_warm(part)
    else:
        wait_until(scene.site.portal.answers, f"the return of {part.name}")


def replace_model(scene: Scene) -> None:
    """A corrupt version is put into service: the worker goes on with the one it has, and says so where operators look."""
    scene.wait_uploads(share=0.2)
    broken = scene.site.directory / "models" / "9.9.9"
    shutil.copytree(next((ROOT / "mlmodel" / "artifacts").iterdir()), broken)
    try:
        activate(scene, "corrupt", broken)
        scene.strike()
        wait_until(lambda: "9.9.9" in model_error(scene), "the alarm", seconds=30)
        scene.facts["alarm"] = model_error(scene)
        ready = scene.site.portal.manage("shell", "-c", "from diagnostics.metrics import check_model; print(check_model())")
        scene.facts["readyz"] = ready.strip().splitlines()[-1]
        if "degraded" not in scene.facts["readyz"]:
            scene.facts["broken"] = ["/readyz does not tell"]
        scene.wait_uploads()
        wait_until_final(scene)
    finally:
        activate(scene, "back", broken)
        shutil.rmtree(broken, ignore_errors=True)
    wait_until(lambda: not model_error(scene), "the end of the alarm", seconds=30)


ACTIVATE = """
import json, pathlib, sys
from django.utils import timezone
from mlmodel.models import ModelVersion
what, path = {what!r}, pathlib.Path({path!r})
ModelVersion.objects.filter(version="9.9.9").delete()
if what == "corrupt":
    ModelVersion.objects.filter(state="active").update(state="retired")
    ModelVersion.objects.create(version="9.9.9", path=str(path), sha256="0" * 64, threshold=0.5, state="active")
else:
    ModelVersion.objects.filter(state="retired").update(state="active")
"""


def activate(scene: Scene, what: str, path: Path) -> None:
    scene.site.portal.manage("shell", "-c", ACTIVATE.format(what=what, path=str(path)))


def model_error(scene: Scene) -> str:
    query = "SELECT model_error FROM diagnostics_worker WHERE stopped_at IS NULL AND model_error <> '' ORDER BY beat_at DESC"
    return " ".join(text for (text,) in scene.site.records.ask(query))


def two_reconcilers(scene: Scene) -> None:
    """Two at once while workers die; nothing is done twice."""
    scene.site.add_reconciler()
    worker_faults.kill_worker(scene)


def no_reconciler(scene: Scene) -> None:
    """Away for five minutes: new films are read all the same, and what a dead worker held comes back with the reconciler."""
    with scene.trouble():
        scene.site.reconcilers[0].stop()
        scene.site.arm("worker.in_hand")
        scene.facts["a worker died meanwhile"] = wait_until_hit(scene, "worker.in_hand")
        scene.client.release()
        scene.pause(300.0 if scene.pace.stretch == 1.0 else 40.0)
        scene.facts["final without a reconciler"] = len(scene.site.records.final_keys(scene.run))
        scene.site.reconcilers[0].start()
    scene.wait_uploads()


def restore_backup(scene: Scene) -> None:
    """A dump of the database and a copy of the bucket are taken while films come; both are brought back elsewhere."""
    server, objects = server_of(scene), scene.site.objects
    scene.wait_uploads(share=0.5)
    known = {one.case_id: one.film.sha256 for one in list(scene.client.accepted.values())}
    taken = time.monotonic()
    dump = server.tool("pg_dump", "--format=custom", "portal")
    # The rows first, then the objects: each row's object was stored before the row.
    client = objects.client  # type: ignore[union-attr]
    client.create_bucket(Bucket=BACKUP_BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    for key in objects.keys():  # noqa: SIM118 - a method of ours
        client.copy_object(Bucket=BACKUP_BUCKET, Key=key, CopySource={"Bucket": objects.bucket, "Key": key})  # type: ignore[union-attr]
    scene.facts["backup took"] = round(time.monotonic() - taken, 2)
    scene.wait_uploads()
    lost_at = time.monotonic()
    after = {one.case_id for one in scene.client.accepted.values()} - known.keys()
    scene.facts["RPO, s"], scene.facts["accepted after the backup"] = round(lost_at - taken, 1), len(after)
    began = time.monotonic()
    archive = scene.site.logs / "portal.dump"
    archive.write_bytes(dump)
    server.tool("createdb", "restored")
    try:
        server.tool("pg_restore", "--dbname=restored", str(archive))
        finish_restored(scene)
        scene.facts["RTO, s"] = round(time.monotonic() - began, 1)
        compare_restored(scene, known)
    finally:
        server.tool("dropdb", "--force", "restored")
        archive.unlink()
    scene.spans.append((lost_at, lost_at))


def finish_restored(scene: Scene) -> None:
    """A worker and a reconciler bring what waited in the restored database to its end."""
    environment = {"DATABASE_URL": server_of(scene).url_of("restored"), "S3_BUCKET": BACKUP_BUCKET}
    command = [sys.executable, "-m", "tests.faults.worker"]
    own = scene.site.environment | environment | {"WORKER_RECONCILES": "1"}
    worker = Part("restored", command, log=scene.site.logs / "restored.log", environment=own)
    records = Records(environment["DATABASE_URL"])
    worker.start()
    try:
        open_cases = "SELECT count(*) FROM diagnostics_case WHERE state IN ('queued', 'processing')"
        wait_until(lambda: not records.ask(open_cases)[0][0], "the end of what waited", seconds=scene.pace.recovery + 30)
    finally:
        records.close()
        worker.close()


def compare_restored(scene: Scene, known: dict[str, str]) -> None:
    records = Records(server_of(scene).url_of("restored"))
    rows = records.cases(scene.run)
    records.close()
    client = scene.site.objects.client  # type: ignore[union-attr]
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BACKUP_BUCKET)
    stored = {item["Key"] for page in pages for item in page.get("Contents", ())}
    missing = [key for key in known if key not in rows or rows[key].sha256 != known[key]]
    bare = [row.id for row in rows.values() if row.original_key not in stored]
    scene.facts["restored rows"], scene.facts["known before the backup"] = len(rows), len(known)
    if missing or bare:
        scene.facts["broken"] = [f"{len(missing)} cases missing and {len(bare)} without an object after the restore"]
    for key in stored:
        client.delete_object(Bucket=BACKUP_BUCKET, Key=key)
    client.delete_bucket(Bucket=BACKUP_BUCKET)


def upgrade(scene: Scene) -> None:
    """A worker of an earlier release on this release's tables; then one of each; then the new one alone."""
    old = scene.site.logs / "old-release"
    archive = subprocess.run(["git", "archive", "--format=tar", OLD_RELEASE], cwd=ROOT, capture_output=True, check=False)
    scene.facts["old worker"] = f"commit {OLD_RELEASE}" if not archive.returncode else "n/a: no such commit in this checkout"
    if archive.returncode:
        scene.wait_uploads()
        return
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(old, filter="data")
    try:
        new = scene.site.workers[0]
        new.stop()
        before = scene.site.records.final_keys(scene.run)
        code = RUN_OLD.format(old=str(old), new=str(ROOT / "tests"))
        own = scene.site.environment | {"FAULTS_PLAIN_CHILDREN": "1"}
        worker = Part("old", [sys.executable, "-c", code], log=scene.site.logs / "old.log", environment=own, folder=old)
        worker.start()
        scene.site.wait_warm(worker)
        scene.wait_uploads(share=0.4)
        scene.client.send_one()
        wait_until(lambda: bool(scene.site.records.final_keys(scene.run) - before), "the old release's first result")
        scene.facts["read by the old release alone"] = len(scene.site.records.final_keys(scene.run) - before)
        new.start()
        scene.site.wait_warm(new)
        scene.wait_uploads(share=0.6)
        worker.kill()  # with whatever it has in hand and whatever calls it left behind
        scene.strike()
        scene.wait_uploads()
        worker.close()
    finally:
        shutil.rmtree(old, ignore_errors=True)


def mix(scene: Scene) -> None:
    """Whatever the seed says, one after another and some at once."""
    site = scene.site
    site.wait_warm(site.add_worker())

    def redis_away() -> None:
        assert site.redis is not None
        site.redis.stop()
        scene.pause(4.0)
        site.redis.start()

    def reads_fail() -> None:
        site.set_s3_faults(get={"error": 0.3}, put={"error": 0.2, "lost_reply": 0.1}, seed=scene.chance.random())
        scene.pause(4.0)
        site.set_s3_faults()

    acts: dict[str, Callable[[], object]] = {
        "worker killed": site.workers[0].kill,
        "worker falls with a batch in hand": partial(site.arm, "worker.in_hand"),
        "worker falls before the store": partial(site.arm, "worker.before_store"),
        "web falls after the commit": partial(site.arm, "web.committed"),
        "web falls before the row": partial(site.arm, "web.film_saved"),
        "Redis flushed": lambda: site.redis_client().flushall(),
        "Redis away": redis_away,
        "database's back end killed": partial(database_faults.kill_one, scene),
        "S3 fails": reads_fail,
    }

    def strike() -> None:
        name = scene.chance.choice(sorted(acts))
        scene.facts[name] = scene.facts.get(name, 0) + 1
        with scene.trouble():
            acts[name]()

    if scene.pace.soak:
        scene.soak(strike)
    else:
        scene.every(3.0, strike, least=8)
    scene.facts["cut_off"] = scene.count  # storage failed too


# libfaketime mistakes the waits of Python's threads for each other: three that compute take four times as long with it.
SLOWED_SECONDS = 0.1  # a film, in a worker that has to work with it
CLOCKS = ("worker", "web", "database") if LIBRARIES else ()
WHOLE_FAULTS = (
    *(
        Fault(
            f"F18{letter}",
            f"the {of}'s clock steps an hour ahead and an hour back",
            partial(step_clock, of=of),
            lambda pace: pace.recovery,
            film_seconds=SLOWED_SECONDS if of == "worker" else 0.0,
            is_long=of == "worker",
        )
        for letter, of in zip("abc", CLOCKS, strict=False)
    ),
    Fault("F20", "a corrupt model is put into service", replace_model, lambda pace: pace.recovery),
    Fault("F21a", "two reconcilers, workers killed", two_reconcilers, lambda pace: pace.recovery),
    Fault("F21b", "no reconciler for five minutes, a worker killed", no_reconciler, lambda pace: pace.recovery),
    Fault("F22", "backup during uploads, restored elsewhere", restore_backup, lambda pace: pace.recovery, is_long=True),
    Fault("F23", "a release: workers of the earlier and of this code", upgrade, lambda pace: pace.recovery, needs_stub=True),
    Fault("F24", "a random mix of the above", mix, lambda pace: 2 * pace.recovery, may_fail=True, soaks=True),
)
