from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_audit_log"),
    ]

    operations = [
        migrations.AddField(
            model_name="apitoken",
            name="scopes",
            field=models.CharField(default="cases:read cases:write", help_text="Separated by blanks.", max_length=40),
        ),
        migrations.AddConstraint(
            model_name="apitoken",
            constraint=models.CheckConstraint(
                condition=models.Q(("scopes__in", ["cases:read", "cases:write", "cases:read cases:write"])),
                name="api_token_scopes_are_known",
            ),
        ),
    ]
