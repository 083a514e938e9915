"""The drill: a portal with cases is backed up, lost, and brought back elsewhere; and what can go wrong on the way."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import boto3
import psycopg
import pytest

from diagnostics.services.backup.rows import LOCK
from diagnostics.services.backup.sealing import read_key
from diagnostics.services.backup.sets import Vault
from diagnostics.services.backup.targets import DirectoryTarget
from tests.backup.site import Site, age, build, write_key
from tests.servers import postgres_server, s3_server

CASES = 4
DIE_BEFORE_THE_MANIFEST = """
import os, signal, django
django.setup()
from django.core.management import call_command
from diagnostics.services.backup.sets import Vault
Vault.write_manifest = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
call_command("backup")
"""
MOST_MEMORY = 160  # MB, of which Django takes the most
MEASURE = """
import json, sys, django
from pathlib import Path
django.setup()
from django.core.management import call_command
call_command(*sys.argv[1:])
heavy = {"tensorflow", "keras", "openvino", "numpy", "PIL", "pydicom", "boto3"} & {name.split(".")[0] for name in sys.modules}
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")).split()[1]
print(json.dumps({"peak": int(peak) / 1024, "heavy": sorted(heavy)}))
"""


GROW_OLD = """
from datetime import timedelta
from diagnostics.models import Case
from django.db.models import F
Case.objects.update(created_at=F("created_at") - timedelta(days=40))
"""


def embedded(directory: Path, name: str, target: Path) -> Site:
    target.mkdir(exist_ok=True)
    return build(directory / name, BACKUP_TARGET=str(target), BACKUP_KEY_FILE=str(directory / "backup.key"))


def take_secrets(source: Site, to: Site) -> None:
    """What an operator keeps apart from the backups."""
    shutil.copy2(source.var / "audit_key", to.var / "audit_key")


def with_another_pg_restore(site: Site, directory: Path) -> Site:
    """The same, where the program is too old for the backup."""
    program = directory / "bin" / "pg_restore"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\necho 'pg_restore: error: unsupported version (1.99) in file header' >&2\nexit 1\n", encoding="ascii"
    )
    program.chmod(0o755)
    return build(site.var, **site.settings | {"PATH": f"{program.parent}:{os.environ['PATH']}"})


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A small portal with one backup."""
    directory = tmp_path_factory.mktemp("drill")
    write_key(directory / "backup.key")
    site = embedded(directory, "original", directory / "target")
    site.fill(CASES)
    artifact = site.var / "models" / "9.0.0"
    artifact.mkdir(parents=True)
    (artifact / "metadata.json").write_text("{}", encoding="ascii")
    (artifact / "weights.npz").write_bytes(bytes(100_000))
    site.told("backup")
    return site


@pytest.fixture
def elsewhere(original: Site, tmp_path: Path) -> Site:
    """An empty installation with the operator's secrets and a copy of the target of its own, which may be spoilt."""
    target = tmp_path / "target"
    shutil.copytree(original.settings["BACKUP_TARGET"], target)
    site = build(tmp_path / "elsewhere", **original.settings | {"BACKUP_TARGET": str(target)})
    take_secrets(original, site)
    return site


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """PostgreSQL with two databases, S3 with a bucket of films, another to restore to, and one for backups."""
    with ExitStack() as stack:
        cluster = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portal-pg-")))
        url = stack.enter_context(postgres_server(cluster))
        s3 = stack.enter_context(s3_server(tmp_path_factory.mktemp("s3")))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE elsewhere")
        client = boto3.client(
            "s3",
            endpoint_url=s3["S3_ENDPOINT_URL"],
            region_name="eu-central-1",
            aws_access_key_id="t",
            aws_secret_access_key="t",
        )
        for bucket in ("elsewhere", "backups"):
            client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        yield s3 | {"DATABASE_URL": url}


def carry_out(original: Site, elsewhere: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Back up, lose, restore elsewhere; everything must be as it was."""
    before = original.counts()
    made = original.told("backup")
    assert made["manifest"]["missing"] == 0
    assert "portal_backup_success_timestamp_seconds" in original.metric.read_text(encoding="ascii")
    done = elsewhere.told("restore")
    assert (done["ok"], done["problems"], done["backup"]) == (True, [], made["name"])
    assert elsewhere.counts() == before
    assert "All is well" in elsewhere.good("verify_storage")
    assert "1 kept ends agree" in elsewhere.good("verify_audit")
    with capsys.disabled():
        print(
            f"\n  backup {made['seconds']} s, {made['copied']['new']} new object(s); restore {done['seconds']} s (RTO), "
            f"{done['objects']} object(s), {done['lost_seconds']} s lost (RPO)"
        )


@pytest.mark.slow
def test_a_portal_of_files_comes_back(
    original: Site, elsewhere: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere.settings["BACKUP_TARGET"] = original.settings["BACKUP_TARGET"]
    carry_out(original, elsewhere, capsys)
    weights = elsewhere.var / "models" / "9.0.0" / "weights.npz"
    assert weights.read_bytes() == bytes(100_000)


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.s3
def test_a_portal_on_postgresql_and_s3_comes_back(
    servers: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = write_key(tmp_path / "backup.key")
    backups = {"BACKUP_TARGET": "s3://backups/portal", "BACKUP_KEY_FILE": str(key), "BACKUP_S3_REGION": "eu-central-1"}
    backups |= {"BACKUP_S3_ENDPOINT_URL": servers["S3_ENDPOINT_URL"], "BACKUP_S3_ACCESS_KEY_ID": "t"}
    backups |= {"BACKUP_S3_SECRET_ACCESS_KEY": "t"}
    original = build(tmp_path / "original", **servers, **backups)
    original.fill(CASES)
    other = {"DATABASE_URL": f"{servers['DATABASE_URL'].rpartition('/')[0]}/elsewhere", "S3_BUCKET": "elsewhere"}
    elsewhere = build(tmp_path / "elsewhere", **servers | backups | other)
    take_secrets(original, elsewhere)
    with psycopg.connect(servers["DATABASE_URL"]) as holder:
        holder.execute(f"SELECT pg_advisory_lock({LOCK})")
        assert "Another backup or restore is running" in original.refused("backup")
        original.good("prepare")  # a machine that starts meanwhile need not wait for all films to be copied
    carry_out(original, elsewhere, capsys)
    with psycopg.connect(servers["DATABASE_URL"]) as holder:
        holder.execute(f"SELECT pg_advisory_lock({LOCK})")
        assert "Another backup or restore is running" in original.refused("restore", "--replace")
    assert "database holds entries" in elsewhere.refused("restore")
    assert "pg_restore failed" in with_another_pg_restore(elsewhere, tmp_path).refused("restore", "--replace")
    assert elsewhere.counts() == original.counts(), "what cannot be read takes no rows away"
    assert elsewhere.told("restore", "--replace")["problems"] == []


@pytest.mark.slow
def test_nothing_is_written_where_something_is_already(original: Site, elsewhere: Site) -> None:
    films = elsewhere.var / "media" / "cases"
    films.mkdir(parents=True)
    (films / "a-film").write_bytes(b"of another portal")
    assert "storage of films holds objects" in elsewhere.refused("restore")
    assert (films / "a-film").read_bytes() == b"of another portal"
    (films / "a-film").unlink()
    elsewhere.good("prepare")  # as install.sh leaves it: tables, and nothing in them
    assert elsewhere.told("restore")["problems"] == []
    assert "database holds entries" in elsewhere.refused("restore")
    assert elsewhere.told("restore", "--replace")["problems"] == []
    assert elsewhere.counts() == original.counts()


@pytest.mark.slow
def test_what_does_not_fit_is_refused_before_anything_is_written(elsewhere: Site) -> None:
    (elsewhere.var / "audit_key").write_text("x" * 40, encoding="ascii")
    assert "AUDIT_KEY is not the one" in elsewhere.refused("restore")
    key = write_key(elsewhere.var / "another.key")
    elsewhere.settings["BACKUP_KEY_FILE"] = str(key)
    assert "sealed with another key" in elsewhere.refused("restore")
    key.chmod(0o644)
    assert f"chmod 600 {key}" in elsewhere.refused("restore")
    assert not (elsewhere.var / "media" / "cases").exists()


@pytest.mark.slow
@pytest.mark.parametrize("part", ["rows", "objects", "an object"])
def test_a_restore_from_a_damaged_backup_leaves_no_rows(elsewhere: Site, part: str) -> None:
    target = Path(elsewhere.settings["BACKUP_TARGET"])
    path = max((target / "objects" / "cases").iterdir()) if part == "an object" else next(target.glob(f"sets/*/{part}"))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    assert "is damaged" in elsewhere.refused("restore")
    assert "was entered" not in elsewhere.manage("verify_audit").stdout
    assert elsewhere.manage("migrate", "--check").returncode == 1  # there is no table yet


@pytest.mark.slow
def test_a_backup_that_was_killed_does_not_count_and_the_next_one_goes_on_with_it(elsewhere: Site) -> None:
    site = elsewhere
    site.told("restore")
    shutil.rmtree(site.settings["BACKUP_TARGET"])
    Path(site.settings["BACKUP_TARGET"]).mkdir()
    environment = site.environment | {"DJANGO_SETTINGS_MODULE": "pneumo_site.settings"}
    killed = subprocess.run(["python", "-c", DIE_BEFORE_THE_MANIFEST], env=environment, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not site.metric.exists()
    assert "was never finished" in site.good("restore", "--list")
    assert "holds no backup" in site.refused("restore")
    made = site.told("backup")
    assert (made["copied"]["new"], made["retention"]["kept"], made["retention"]["removed"]) == (0, 1, 1)
    assert "never finished" not in site.good("restore", "--list")
    assert site.told("restore", "--check")["objects"] == sum(made["copied"]["counts"].values())


@pytest.mark.slow
def test_films_that_were_purged_since_do_not_come_back_with_an_older_backup(elsewhere: Site, tmp_path: Path) -> None:
    elsewhere.told("restore")
    elsewhere.settings |= {"IMAGE_RETENTION_DAYS": "30", "BACKUP_FORGET_DAYS": "0"}
    vault = Vault(
        DirectoryTarget(Path(elsewhere.settings["BACKUP_TARGET"])), read_key(Path(elsewhere.settings["BACKUP_KEY_FILE"]))
    )
    older = age(vault, vault.find_sets().good[0], 1).name
    elsewhere.good("shell", "-v", "0", "-c", GROW_OLD)
    assert elsewhere.told("purge_expired_images")["removed"] == CASES
    assert elsewhere.told("backup")["retention"]["objects removed"] == 3 * CASES
    third = build(tmp_path / "third", **elsewhere.settings)
    take_secrets(elsewhere, third)
    done = third.told("restore", older)
    assert (done["forgotten"], done["problems"]) == (3 * CASES, [])
    assert third.counts()["Case"] == CASES


@pytest.mark.slow
def test_a_second_backup_or_a_restore_at_the_same_time_does_nothing(original: Site) -> None:
    with (original.var / "backup.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for command in ("backup", "restore"):
            assert "Another backup or restore is running" in original.refused(command)
    original.told("backup")


@pytest.mark.slow
def test_a_target_that_is_away_is_one_line_and_no_success(elsewhere: Site) -> None:
    target = Path(elsewhere.settings["BACKUP_TARGET"])
    target.rename(target.with_name("away"))
    assert "Is its volume mounted?" in elsewhere.refused("backup")
    assert not elsewhere.metric.exists()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to mount")
def test_a_full_target_is_one_line_and_no_success(original: Site, tmp_path: Path) -> None:
    before = original.metric.read_bytes()
    full = build(original.var, **original.settings | {"BACKUP_TARGET": str(tmp_path)})
    mount = f'mount -t tmpfs -o size=400k none {tmp_path} && exec "$@"'
    told = full.refused("backup", before=("unshare", "-m", "sh", "-c", mount, "sh"))
    assert "No space left on device" in told
    assert original.metric.read_bytes() == before


@pytest.mark.slow
def test_a_backup_streams_and_loads_no_tensor_library(elsewhere: Site) -> None:
    elsewhere.told("restore")
    large = elsewhere.var / "media" / "cases" / str(uuid4())
    with large.open("wb") as file:
        file.truncate(300 * 1024**2)
    for command in ("backup", "restore --check"):
        measured = elsewhere.python(
            "-c", MEASURE, *command.split(), before=("env", "DJANGO_SETTINGS_MODULE=pneumo_site.settings")
        )
        assert measured.returncode == 0, measured.stderr
        facts = json.loads(measured.stdout.splitlines()[-1])
        assert facts["heavy"] == []
        assert facts["peak"] < MOST_MEMORY, command
