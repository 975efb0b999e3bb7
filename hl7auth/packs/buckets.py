"""Packs in a bucket of an object store that speaks S3.

Imports boto3 (the extra `s3`), packs.format, packs.places and errors only.

Keys, region and the address of another store than Amazon's come from where boto3 looks for them (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL, ~/.aws); none of them is in the URL or in the database.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hl7auth.errors import UserError
from hl7auth.packs.format import Absent, PackFault
from hl7auth.packs.places import SUFFIX, Taken, scratch_draft

Result = TypeVar("Result")

_LARGEST = 5 * 1024**3
"""Bytes that S3 takes in one request; only in one request can it refuse what is there already."""
_WAITS = {"connect_timeout": 3, "read_timeout": 20}
_GONE = ("404", "NoSuchKey", "NotFound")
_THERE = ("412", "PreconditionFailed", "ConditionalRequestConflict")


class Bucket:
    """Packs below a prefix of a bucket: `s3://bucket/prefix`."""

    def __init__(self, url: str) -> None:
        """Raises UserError for a URL without a bucket, or where the extra is not installed."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise UserError(f"'{url}' names no bucket: s3://BUCKET/PREFIX")
        self.url = url.rstrip("/")
        self._bucket, self._prefix = bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client = _client(url)

    def open(self, name: str) -> "Object":
        """Raises Absent, or PackFault."""
        found = self._ask(lambda: self._client.head_object(**self._key(name)), name)
        return Object(lambda **more: self._get(name, more), int(found["ContentLength"]), str(found["ETag"]))

    def names(self) -> list[str]:
        """The packs that are there. Raises PackFault."""

        def listed() -> list[str]:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            return [each["Key"] for page in pages for each in page.get("Contents", ())]

        found = self._ask(listed, "")
        names = (key.removeprefix(self._prefix) for key in found if key.endswith(SUFFIX))
        return sorted(name for name in names if name.count("/") == 1)

    def put(self, draft: Path, name: str) -> None:
        """Sends the draft, with its checksum, and removes it. Raises Taken, or PackFault."""
        if draft.stat().st_size > _LARGEST:
            raise PackFault(f"{self.url}/{name}: more than 5 GiB, which S3 does not take in one request")
        with draft.open("rb") as file:
            wanted = self._key(name) | {"IfNoneMatch": "*", "ChecksumAlgorithm": "SHA256"}
            self._ask(lambda: self._client.put_object(Body=file, **wanted), name)
        draft.unlink()

    def remove(self, name: str) -> None:
        """Takes one away, if it is there. Raises PackFault."""
        self._ask(lambda: self._client.delete_object(**self._key(name)), name)

    def drafts(self, name: str) -> Path:  # noqa: ARG002 - a folder needs it
        """A file in the folder for temporary files."""
        return scratch_draft()

    def _key(self, name: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    def _get(self, name: str, more: dict[str, Any]) -> bytes:
        return self._ask(lambda: bytes(self._client.get_object(**self._key(name), **more)["Body"].read()), name)

    def _ask(self, request: Callable[[], Result], name: str) -> Result:
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        where = f"{self.url}/{name}".rstrip("/")
        try:
            return request()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _GONE:
                raise Absent(f"{where}: there is no such pack") from None
            if code in _THERE:
                raise Taken(f"{where} is there already, or was changed meanwhile") from None
            raise PackFault(f"{where}: the store answers {code}") from None
        except (BotoCoreError, HTTPClientError, OSError) as error:
            raise PackFault(f"{where}: the store can not be reached ({type(error).__name__})") from None


class Object:
    """An object of a bucket, read in parts, and only as it was when it was opened."""

    def __init__(self, get: Callable[..., bytes], size: int, tag: str) -> None:
        self._get, self.size, self._tag = get, size, tag

    def read(self, at: int, size: int) -> bytes:
        """Some bytes of it. Raises PackFault."""
        if size == 0 or at >= self.size:
            return b""
        return self._get(Range=f"bytes={at}-{at + size - 1}", IfMatch=self._tag)

    def close(self) -> None:
        """Nothing is held open."""


def _client(url: str) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise UserError(f"packs at '{url}' need another package: pip install 'hl7auth[s3]'") from None
    retries = {"total_max_attempts": 3, "mode": "standard"}
    return boto3.session.Session().client("s3", config=Config(retries=retries, **_WAITS))
