import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("diagnostics", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="prediction",
            name="flags",
            field=models.JSONField(blank=True, default=list, help_text="Codes that warn of the film without refusing it."),
        ),
        migrations.AddField(
            model_name="prediction",
            name="heat_in_lung",
            field=models.FloatField(blank=True, help_text="Share of the heat inside the lung field, 0 to 1.", null=True),
        ),
        migrations.AddField(
            model_name="prediction",
            name="is_shadow",
            field=models.BooleanField(
                default=False, help_text="Kept for comparison, never shown.", verbose_name="by a version in shadow"
            ),
        ),
        migrations.AlterField(
            model_name="prediction",
            name="heatmap_key",
            field=models.CharField(blank=True, editable=False, max_length=200),
        ),
        migrations.CreateModel(
            name="GateOverride",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("code", models.CharField(max_length=40, verbose_name="refusal set aside")),
                ("reason", models.TextField(max_length=1000)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="overrides", to="diagnostics.case"
                    ),
                ),
                (
                    "decided_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="gate_overrides", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at"],
                "constraints": [
                    models.UniqueConstraint(fields=("case", "code"), name="override_is_unique_per_case_and_code"),
                    models.CheckConstraint(
                        condition=models.Q(("code__gt", ""), ("reason__gt", "")), name="override_has_code_and_reason"
                    ),
                ],
            },
        ),
    ]
