"""S3 clients: boto3, with bounded waits."""

from __future__ import annotations

import functools
import os
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from session_widgets.workspaces.credentials import Credentials

DEFAULT_REGION = "us-east-1"
CONNECT_SECONDS = 5
READ_SECONDS = 30
ATTEMPTS = 3
CONNECTIONS = 32


def client_config(*, path_style: bool, attempts: int = ATTEMPTS) -> Any:
    """Return botocore's settings; checksums are sent only if a call requires one, for stores without support."""
    from botocore.config import Config

    return Config(
        s3={"addressing_style": "path" if path_style else "auto"},
        retries={"total_max_attempts": attempts, "mode": "standard"},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=CONNECTIONS,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def session_of(**keys: str | None) -> Any:
    """Return a boto3 session, by default of the AWS settings, with a fast parser of times (half a listing's cost)."""
    import boto3
    import botocore.session

    core = botocore.session.get_session()
    core.register_component("data_loader", _loader())
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
    return boto3.Session(botocore_session=core, **keys)


@functools.cache
def _loader() -> Any:
    """Loader for the descriptions of AWS's services, read once a process: those of S3 take 11 MB and 0.1 s."""
    from botocore.loaders import create_loader

    return create_loader()


def _timestamp(value: Any) -> datetime:
    """Read ISO 8601, as in listings, and HTTP's dates; botocore reads all other formats."""
    if isinstance(value, str) and value[:4].isdigit() and value.endswith("Z"):
        return datetime.fromisoformat(value)
    if isinstance(value, str) and value.endswith(" GMT"):
        return parsedate_to_datetime(value)
    from botocore.utils import parse_timestamp

    found: datetime = parse_timestamp(value)
    return found


def certificates() -> bytes:
    """Return the CA certificates that boto3 trusts: the bundle in the AWS settings, or its own."""
    import botocore.session
    from botocore.httpsession import where

    named = botocore.session.get_session().get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    return Path(named or where()).read_bytes()


def client_of(endpoint: str, keys: Credentials, *, region: str = DEFAULT_REGION, attempts: int = ATTEMPTS) -> Any:
    """Return an S3 client for a store with its own address, which ignores the environment's AWS settings."""
    session = session_of(
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.session_token,
        region_name=region,
    )
    return session.client("s3", endpoint_url=endpoint, config=client_config(path_style=True, attempts=attempts))
