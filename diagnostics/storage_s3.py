"""Films in a bucket. A module of its own: boto3 takes 25 MB, which a portal with local files need not have."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from tempfile import SpooledTemporaryFile
from typing import Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.response import StreamingBody
from django.core.files import File
from storages.backends.s3 import S3Storage
from storages.utils import ReadBytesWrapper, clean_name

from diagnostics.storage import COPY_CHUNK, PrivateStorageMixin, StoredObject

PART = 5 * 1024 * 1024  # bytes; the smallest that S3 allows
READS = 3  # of an object whose bytes break off: boto itself tries again only until an answer begins
NOTHING_SET = frozenset({"NoSuchPublicAccessBlockConfiguration", "ServerSideEncryptionConfigurationNotFoundError"})


class PrivateS3Storage(PrivateStorageMixin, S3Storage):
    """A private bucket: encrypted, never public, time limits that a web process can bear."""

    transient_errors = (OSError, BotoCoreError, ClientError, Boto3Error)
    _shared: Any = None
    _connecting = threading.Lock()

    def get_default_settings(self) -> dict[str, Any]:
        defaults = super().get_default_settings()
        return defaults | {
            "default_acl": None,
            "file_overwrite": True,
            "querystring_expire": 60,
            "signature_version": "s3v4",
            "max_memory_size": 1024 * 1024,
            # One part at a time: boto's default holds ten of 8 MB in memory for each upload, too much for a web process.
            "transfer_config": TransferConfig(use_threads=False, multipart_threshold=PART, multipart_chunksize=PART),
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

    @property
    def connection(self) -> Any:
        """One for the process. The library makes one for each thread, which reads boto's description of S3 anew each time; what
        threads share here is its client, which may be shared."""
        with self._connecting:
            if self._shared is None:
                self._shared = super().connection
            return self._shared

    def _save(self, name: str, content: File) -> str:
        """Small objects by one request, without the machinery of uploads in parts."""
        key = self._key(name)
        if content.size > PART:
            return str(super()._save(name, content))
        content.seek(0)
        body = ReadBytesWrapper(content)  # a file of Django's without a name is false, and boto sends nothing for what is false
        self._client.put_object(Bucket=self.bucket_name, Key=key, Body=body, **self._get_write_parameters(key, content))
        return str(clean_name(name))

    def exists(self, name: str) -> bool:
        """Raises as boto does, also where the whole bucket is gone: then nobody can tell."""
        found = super().exists(name)
        if not found:
            self._client.head_bucket(Bucket=self.bucket_name)
        return bool(found)

    def delete(self, name: str) -> None:
        """Raises as boto does, also where the whole bucket is gone; no object is none to remove."""
        self._client.delete_object(Bucket=self.bucket_name, Key=self._key(name))

    def _open(self, name: str, mode: str = "rb") -> File:
        """The whole object by one request, in a temporary file: errors come before an answer begins, and nobody asks for the
        head twice before, as the library's own file does.

        Raises `FileNotFoundError`, or what boto raises.
        """
        try:
            return self._fetch(self._key(name))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":  # not where the whole bucket is, which may come back
                raise FileNotFoundError(name) from error
            raise

    def _key(self, name: str) -> str:
        return str(self._normalize_name(clean_name(name)))

    def _fetch(self, key: str) -> File:
        left = READS
        while True:
            body = self._client.get_object(Bucket=self.bucket_name, Key=key)["Body"]
            left -= 1
            try:
                return File(self._spool(body), key)
            except (BotoCoreError, OSError):
                if not left:
                    raise

    def _spool(self, body: StreamingBody) -> "SpooledTemporaryFile[bytes]":
        """All bytes, at their beginning. Raises as boto does where they break off."""
        with closing(body), ExitStack() as on_error:
            spool = on_error.enter_context(SpooledTemporaryFile[bytes](max_size=self.max_memory_size))
            shutil.copyfileobj(body, spool, COPY_CHUNK)
            on_error.pop_all()
        spool.seek(0)
        return spool

    def list_objects(self, folder: str) -> Iterator[StoredObject]:
        """A thousand keys for each request, in the order of their bytes."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket_name, Prefix=f"{folder}/")
        for page in pages:
            for found in page.get("Contents", ()):
                yield StoredObject(found["Key"], found["Size"], found["LastModified"])

    def list_unfinished(self, folder: str) -> Iterator[StoredObject]:
        """Uploads in parts that a process began and did not live to finish: invisible, and kept until they are aborted."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket_name, Prefix=f"{folder}/")
        for page in pages:
            for begun in page.get("Uploads", ()):
                yield StoredObject(begun["Key"], 0, begun["Initiated"], begun["UploadId"])

    def abort_upload(self, stored: StoredObject) -> None:
        self._client.abort_multipart_upload(Bucket=self.bucket_name, Key=stored.key, UploadId=stored.upload_id)

    def describe_bucket(self) -> dict[str, bool | None]:
        """What should be so of a bucket with films; None where it cannot be told. Raises as the library does."""
        name = {"Bucket": self.bucket_name}
        block = self._ask(lambda: self._client.get_public_access_block(**name)["PublicAccessBlockConfiguration"])
        rules = self._ask(lambda: self._client.get_bucket_encryption(**name)["ServerSideEncryptionConfiguration"]["Rules"])
        versions = self._ask(lambda: self._client.get_bucket_versioning(**name))
        return {
            "public access is blocked": None if block is None else bool(block) and all(block.values()),
            "objects are encrypted": None if rules is None else bool(rules),
            "versions are kept": None if versions is None else versions.get("Status") == "Enabled",
        }

    @staticmethod
    def _ask(question: Callable[[], Any]) -> Any:
        """The answer; empty where nothing was set, None where we may not ask or the server does not know the question."""
        try:
            return question()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            return {} if code in NOTHING_SET else None

    @property
    def _client(self) -> Any:
        return self.connection.meta.client
