"""The two families of errors, and what an upload can be answered with."""


class DiagnosticsError(Exception):
    """Base of this room's errors. The text is for logs, never for a doctor."""


class UploadRefusedError(DiagnosticsError):
    """A file was turned away: nothing was stored. `message` is a sentence for the user; `retry_after` seconds, where a later
    try may succeed."""

    def __init__(self, code: str, message: str, *, status: int = 422, retry_after: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.retry_after = code, message, status, retry_after


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


class BackupError(DiagnosticsError):
    """A backup or a restore cannot go on. The text is one line for the operator: no patient's data, no secret."""


class OtherKeyError(BackupError):
    """A file of a backup was sealed with another key."""
