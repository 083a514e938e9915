"""What gunicorn calls as its processes come and go; for its configuration files, which hand these names on to it."""

from typing import Any

from pneumo_site.process_metrics import forget_process


def when_ready(_server: Any) -> None:
    """Read the portal once, for all processes to come: one that ended is back in a moment, and each costs less memory. By now
    the socket is open (with `preload_app` it is not), so that who comes meanwhile waits instead of being refused."""
    import pneumo_site.wsgi  # noqa: F401


def child_exit(_server: Any, worker: Any) -> None:
    """A process has ended."""
    forget_process(worker.pid)
