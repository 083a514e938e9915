"""The two families of errors, and what an upload can be answered with."""


class DiagnosticsError(Exception):
    """Base of this room's errors. The text is for logs, never for a doctor."""


class UploadRefusedError(DiagnosticsError):
    """The gate turned a file away: nothing was stored. `message` is a fixed sentence for the user."""

    def __init__(self, code: str, message: str, *, status: int = 422) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


class StorageUnavailableError(DiagnosticsError):
    """Transient: the storage of films does not answer. An upload is told that nothing was saved; an analysis waits."""


class StoredFilmDamagedError(DiagnosticsError):
    """Final: the stored bytes are missing, or not those that were accepted (SHA-256 differs)."""


class TransitionError(DiagnosticsError):
    """The case is in no state that allows what was asked."""


class NoSuchCaseError(DiagnosticsError):
    """There is no such case, or none that may be reached this way; the user is not told which."""


class TooManyTriesError(DiagnosticsError):
    """The same was tried too often in a short time."""
