"""Back to the version that was active before."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlmodel.management.person import PersonCommand
from mlmodel.services.lifecycle import Act, roll_back

if TYPE_CHECKING:
    from accounts.models import User


class Command(PersonCommand):
    help = (
        "Put the version back in service that was active before the present one; a second call goes one further back. The "
        "emergency exit: one operator is enough, and nothing is compared. It ends a suspension by the stop rule; a version "
        "that was suspended is passed over, and comes back by activate_model --force alone. Workers switch within ten seconds."
    )

    def change(self, person: "User", options: dict[str, Any]) -> str:
        done = roll_back(act=Act(person, reason=options["reason"]))
        if options["json"]:
            return json.dumps(asdict(done))
        passed = f" Passed over, not whole on the disk: {', '.join(done.passed_over)}." if done.passed_over else ""
        if done.suspended:
            passed += f" Passed over, taken out of service by the stop rule: {', '.join(done.suspended)}."
        return f"{done.version} is active again in place of {done.replaced}. Workers switch within ten seconds.{passed}"
