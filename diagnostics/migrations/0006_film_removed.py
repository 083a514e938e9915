from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("diagnostics", "0005_uploads_by_user"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="case",
            name="purged_at",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="film removed at"),
        ),
        migrations.AlterField(
            model_name="case",
            name="original_key",
            field=models.CharField(editable=False, help_text="Empty once the film's bytes are removed.", max_length=200),
        ),
        migrations.AddConstraint(
            model_name="case",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("original_key__gt", ""), ("purged_at", None)),
                    models.Q(
                        ("display", "unavailable"), ("purged_at__isnull", False), ("state__in", ["done", "refused", "failed"])
                    ),
                    _connector="OR",
                ),
                name="case_without_film_is_final",
            ),
        ),
    ]
