import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("diagnostics", "0006_film_removed"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="EmergencyAccess",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("reason", models.TextField(max_length=500)),
                ("opened_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("expires_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="emergency_accesses", to="diagnostics.case"
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="emergency_accesses",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "emergency accesses",
                "ordering": ["-opened_at"],
                "indexes": [models.Index(fields=["user", "expires_at"], name="emergency_access_live")],
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("reason__gt", "")), name="emergency_access_has_reason"),
                    models.CheckConstraint(
                        condition=models.Q(("expires_at__gt", models.F("opened_at"))), name="emergency_access_has_end"
                    ),
                ],
            },
        ),
    ]
