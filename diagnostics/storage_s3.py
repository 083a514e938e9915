"""Films in a bucket. A module of its own: boto3 takes 25 MB, which a portal with local files need not have."""

from typing import Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from storages.backends.s3 import S3Storage

from diagnostics.storage import PrivateStorageMixin


class PrivateS3Storage(PrivateStorageMixin, S3Storage):
    """A private bucket: encrypted, never public, time limits that a web process can bear."""

    transient_errors = (OSError, BotoCoreError, ClientError, Boto3Error)

    def get_default_settings(self) -> dict[str, Any]:
        defaults = super().get_default_settings()
        return defaults | {
            "default_acl": None,
            "file_overwrite": True,
            "querystring_expire": 60,
            "signature_version": "s3v4",
            "max_memory_size": 1024 * 1024,
            # One part at a time: boto's default holds ten of 8 MB in memory for each upload, too much for a web process.
            "transfer_config": TransferConfig(use_threads=False, multipart_chunksize=5 * 1024 * 1024),
            "client_config": Config(
                connect_timeout=3,
                read_timeout=10,
                retries={"mode": "standard", "max_attempts": 3},
                max_pool_connections=16,
            ),
            "object_parameters": {"ServerSideEncryption": "AES256"},
        }

    def __init__(self, *, kms_key_id: str = "", **options: Any) -> None:
        if kms_key_id:
            options["object_parameters"] = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id}
        super().__init__(**options)
