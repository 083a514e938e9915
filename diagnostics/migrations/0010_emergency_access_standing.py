import django.db.models.deletion
from django.db import migrations, models


def fill(apps, _editor):
    accesses = apps.get_model("diagnostics", "EmergencyAccess").objects
    users = apps.get_model("accounts", "User").objects.filter(pk=models.OuterRef("user"))
    accesses.update(
        user_hospital=models.Subquery(users.values("hospital")[:1]), user_role=models.Subquery(users.values("role")[:1])
    )


class Migration(migrations.Migration):
    """By which hospital and role of its user an emergency access was opened; of those that are there, the present ones."""

    dependencies = [
        ("accounts", "0003_api_token_scopes"),
        ("diagnostics", "0009_figures_by_index"),
    ]

    operations = [
        migrations.AddField(
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
        migrations.AddField(
            model_name="emergencyaccess",
            name="user_role",
            field=models.CharField(default="", help_text="The user's at that time.", max_length=20),
            preserve_default=False,
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
        migrations.AlterField(
            model_name="emergencyaccess",
            name="user_hospital",
            field=models.ForeignKey(
                help_text="The user's at that time.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.hospital",
            ),
        ),
    ]
