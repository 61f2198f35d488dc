"""Workspaces for tests: each `machine` is a data directory of its own, all of them on one bucket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from session_widgets.workspaces.bucket import Prefix
from session_widgets.workspaces.contract import Workspace
from session_widgets.workspaces.place import place

Make = Callable[..., Workspace]


def workspace(home: Path, url: str, session_id: str = "s1", attachment: str | None = None) -> Workspace:
    """The workspace of a session, as a kernel with this data directory has it."""
    return place(home, session_id, url, attachment)


def attach(space: Workspace) -> list[str]:
    """Attach it, and return the progress reports."""
    told: list[str] = []
    space.attach(told.append)
    return told


def persist(space: Workspace) -> None:
    """Run the barrier with this machine's look."""
    space.persist(space.scan, ())


def contents(space: Workspace) -> dict[str, bytes]:
    """What the bucket holds, read by the host alone: every object below the session's prefix, content included."""
    assert space.objects is not None
    prefix: Prefix = space.objects.prefix
    client, bucket, start = prefix.client, prefix.bucket, prefix.prefix
    return {key: client.get_object(Bucket=bucket, Key=start + key)["Body"].read() for key in keys(space)}


def keys(space: Workspace) -> list[str]:
    """What the bucket lists below the session's prefix, by boto3 alone."""
    assert space.objects is not None
    prefix: Prefix = space.objects.prefix
    pages = prefix.client.get_paginator("list_objects_v2").paginate(Bucket=prefix.bucket, Prefix=prefix.prefix)
    return [row["Key"][len(prefix.prefix) :] for page in pages for row in page.get("Contents", ())]


def write(space: Workspace, path: str, text: str = "x") -> Path:
    """Write a file of the directory."""
    file = space.path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def move(space: Workspace, other: Workspace) -> None:
    """Give the session from one machine to another."""
    space.detach()
    attach(other)
