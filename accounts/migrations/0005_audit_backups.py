from django.db import migrations, models

from accounts.audit_triggers import put_back


class Migration(migrations.Migration):
    """The log knows of backups and restores. Once it holds one, the way back refuses: entries cannot be taken out."""

    dependencies = [
        ("accounts", "0004_audit_locks_no_user"),
    ]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, put_back),
        migrations.RemoveConstraint(
            model_name="auditevent",
            name="audit_action_is_known",
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="action",
            field=models.CharField(
                choices=[
                    ("login", "Logged in"),
                    ("login_failed", "Log-in failed"),
                    ("login_locked", "Log-in refused: too many failures"),
                    ("logout", "Logged out"),
                    ("password_set", "Password set"),
                    ("second_factor_added", "Second factor added"),
                    ("second_factor_removed", "Second factor removed"),
                    ("second_factor_renewed", "Recovery codes made anew"),
                    ("sessions_ended", "Sessions ended"),
                    ("token_created", "API token made"),
                    ("token_revoked", "API token revoked"),
                    ("access_denied", "Access denied"),
                    ("access_opened", "Emergency access opened"),
                    ("access_changed", "Role, hospital or access changed"),
                    ("list_viewed", "List of cases viewed"),
                    ("patient_viewed", "Patient viewed"),
                    ("case_viewed", "Case viewed"),
                    ("image_read", "Image read"),
                    ("downloaded", "Original downloaded"),
                    ("uploaded", "Film uploaded"),
                    ("reviewed", "Draft of a review saved"),
                    ("signed", "Review signed"),
                    ("overridden", "Refusal set aside"),
                    ("requeued", "Queued for analysis again"),
                    ("cancelled", "Analysis cancelled"),
                    ("exported", "Exported"),
                    ("film_purged", "Film removed after the retention time"),
                    ("model_changed", "Model version changed"),
                    ("admin_changed", "Changed in administration"),
                    ("log_viewed", "Audit log viewed"),
                    ("backed_up", "Backed up"),
                    ("restored", "Restored from a backup"),
                ],
                max_length=24,
            ),
        ),
        migrations.AddConstraint(
            model_name="auditevent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "action__in",
                        [
                            "login",
                            "login_failed",
                            "login_locked",
                            "logout",
                            "password_set",
                            "second_factor_added",
                            "second_factor_removed",
                            "second_factor_renewed",
                            "sessions_ended",
                            "token_created",
                            "token_revoked",
                            "access_denied",
                            "access_opened",
                            "access_changed",
                            "list_viewed",
                            "patient_viewed",
                            "case_viewed",
                            "image_read",
                            "downloaded",
                            "uploaded",
                            "reviewed",
                            "signed",
                            "overridden",
                            "requeued",
                            "cancelled",
                            "exported",
                            "film_purged",
                            "model_changed",
                            "admin_changed",
                            "log_viewed",
                            "backed_up",
                            "restored",
                        ],
                    )
                ),
                name="audit_action_is_known",
            ),
        ),
        migrations.RunPython(put_back, migrations.RunPython.noop),
    ]
