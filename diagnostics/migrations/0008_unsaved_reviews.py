import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("diagnostics", "0007_emergency_access"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="UnsavedReview",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("judged", models.UUIDField(blank=True, null=True, verbose_name="prediction on the screen")),
                (
                    "verdict",
                    models.CharField(
                        blank=True,
                        choices=[("agree", "I agree with the model"), ("disagree", "I disagree with the model")],
                        max_length=8,
                    ),
                ),
                (
                    "finding",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("PNEUMONIA", "Features of pneumonia"),
                            ("NO_PNEUMONIA", "No features of pneumonia"),
                            ("UNCERTAIN", "Uncertain"),
                            ("NOT_ASSESSABLE", "The film cannot be assessed"),
                        ],
                        max_length=14,
                    ),
                ),
                ("note", models.TextField(blank=True, max_length=4000)),
                ("saved_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "author",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="unsaved_reviews", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "case",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="unsaved_reviews", to="diagnostics.case"
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("case", "author"), name="unsaved_review_is_one_per_author")],
            },
        ),
    ]
