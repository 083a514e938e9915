import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """The release before goes on beside this one, and after a way back: it names neither hospital nor role."""

    dependencies = [
        ("accounts", "0004_audit_locks_no_user"),
        ("diagnostics", "0011_display_claims"),
    ]

    operations = [
        migrations.AlterField(
            model_name="emergencyaccess",
            name="user_hospital",
            field=models.ForeignKey(
                help_text="The user's at that time.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.hospital",
            ),
        ),
        migrations.AlterField(
            model_name="emergencyaccess",
            name="user_role",
            field=models.CharField(db_default="", help_text="The user's at that time.", max_length=20),
        ),
    ]
