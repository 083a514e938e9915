"""What the model says of a film: the stub by the film's hash, the shipped network by `manage.py predict`, which knows neither
queue nor worker.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.films import Film
from tests.faults.marks import network_runs, probability_of
from tests.faults.site import Site

BY_HASH = 1e-6
BY_NETWORK = 1e-3  # batches of other sizes add in another order


@dataclass(frozen=True, slots=True)
class Answer:
    """The code of a film that is refused, or its probability to within the tolerance."""

    refusal: str
    probability: float
    tolerance: float


def expected_of(films: Iterable[Film], site: Site) -> dict[int, Answer]:
    """By the films' numbers."""
    if network_runs():
        return _ask_network(list(films), site)
    return {film.number: Answer(film.refusal, probability_of(film.sha256), BY_HASH) for film in films}


def _ask_network(films: list[Film], site: Site) -> dict[int, Answer]:
    if not films:
        return {}
    with TemporaryDirectory(prefix="faults-films-") as folder:
        for film in films:
            (Path(folder) / f"{film.number}.png").write_bytes(film.content)
        lines = site.portal.manage("predict", "--json", folder).splitlines()
    rows = [json.loads(line) for line in lines]
    return {int(Path(row["file"]).stem): Answer(row["code"] or "", row["probability"] or 0.0, BY_NETWORK) for row in rows}
