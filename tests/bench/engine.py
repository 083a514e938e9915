"""`python -m tests.bench.engine FILE…`: films per second of the engine alone on decoded films, in the worker's batches."""

import json
import os
import sys
import time
from pathlib import Path

import django

SECONDS = 6.0


def main(paths: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from django.conf import settings

    from mlmodel import api

    predictor = api.load()
    predictor.warm_up()
    decoded = predictor.decode([Path(path).read_bytes() for path in paths])
    films = [film for film in decoded if not isinstance(film, api.Refusal)]
    batches = [films[at : at + settings.WORKER_BATCH_SIZE] for at in range(0, len(films), settings.WORKER_BATCH_SIZE)]
    full = [batch for batch in batches if len(batch) == settings.WORKER_BATCH_SIZE] or batches
    predictor.infer(full[0])
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        for batch in full:
            predictor.infer(batch)
            done += len(batch)
    rate = done / (time.perf_counter() - started)
    print(json.dumps({"films_per_second": rate, "engine": predictor.engine, "batch": settings.WORKER_BATCH_SIZE}))
    predictor.close()


if __name__ == "__main__":
    main(sys.argv[1:])
