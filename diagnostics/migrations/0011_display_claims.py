from django.db import migrations, models


class Migration(migrations.Migration):
    """Who draws a film's picture for the browser is told apart from who analyses it. The release before need not fill it in."""

    dependencies = [("diagnostics", "0010_emergency_access_standing")]

    operations = [
        migrations.AddField(
            model_name="case",
            name="display_attempt",
            field=models.PositiveSmallIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.AddField(
            model_name="case",
            name="display_lease_until",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
    ]
