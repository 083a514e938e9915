"""The registry: which versions there are, which one reads, and how good they are."""

import json
from argparse import ArgumentParser
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from rich.console import Console
from rich.table import Table

from mlmodel.services.listing import describe_versions
from mlmodel.types import ModelError

SHOWN = {"auc": "AUC", "sensitivity": "sens.", "specificity": "spec."}
WIDTH = 160  # where nobody looks, lines are not wrapped to a terminal


class Command(BaseCommand):
    help = (
        "List the versions that are registered or lie on the disk: state, since when and by whom, headline figures with their "
        "95 % intervals, requests that wait for a second person, and how far the version in shadow agrees with the active one."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON array")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            versions = describe_versions()
        except ModelError as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError("The registry cannot be read: is the database up, and has `migrate` been run?") from error
        if options["json"]:
            self.stdout.write(json.dumps(versions))
            return
        self._print_table(versions)

    def _print_table(self, versions: list[dict[str, Any]]) -> None:
        table = Table()
        for column in ("Version", "State", "SHA-256", "Measured", "Since", "By"):
            table.add_column(column, overflow="fold")
        for facts in versions:
            table.add_row(
                facts["version"],
                _state(facts),
                facts["sha256"][:12],
                _measures(facts),
                (facts["since"] or "")[:16].replace("T", " "),
                " + ".join(name for name in (facts["by"], facts["approved_by"]) if name),
            )
        Console(file=cast("IO[str]", self.stdout), width=None if self.stdout.isatty() else WIDTH).print(table)
        for facts in versions:
            for remark in _remarks(facts):
                self.stdout.write(f"{facts['version']}: {remark}")


def _state(facts: dict[str, Any]) -> str:
    as_shipped = facts["in_service"] and facts["state"] != "active"
    return f"{facts['state']}; serves as shipped" if as_shipped else str(facts["state"])


def _measures(facts: dict[str, Any]) -> str:
    lines = []
    for name, words in SHOWN.items():
        if found := facts["metrics"].get(name):
            interval = f" ({found['low']:.3f} to {found['high']:.3f})" if found["low"] is not None else ""
            lines.append(f"{words} {found['value']:.3f}{interval}")
    judged = facts["evaluated_on"]
    lines.append(f"{judged['films']} films, {judged['patients']} patients" if judged else "at training; not evaluated here")
    return "\n".join(lines)


def _remarks(facts: dict[str, Any]) -> list[str]:
    remarks = [facts["problem"]] if facts["problem"] else []
    if since := facts["suspended_since"]:
        remarks.append(f"Taken out of service by the stop rule on {since[:16].replace('T', ' ')}; no version is in service.")
    if facts["forced"]:
        remarks.append("Activated by force, against the evidence.")
    if waits := facts["waits_for_approval"]:
        remarks.append(f"Asked for by {waits['requested_by']}; waits for a second person until {waits['expires_at'][:16]}.")
    if (shadow := facts["shadow"]) and shadow["against"]:
        remarks.append(_agreement(shadow))
    return remarks


def _agreement(shadow: dict[str, Any]) -> str:
    if not shadow["n"]:
        return f"In shadow: no film read beside {shadow['against']} yet."
    mean, size = shadow["mean_difference"], shadow["mean_absolute_difference"]
    return (
        f"In shadow beside {shadow['against']}: {shadow['n']} films, same label {shadow['label_agreement']:.1%}, mean "
        f"difference {mean:+.3f} (size {size:.3f}), {shadow['refused']} refused."
    )
