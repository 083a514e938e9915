from typing import Any

from django.core.management.base import BaseCommand, CommandError

from diagnostics import worker
from mlmodel.api import ArtifactCorruptError, ArtifactIncompatibleError, ArtifactMissingError, ModelError


class Command(BaseCommand):
    help = (
        "Run an analysis worker: it loads the active model, takes queued cases in batches and writes their results until "
        "SIGTERM or Ctrl-C, which let it finish what it has in hand. It needs the database and the storage of films; Redis "
        "only wakes it sooner."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        try:
            worker.run()
        except (ArtifactMissingError, ArtifactCorruptError, ArtifactIncompatibleError) as error:
            raise CommandError(f"The active model cannot be served: {error} rollback_model goes back.") from error
        except ModelError as error:
            raise CommandError(f"The worker cannot start: {error}") from error
