"""What the registry's verbs raise."""


class LifecycleError(Exception):
    """What was asked is not done, and nothing was changed. The text is one line for the person who asked."""
