"""Films of one DICOM study stand together in every list."""

from collections.abc import Iterable
from dataclasses import dataclass

from diagnostics.models import Case


@dataclass(frozen=True, slots=True)
class Group:
    """One study's films, or a single film that belongs to none."""

    cases: list[Case]

    @property
    def is_study(self) -> bool:
        return len(self.cases) > 1

    @property
    def first(self) -> Case:
        return self.cases[0]


def group_by_study(cases: Iterable[Case]) -> list[Group]:
    """In the order given, but each study's films beside the first of them."""
    groups: dict[str, Group] = {}
    for case in cases:
        groups.setdefault(case.study_instance_uid or str(case.pk), Group([])).cases.append(case)
    return list(groups.values())
