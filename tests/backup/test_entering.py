"""The audit log says that everything was copied, and that it is not what it was."""

import os
import pwd
from pathlib import Path
from unittest import mock

import pytest
from pytest_django import Settings

from accounts.audit import Head
from accounts.audit_export import as_resource
from accounts.models import AuditEvent, User
from diagnostics.exceptions import BackupError
from diagnostics.services.backup import entering, making
from diagnostics.services.backup.entering import enter_restore, operator
from diagnostics.services.backup.making import make_backup
from diagnostics.services.backup.sets import open_vault
from tests.backup.site import write_key
from tests.diagnostics.test_verification import whole_case

pytestmark = pytest.mark.django_db


@pytest.fixture
def configured(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "target").mkdir()
    settings.BACKUP_TARGET, settings.BACKUP_KEY_FILE = str(tmp_path / "target"), write_key(tmp_path / "key")
    settings.BACKUP_METRICS_DIR, settings.MODEL_DIR = tmp_path / "metrics", tmp_path / "models"


def test_a_finished_backup_is_entered_as_an_export(configured: None, doctor: User, settings: Settings) -> None:
    whole_case(doctor)
    backup = make_backup(open_vault()).manifest
    entry = AuditEvent.objects.get()
    assert (entry.action, entry.outcome, entry.actor, entry.object_type) == ("backed_up", "success", None, "backup")
    assert entry.object_id == backup.name
    assert entry.details == {"by": operator(), "target": settings.BACKUP_TARGET, "cases": 1, "objects": 3, "new": 3}
    assert as_resource(entry)["type"]["code"] == "110106"
    assert backup.counts["audit entries"] == 0, "it does not hold the entry of itself"


def test_a_backup_that_failed_is_not_entered(configured: None, doctor: User) -> None:
    whole_case(doctor)
    with mock.patch.object(making, "_put_purged", side_effect=BackupError("full")), pytest.raises(BackupError):
        make_backup(open_vault())
    assert not AuditEvent.objects.exists()


def test_a_restore_is_entered_with_what_it_took_the_place_of(configured: None, doctor: User) -> None:
    whole_case(doctor)
    backup = make_backup(open_vault()).manifest
    enter_restore(backup, objects=2, forgotten=1, replaced=Head(7, "ab"))
    entry = AuditEvent.objects.latest("sequence")
    assert (entry.action, entry.actor, entry.object_id) == ("restored", None, backup.name)
    assert entry.details == {
        "by": operator(), "made": backup.began, "cases": 1, "entries": 0, "objects": 2, "forgotten": 1,
        "replaced": {"sequence": 7, "digest": "ab"},
    }  # fmt: skip
    assert as_resource(entry)["type"]["code"] == "110107"


def test_who_logged_in_is_named_whatever_sudo_made_of_them(tmp_path: Path) -> None:
    own, login = pwd.getpwuid(os.getuid()).pw_name, tmp_path / "loginuid"
    with mock.patch.object(entering, "LOGIN", login):
        assert operator() == own, "a kernel that does not tell"
        login.write_text(str(entering.UNSET), encoding="ascii")
        assert operator() == own, "a timer"
        login.write_text(str(pwd.getpwnam("games").pw_uid), encoding="ascii")
        assert operator() == "games"
        login.write_text("987654", encoding="ascii")
        assert operator() == "nobody", "whose name is not known any more"
