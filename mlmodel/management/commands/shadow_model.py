"""Have a version read beside the active one, unseen."""

import json
from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any

from mlmodel.management.person import PersonCommand
from mlmodel.services.errors import LifecycleError
from mlmodel.services.lifecycle import Act, end_shadow, find_version, put_in_shadow

if TYPE_CHECKING:
    from accounts.models import User


class Command(PersonCommand):
    help = (
        "Put a version in shadow: when a worker has nothing else to do, it reads the films that the active version has read. "
        "Nobody sees its results; list_models shows how far the two agree. --off ends it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model_version", nargs="?", metavar="VERSION")
        super().add_arguments(parser)
        parser.add_argument("--off", action="store_true", help="take the version in shadow out of it")

    def change(self, person: "User", options: dict[str, Any]) -> str:
        version, act = options["model_version"], Act(person, reason=options["reason"])
        if bool(version) == options["off"]:
            raise LifecycleError("Name a VERSION, or give --off.")
        if options["off"]:
            ended = end_shadow(act=act)
            words = f"{ended} is no longer in shadow."
            return json.dumps({"version": ended, "state": "candidate"}) if options["json"] else words
        find_version(version)
        relieved = put_in_shadow(version=version, act=act)
        words = f"{version} is in shadow" + (f" in place of {relieved}." if relieved else ".")
        return json.dumps({"version": version, "state": "shadow", "replaces": relieved}) if options["json"] else words
