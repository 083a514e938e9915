import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.audit_triggers import install_in_migration, remove_in_migration


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditHead",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("sequence", models.BigIntegerField(default=0)),
                ("digest", models.CharField(blank=True, max_length=64)),
                ("exported_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="audit_has_one_head")],
            },
        ),
        migrations.CreateModel(
            name="AuditEvent",
            fields=[
                ("sequence", models.BigIntegerField(primary_key=True, serialize=False, verbose_name="number")),
                ("at", models.DateTimeField(verbose_name="time")),
                (
                    "action",
                    models.CharField(
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
                        ],
                        max_length=24,
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        choices=[("success", "Success"), ("denied", "Denied"), ("failed", "Failed")],
                        default="success",
                        max_length=8,
                    ),
                ),
                ("role", models.CharField(blank=True, help_text="The actor's at that time.", max_length=20)),
                ("object_type", models.CharField(blank=True, max_length=40, verbose_name="kind of object")),
                ("object_id", models.CharField(blank=True, max_length=64, verbose_name="object")),
                ("patient", models.UUIDField(blank=True, null=True, verbose_name="patient's key")),
                ("address", models.GenericIPAddressField(blank=True, null=True)),
                ("request_id", models.CharField(blank=True, max_length=64, verbose_name="request")),
                ("details", models.JSONField(blank=True, default=dict)),
                ("digest", models.CharField(editable=False, max_length=64)),
                (
                    "actor",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="audit_events",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "hospital",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="audit_events",
                        to="accounts.hospital",
                    ),
                ),
            ],
            options={
                "ordering": ["-sequence"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("patient__isnull", False)), fields=["patient", "-sequence"], name="audit_by_patient"
                    ),
                    models.Index(fields=["actor", "-sequence"], name="audit_by_actor"),
                    models.Index(fields=["hospital", "-sequence"], name="audit_by_hospital"),
                    models.Index(fields=["object_id", "-sequence"], name="audit_by_object"),
                    models.Index(fields=["at"], name="audit_by_time"),
                ],
                "constraints": [
                    models.CheckConstraint(
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
                                ],
                            )
                        ),
                        name="audit_action_is_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("outcome__in", ["success", "denied", "failed"])), name="audit_outcome_is_known"
                    ),
                ],
            },
        ),
        migrations.RunPython(install_in_migration, remove_in_migration),
    ]
