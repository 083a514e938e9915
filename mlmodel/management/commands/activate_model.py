"""Ask for a version to be activated, or approve what another operator asked for."""

import json
from argparse import ArgumentParser
from typing import TYPE_CHECKING, Any

from mlmodel.management.person import PersonCommand
from mlmodel.services.judgement import LARGEST_MARGIN
from mlmodel.services.promotion import Activation, activate_version

if TYPE_CHECKING:
    from accounts.models import User


class Command(PersonCommand):
    help = (
        "Put a version in service. It must be calibrated, evaluated on the same films as the version in service, and no worse "
        "there. The first operator's call is kept for a week as a request; the same call by a second one (or Django admin) "
        "approves it, and the workers switch within ten seconds. --force with a --reason, by both, overrides the evidence, "
        "never a damaged artifact."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model_version", metavar="VERSION")
        super().add_arguments(parser)
        parser.add_argument("--force", action="store_true", help="though the evidence speaks against it; needs --reason")
        parser.add_argument(
            "--margin", type=float, help=f"how much lower the AUC may be, 0 to {LARGEST_MARGIN} (default: the comparison's own)"
        )

    def change(self, person: "User", options: dict[str, Any]) -> str:
        done = activate_version(
            version=options["model_version"],
            person=person,
            reason=options["reason"],
            force=options["force"],
            margin=options["margin"],
        )
        return json.dumps(_as_json(done)) if options["json"] else _in_words(done)


def _as_json(done: Activation) -> dict[str, Any]:
    promotion = done.promotion
    return {
        "version": done.version,
        "state": "active" if done.is_done else "pending",
        "replaces": done.replaces,
        "expires_at": promotion.expires_at.isoformat(timespec="seconds") if promotion and not done.is_done else None,
        "objections": promotion.objections if promotion else [],
        "comparison": promotion.comparison if promotion else {},
    }


def _in_words(done: Activation) -> str:
    if done.promotion and not done.is_done:
        until = f"{done.promotion.expires_at:%Y-%m-%d %H:%M} UTC"
        return f"{done.version} waits for a second operator until {until}: activate_model {done.version} --by THEIR-ADDRESS"
    if done.version == done.replaces:
        return f"{done.version} is active; it served as shipped until now."
    return f"{done.version} is active in place of {done.replaces}. Workers switch within ten seconds."
