"""Spooling of large uploads to the disk, which may be full."""

import logging
from typing import Any

from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload, TemporaryFileUploadHandler

logger = logging.getLogger(__name__)


class SpoolingUploadHandler(TemporaryFileUploadHandler):
    """Django's own, but a disk that takes no more bytes ends in 503 (see `pneumo_site.middleware`), not in 500.

    And the file on the disk has nothing of the user's name for it: Django's ends as that does, whatever stands behind the dot.
    """

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        try:
            FileUploadHandler.new_file(self, *args, **kwargs)
            self.file = TemporaryUploadedFile("film", self.content_type, 0, self.charset, self.content_type_extra)
        except OSError as error:
            self._give_up(error)
        self.file.name = self.file_name

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
