"""A bucket in memory with boto3's client interface: for cases that a real store does not need, and much faster."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from threading import Event, Lock
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from session_widgets.workspaces.bucket import Prefix
from session_widgets.workspaces.bucket_location import BucketLocation
from session_widgets.workspaces.sync import SyncWorkspace

BUCKET = "lab"
BEGIN = datetime(2026, 11, 28, tzinfo=UTC)


def refuse(status: int, code: str, call: str = "call") -> ClientError:
    """What boto3 raises for an answer of the store."""
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, call)


class Memory:
    """Objects by key. `before` is called with the name of each call and its key, and may raise."""

    exceptions = SimpleNamespace(ClientError=ClientError)

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, str]] = []
        self.before: Callable[[str, str], object] = lambda _call, _key: None
        self._clock = 0
        self._lock = Lock()

    def _asked(self, call: str, key: str) -> None:
        self.calls.append((call, key))
        self.before(call, key)

    def put_object(
        self,
        *,
        Bucket: str,
        Key: str,
        Body: Any = b"",
        Metadata: dict[str, str] | None = None,
        ContentMD5: str | None = None,
        IfMatch: str | None = None,
        IfNoneMatch: str | None = None,
    ) -> dict[str, Any]:
        self._asked("put", Key)
        body = Body if isinstance(Body, bytes) else Body.read()
        digest = hashlib.md5(body)
        with self._lock:
            there = self.objects.get(Key)
            if (IfNoneMatch and there) or (IfMatch and (there is None or there["ETag"].strip('"') != IfMatch)):
                raise refuse(412, "PreconditionFailed")
            if ContentMD5 is not None and base64.b64decode(ContentMD5) != digest.digest():
                raise refuse(400, "BadDigest")
            self._clock += 1
            self.objects[Key] = {
                "Key": Key,
                "Body": body,
                "Size": len(body),
                "ETag": f'"{digest.hexdigest()}"',
                "Metadata": dict(Metadata or {}),
                "LastModified": BEGIN + timedelta(seconds=self._clock),
            }
            return {"ETag": self.objects[Key]["ETag"]}

    def _there(self, key: str, code: str) -> dict[str, Any]:
        with self._lock:
            if key not in self.objects:
                raise refuse(404, code)
            return dict(self.objects[key])

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        self._asked("head", Key)
        found = self._there(Key, "404")
        return {**found, "ContentLength": found["Size"]}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        self._asked("get", Key)
        found = self._there(Key, "NoSuchKey")
        return {**found, "ContentLength": found["Size"], "Body": BytesIO(found["Body"])}

    def delete_object(self, *, Bucket: str, Key: str, IfMatch: str | None = None) -> None:
        self._asked("delete", Key)
        with self._lock:
            there = self.objects.get(Key)
            if IfMatch and there is not None and there["ETag"].strip('"') != IfMatch:
                raise refuse(412, "PreconditionFailed")
            self.objects.pop(Key, None)

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any]) -> dict[str, Any]:
        for each in Delete["Objects"]:
            self.delete_object(Bucket=Bucket, Key=each["Key"])
        return {}

    def list_objects_v2(
        self, *, Bucket: str, Prefix: str = "", Delimiter: str = "", MaxKeys: int = 1000, ContinuationToken: str = ""
    ) -> dict[str, Any]:
        self._asked("list", Prefix)
        with self._lock:
            keys = sorted(key for key in self.objects if key.startswith(Prefix) and key > ContinuationToken)
            rows = [dict(self.objects[key]) for key in keys]
        if Delimiter:
            rows = [row for row in rows if Delimiter not in row["Key"][len(Prefix) :]]
        page = rows[:MaxKeys]
        more = {"NextContinuationToken": page[-1]["Key"]} if len(rows) > MaxKeys else {}
        return {"Contents": page, "IsTruncated": bool(more), **more}

    def get_paginator(self, call: str) -> Any:
        def pages(**place: str) -> Iterator[dict[str, Any]]:
            if call == "list_multipart_uploads":
                self._asked("uploads", place["Prefix"])
                return
            more: dict[str, str] = {}
            while True:
                page = self.list_objects_v2(**place, **more)
                yield page
                if not page["IsTruncated"]:
                    return
                more = {"ContinuationToken": page["NextContinuationToken"]}

        return SimpleNamespace(paginate=pages)


def workspace(home: Path, memory: Memory, session_id: str = "s1") -> SyncWorkspace:
    """The workspace of a session on a machine with this data directory."""
    objects = BucketLocation.place(home, home, session_id, f"s3://{BUCKET}")
    home.mkdir(parents=True, exist_ok=True)
    objects.__dict__["connection"] = SimpleNamespace(embedded=None, refused=Event(), client=memory)
    objects.__dict__["prefix"] = Prefix(memory, BUCKET, f"{session_id}/")
    return SyncWorkspace(objects)


def put(memory: Memory, path: str, text: bytes, **more: str) -> None:
    """As somebody else does."""
    memory.put_object(Bucket="lab", Key=f"s1/{path}", Body=text, **more)


def keys(memory: Memory) -> set[str]:
    return {key.removeprefix("s1/") for key in memory.objects if key.startswith("s1/")}


def asked(memory: Memory, *calls: str) -> list[tuple[str, str]]:
    """What was asked of the session's objects since the last time, apart from looks at them."""
    found = [(call, key.removeprefix("s1/")) for call, key in memory.calls if call in calls and key.startswith("s1/")]
    memory.calls.clear()
    return found
