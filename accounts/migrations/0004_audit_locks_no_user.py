import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from accounts.audit_triggers import put_back


class Migration(migrations.Migration):
    """No foreign keys in the database from the audit log to users and hospitals: an entry locks neither's row."""

    dependencies = [
        ("accounts", "0003_api_token_scopes"),
    ]

    operations = [
        migrations.RunPython(migrations.RunPython.noop, put_back),
        migrations.AlterField(
            model_name="auditevent",
            name="actor",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="audit_events",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="hospital",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="audit_events",
                to="accounts.hospital",
            ),
        ),
        migrations.RunPython(put_back, migrations.RunPython.noop),
    ]
