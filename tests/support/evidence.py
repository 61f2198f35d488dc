"""A session's files as the host sees them, without the sandbox or the session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from session_widgets.workspaces.clients import session_of

Evidence = Callable[[], dict[str, bytes]]


def in_bucket(url: str, session_id: str, client: Any = None) -> Evidence:
    """Read every object of a session, by the AWS settings of the environment unless a client is given."""
    from botocore.config import Config

    bucket, _, folder = url.removeprefix("s3://").partition("/")
    config = Config(s3={"addressing_style": "path"})
    client = client or session_of().client("s3", region_name="us-east-1", config=config)
    prefix = f"{folder}/{session_id}/"

    def read() -> dict[str, bytes]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [row["Key"] for page in pages for row in page.get("Contents", ()) if not row["Key"].endswith("/")]
        return {key.removeprefix(prefix): client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    return read


def in_directory(path: Path) -> Evidence:
    """Read every file of a directory."""
    return lambda: {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
