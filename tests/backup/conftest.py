"""A small portal with a backup, a place to restore to, and servers for larger ones."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import boto3
import psycopg
import pytest

from tests.backup.site import CASES, Site, build, embedded, take_secrets, write_key
from tests.servers import S3_BUCKET, postgres_server, s3_server


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A small portal with one backup."""
    directory = tmp_path_factory.mktemp("drill")
    write_key(directory / "backup.key")
    site = embedded(directory, "original", directory / "target")
    site.fill(CASES)
    artifact = site.var / "models" / "9.0.0"
    artifact.mkdir(parents=True)
    (artifact / "metadata.json").write_text("{}", encoding="ascii")
    (artifact / "weights.npz").write_bytes(bytes(100_000))
    site.told("backup")
    return site


@pytest.fixture
def elsewhere(original: Site, tmp_path: Path) -> Site:
    """An empty installation with the operator's secrets and a copy of the target of its own, which may be spoilt."""
    target = tmp_path / "target"
    shutil.copytree(original.settings["BACKUP_TARGET"], target)
    site = build(tmp_path / "elsewhere", **original.settings | {"BACKUP_TARGET": str(target)})
    take_secrets(original, site)
    return site


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings that send backups to a bucket of their own."""
    with s3_server(tmp_path) as s3:
        yield {
            "BACKUP_TARGET": f"s3://{S3_BUCKET}/portal",
            "BACKUP_S3_REGION": s3["S3_REGION"],
            "BACKUP_S3_ENDPOINT_URL": s3["S3_ENDPOINT_URL"],
            "BACKUP_S3_ACCESS_KEY_ID": s3["S3_ACCESS_KEY_ID"],
            "BACKUP_S3_SECRET_ACCESS_KEY": s3["S3_SECRET_ACCESS_KEY"],
        }


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """PostgreSQL with two databases, S3 with a bucket of films, another to restore to, and one for backups."""
    with ExitStack() as stack:
        cluster = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portal-pg-")))
        url = stack.enter_context(postgres_server(cluster))
        s3 = stack.enter_context(s3_server(tmp_path_factory.mktemp("s3")))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE elsewhere")
            for name in ("clerk", "reader"):
                connection.execute(f"CREATE ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE")
            connection.execute("CREATE DATABASE clerks OWNER clerk")
        client = boto3.client(
            "s3",
            endpoint_url=s3["S3_ENDPOINT_URL"],
            region_name="eu-central-1",
            aws_access_key_id="t",
            aws_secret_access_key="t",
        )
        for bucket in ("elsewhere", "backups"):
            client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        yield s3 | {"DATABASE_URL": url}
