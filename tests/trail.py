"""What the audit log holds, told shortly for assertions."""

from accounts.models import AuditEvent


def trail() -> list[str]:
    """Every entry in order: `action by whom`, with the outcome where it was no success."""
    events = AuditEvent.objects.select_related("actor").order_by("sequence")
    return [_tell(event) for event in events]


def _tell(event: AuditEvent) -> str:
    who = event.actor.email.split("@")[0] if event.actor else "nobody"
    outcome = "" if event.outcome == "success" else f" {event.outcome}"
    return f"{event.action}{outcome} by {who}"
