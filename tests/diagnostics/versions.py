"""Versions for tests of the worker around them: stubs by name, and a registry that says which is wanted."""

from dataclasses import replace
from typing import Any

from mlmodel import api
from mlmodel.models import ModelVersion
from mlmodel.registry import InService
from tests.diagnostics.stub_model import INFO, StubPredictor


class VersionStub(StubPredictor):
    """A stub that knows its version; `films` are the contents it was shown, `shift` moves its probabilities."""

    def __init__(self, version: str, *, shift: float = 0.0) -> None:
        super().__init__()
        self.info = replace(INFO, version=version)
        self.shift, self.closed, self.films = shift, 0, []  # type: ignore[var-annotated]

    def infer(self, films: Any) -> list[api.Outcome]:
        if self.closed:
            raise RuntimeError("a closed predictor was asked")
        self.films.extend(bytes(film.model_input) for film in films)
        return super().infer(films)

    def close(self) -> None:
        self.closed += 1

    def _decide(self, film: api.DecodedFilm) -> api.Outcome:
        outcome = super()._decide(film)
        if isinstance(outcome, api.Refusal):
            return outcome
        probability = min(max(outcome.probability + self.shift, 0.0), 1.0)
        label: api.Label = "PNEUMONIA" if probability >= 0.5 else "NORMAL"
        return replace(outcome, model_version=self.info.version, probability=probability, label=label)


class Registry:
    """Stands for `api.versions_in_service` and `api.load`: what is wanted, what can be loaded, and how often it was."""

    def __init__(self, active: str) -> None:
        self.wanted = InService(active)
        self.versions: dict[str, VersionStub | Exception] = {}
        self.loads: list[str] = []

    def versions_in_service(self) -> InService:
        return self.wanted

    def load(self, version: str, *, beside: Any) -> VersionStub:
        assert beside.closed == 0
        self.loads.append(version)
        found = self.versions[version]
        if isinstance(found, Exception):
            raise found
        return found


def enter_version(version: str, state: str) -> ModelVersion:
    """A row of the registry without an artifact."""
    return ModelVersion.objects.create(version=version, path=f"/{version}", sha256="", threshold=0.5, state=state)
