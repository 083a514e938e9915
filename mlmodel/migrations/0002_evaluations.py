import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mlmodel", "0001_model_versions"),
    ]

    operations = [
        migrations.CreateModel(
            name="Evaluation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("data_sha256", models.CharField(max_length=64, verbose_name="SHA-256 of the films and labels")),
                ("n", models.PositiveIntegerField(verbose_name="films")),
                ("patients", models.PositiveIntegerField()),
                ("metrics", models.JSONField(default=dict)),
                ("directory", models.CharField(max_length=500)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="evaluations", to="mlmodel.modelversion"
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at"],
                "constraints": [
                    models.UniqueConstraint(fields=("version", "data_sha256"), name="evaluation_is_unique_per_version_and_data")
                ],
            },
        ),
    ]
