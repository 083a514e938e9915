"""Spooling of large uploads to the disk, which may be full."""

import logging
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import StopUpload, TemporaryFileUploadHandler

logger = logging.getLogger(__name__)


class SpoolingUploadHandler(TemporaryFileUploadHandler):
    """Django's own, but a disk that takes no more bytes ends in 503 (see `pneumo_site.middleware`), not in 500."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().new_file(*args, **kwargs)
        except OSError as error:
            self._give_up(error)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        try:
            self.file.write(raw_data)
        except OSError as error:
            self._give_up(error)

    def file_complete(self, file_size: int) -> UploadedFile | None:
        try:
            return super().file_complete(file_size)
        except OSError as error:
            self._give_up(error)
            raise

    def _give_up(self, error: OSError) -> None:
        logger.error("an upload cannot be spooled: %s", error.strerror)
        self.request.spool_failed = True  # type: ignore[union-attr]
        raise StopUpload(connection_reset=False) from error
