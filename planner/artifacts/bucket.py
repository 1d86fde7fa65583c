"""Objects below a prefix of a bucket in an S3-compatible store, read as the files of a folder.

The store's address and the credentials are the machine's own, from the usual AWS_ variables or its instance role; whoever
names a bucket brings none. Every object is read at the version that was listed (its ETag), so that a file cannot be put
together from two.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from planner.artifacts.manifest import MAX_FILES, is_left_out
from planner.domain.variant import check_path
from planner.errors import Conflict, InvalidInput, NotFound, Unavailable

if TYPE_CHECKING:
    from obstore.store import S3Store

_CHUNK: Final = 1 << 20
_LISTED: Final = 1_000


class BucketFile(msgspec.Struct, frozen=True, kw_only=True):
    """An object: its path below the prefix, its whole key, its size in bytes and its version."""

    path: str
    key: str
    size: int
    etag: str | None


class Bucket:
    """One bucket. Raises Unavailable when the `s3` extra is not installed or the store cannot be reached."""

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            from obstore.store import S3Store  # noqa: PLC0415 - an optional extra
        except ImportError as error:
            raise Unavailable(
                "this server cannot read buckets: install it with `pip install variant-planner[s3]`"
            ) from error
        with store_errors(name):
            self._store: S3Store = S3Store(
                name,
                client_options={
                    "timeout": "60s",
                    "connect_timeout": "5s",
                    # options that are given hide this one of the environment's
                    "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true"},
                },
                retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=60)},
            )

    def files(self, prefix: str) -> tuple[BucketFile, ...]:
        """Return the objects below `prefix` by path; hidden ones are left out. Raises NotFound, InvalidInput."""
        import obstore  # noqa: PLC0415 - as above

        found: list[BucketFile] = []
        with store_errors(self.name):
            # its overload for Arrow has a type of a library that is not installed
            batches = obstore.list(self._store, prefix=prefix or None, chunk_size=_LISTED)  # pyright: ignore[reportUnknownMemberType]
            for batch in batches:
                for each in batch:
                    path = each["path"].removeprefix(f"{prefix}/" if prefix else "")
                    if each["path"].endswith("/") or is_left_out(path):
                        continue
                    check_path(path)
                    found.append(
                        BucketFile(path=path, key=each["path"], size=each["size"], etag=each["e_tag"])
                    )
                if len(found) > MAX_FILES:
                    raise InvalidInput(
                        "uri", f"more than {MAX_FILES} objects lie there", allowed="one variant's files"
                    )
        if not found:
            raise NotFound("object below", f"s3://{self.name}/{prefix}")
        return tuple(sorted(found, key=lambda file: file.path))

    def read(self, file: BucketFile) -> Iterator[bytes]:
        """Yield an object's bytes. Raises Conflict when it is no longer the one that was listed."""
        import obstore  # noqa: PLC0415 - as above

        with store_errors(self.name):
            result = obstore.get(self._store, file.key, options={"if_match": file.etag} if file.etag else {})
            for chunk in result.stream(min_chunk_size=_CHUNK):
                yield bytes(chunk)


@contextmanager
def store_errors(bucket: str) -> Generator[None]:
    """Turn the errors of the store into those of `planner.errors`, without keys or addresses in them."""
    from obstore import exceptions  # noqa: PLC0415 - as above

    try:
        yield
    except exceptions.PreconditionError as error:
        raise Conflict(f"an object of bucket `{bucket}` was replaced while it was read") from error
    except FileNotFoundError as error:
        raise NotFound("bucket or object", bucket) from error
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise Unavailable(f"the server's credentials do not open bucket `{bucket}`") from error
    except exceptions.BaseError as error:
        if "NoSuchBucket" in str(error):  # listing an unknown bucket has no class of its own
            raise NotFound("bucket or object", bucket) from error
        raise Unavailable(f"bucket `{bucket}` cannot be read: {type(error).__name__}") from error
