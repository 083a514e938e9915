"""Backups in a bucket. A module of its own: boto3 takes 25 MB, which whoever backs up to a directory need not have."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from diagnostics.exceptions import BackupError
from diagnostics.services.backup.sealing import Readable
from diagnostics.services.backup.sets import OBJECTS


def _in_parts(size: int) -> TransferConfig:
    """For each upload two parts are in memory, and S3 takes 10,000 of them."""
    return TransferConfig(use_threads=False, multipart_threshold=size, multipart_chunksize=size)


FILM, DUMP = _in_parts(5 * 1024**2), _in_parts(16 * 1024**2)  # up to 50 GB, of which several go at once; up to 160 GB, alone
MISSING = frozenset({"NoSuchKey", "404"})


class BucketTarget:
    """Objects under the prefix of `s3://bucket/prefix`, with the rights of BACKUP_S3_… or of the machine's role."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self.bucket, _, prefix = self.address.removeprefix("s3://").partition("/")
        self.prefix = f"{prefix}/" if prefix else ""
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=settings.BACKUP_S3_ENDPOINT_URL or None,
            region_name=settings.BACKUP_S3_REGION or None,
            aws_access_key_id=settings.BACKUP_S3_ACCESS_KEY_ID,
            aws_secret_access_key=settings.BACKUP_S3_SECRET_ACCESS_KEY,
            config=Config(
                connect_timeout=5, read_timeout=60, retries={"mode": "standard", "max_attempts": 4}, max_pool_connections=40
            ),
        )

    def put(self, name: str, stream: Readable) -> None:
        with self._errors(name):
            parts = FILM if name.startswith(OBJECTS) else DUMP
            self._client.upload_fileobj(stream, self.bucket, self.prefix + name, Config=parts)

    @contextmanager
    def open(self, name: str) -> Iterator[Readable]:
        with self._errors(name):
            body = self._client.get_object(Bucket=self.bucket, Key=self.prefix + name)["Body"]
            try:
                yield body
            finally:
                body.close()

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        with self._errors(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
            for page in pages:
                for found in page.get("Contents", ()):
                    yield found["Key"].removeprefix(self.prefix), found["Size"]

    def delete(self, name: str) -> None:
        with self._errors(name):
            self._client.delete_object(Bucket=self.bucket, Key=self.prefix + name)

    def tidy(self) -> None:
        with self._errors("uploads"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self.prefix)
            for page in pages:
                for begun in page.get("Uploads", ()):
                    self._client.abort_multipart_upload(Bucket=self.bucket, Key=begun["Key"], UploadId=begun["UploadId"])

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in MISSING:
                raise BackupError(f"{name} is missing in {self.address}.") from error
            raise BackupError(f"The backup's target {self.address} refuses: {code}.") from error
        except (BotoCoreError, Boto3Error, OSError) as error:
            raise BackupError(f"The backup's target {self.address} does not answer: {type(error).__name__}.") from error
