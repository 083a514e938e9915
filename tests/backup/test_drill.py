"""The drill: a portal with cases is backed up, lost, and brought back elsewhere; and what can go wrong on the way."""

import fcntl
import json
import os
import shutil
import signal
from pathlib import Path

import psycopg
import pytest

from diagnostics.services.backup.rows import LOCK
from diagnostics.services.backup.sealing import read_key
from diagnostics.services.backup.sets import Vault
from diagnostics.services.backup.targets import DirectoryTarget
from tests.backup.site import CASES, Site, age, build, take_secrets, write_key

DIE_BEFORE_THE_MANIFEST = """
import os, signal, django
django.setup()
from django.core.management import call_command
from diagnostics.services.backup.sets import Vault
Vault.write_manifest = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
call_command("backup")
"""
FIRST_ENTRY_AFTER = """
import json
from accounts.models import AuditEvent
print(json.dumps(AuditEvent.objects.filter(action="restored").values("sequence", "action", "object_id", "details").get()))
"""
QUEUE_ONE = """
from diagnostics.models import Case
case = Case.objects.order_by("pk").first()
Case.objects.filter(pk=case.pk).update(state="queued", finished_at=None, display="pending")
print(case.pk)
"""
FINISH_ALL = """
from diagnostics.models import Case
Case.objects.update(state="done", finished_at="2026-01-01T00:00:00Z", display="ready")
"""
STATES = """
from diagnostics.models import Case
print(sorted(Case.objects.values_list("state", "failure_code")))
"""
GROW_OLD = """
from datetime import timedelta
from diagnostics.models import Case
from django.db.models import F
Case.objects.update(created_at=F("created_at") - timedelta(days=40))
"""


def with_another_pg_restore(site: Site, directory: Path) -> Site:
    """The same, where the program is too old for the backup."""
    program = directory / "bin" / "pg_restore"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\necho 'pg_restore: error: unsupported version (1.99) in file header' >&2\nexit 1\n", encoding="ascii"
    )
    program.chmod(0o755)
    return build(site.var, **site.settings | {"PATH": f"{program.parent}:{os.environ['PATH']}"})


def carry_out(original: Site, elsewhere: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Back up, lose, restore elsewhere; everything must be as it was."""
    before = original.counts()
    made = original.told("backup")
    assert made["manifest"]["missing"] == 0
    assert "portal_backup_success_timestamp_seconds" in original.metric.read_text(encoding="ascii")
    done = elsewhere.told("restore")
    assert (done["ok"], done["problems"], done["backup"]) == (True, [], made["name"])
    assert elsewhere.counts() == before
    entry = json.loads(elsewhere.shell(FIRST_ENTRY_AFTER))
    assert (entry["action"], entry["object_id"]) == ("restored", made["name"])
    assert (entry["details"]["entries"], entry["details"]["objects"]) == (entry["sequence"] - 1, done["objects"])
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
def test_a_backup_that_was_killed_does_not_count_and_the_next_one_goes_on_with_it(elsewhere: Site) -> None:
    site = elsewhere
    site.told("restore")
    shutil.rmtree(site.settings["BACKUP_TARGET"])
    Path(site.settings["BACKUP_TARGET"]).mkdir()
    assert site.script(DIE_BEFORE_THE_MANIFEST).returncode == -signal.SIGKILL
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
    waiting = elsewhere.shell(QUEUE_ONE).strip()
    elsewhere.told("backup")
    older = age(vault, vault.find_sets().good[0], 1).name
    elsewhere.shell(FINISH_ALL)
    elsewhere.shell(GROW_OLD)
    assert elsewhere.told("purge_expired_images")["removed"] == CASES
    assert elsewhere.told("backup")["retention"]["objects removed"] == 3 * CASES
    third = build(tmp_path / "third", **elsewhere.settings)
    take_secrets(elsewhere, third)
    done = third.told("restore", older)
    assert (done["forgotten"], done["waited"], done["problems"]) == (3 * CASES, [waiting], [])
    assert third.shell(STATES).strip() == str([("done", "")] * (CASES - 1) + [("failed", "FILM_DAMAGED")])


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
@pytest.mark.postgres
def test_a_user_without_special_rights_makes_and_restores_backups_on_postgresql(
    servers: dict[str, str], tmp_path: Path
) -> None:
    url = servers["DATABASE_URL"].replace("portal@", "clerk@").rpartition("/")[0] + "/clerks"
    (tmp_path / "target").mkdir()
    backups = {"BACKUP_TARGET": str(tmp_path / "target"), "BACKUP_KEY_FILE": str(write_key(tmp_path / "key"))}
    clerk = build(tmp_path / "clerk", DATABASE_URL=url, **backups)
    clerk.fill(1)
    before, made = clerk.counts(), clerk.told("backup")
    assert clerk.told("restore", "--replace")["problems"] == []
    assert clerk.counts() == before
    with psycopg.connect(url) as connection:
        newest = connection.execute(
            "SELECT action, object_id, details FROM accounts_auditevent ORDER BY sequence DESC"
        ).fetchone()
        assert newest is not None
        assert newest[:2] == ("restored", made["name"])
        assert newest[2]["replaced"]["sequence"] == before["AuditEvent"] + 1, "the log that went held the backup's entry"
        for statement in ("UPDATE accounts_auditevent SET role = ''", "TRUNCATE accounts_auditevent"):
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"), connection.transaction():
                connection.execute(statement)
    clerk.settings["DATABASE_URL"] = url.replace("clerk@", "reader@")
    assert "reader does not own the tables" in clerk.refused("restore", "--replace")
    clerk.settings["DATABASE_URL"] = url
    assert clerk.counts() == before
