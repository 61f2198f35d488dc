"""The object store of a bucket: address, keys, and the meaning of its refusals."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from session_widgets.errors import WorkspaceError
from session_widgets.progress import Progress, silent
from session_widgets.workspaces.clients import DEFAULT_REGION, client_config, session_of
from session_widgets.workspaces.credentials import ROLE, VERBS, Credentials, assume, can_be_scoped
from session_widgets.workspaces.explain import TEMPORARY, VOID_KEYS, explain
from session_widgets.workspaces.local_s3 import LocalS3, find

if TYPE_CHECKING:
    import boto3

__all__ = ["Connection", "connect", "explain"]


@dataclass(frozen=True, slots=True)
class Connection:
    """The object store of a bucket.

    Attributes:
        client: boto3's S3 client; threads may share it.
        endpoint: its address, without a slash at the end.
        is_aws: whether it is Amazon's own.
        region: the region that requests are signed for.
        credentials_source: the source of the keys, as a short text.
        embedded: the embedded store of this machine, if it is that one.
        session: the boto3 session of any other store.
        refused: set when the store no longer accepts the keys.
    """

    client: Any = field(repr=False)
    bucket: str
    endpoint: str
    is_aws: bool
    region: str
    credentials_source: str
    embedded: LocalS3 | None
    session: boto3.Session | None = field(repr=False, default=None)
    refused: Event = field(repr=False, default_factory=Event)

    def credentials(self) -> Credentials:
        """Return the current keys, even if they are refreshed."""
        if self.embedded is not None:
            return self.embedded.credentials
        found = self.session.get_credentials() if self.session else None
        if found is None:
            raise _no_keys(self.bucket)
        now = found.get_frozen_credentials()
        expires = getattr(found, "_expiry_time", None)
        left = expires - datetime.now(UTC) if expires else None
        return Credentials(now.access_key, now.secret_key, now.token, expires, left)

    def scoped(self, prefix: str) -> Credentials | None:
        """Return keys that reach the objects below one prefix and no others; None if the store has no such keys.

        The embedded store makes an identity for each prefix. For another store, this assumes the role that
        SESSION_WIDGETS_S3_ROLE names.

        Args:
            prefix: without "/" at its ends.

        Raises:
            WorkspaceError: the role was refused.
        """
        if not can_be_scoped(prefix):
            return None
        if self.embedded is not None:
            place = f"{self.bucket}/{prefix}"
            return self.embedded.issue(place, [f"{verb}:{place}/*" for verb in VERBS])
        role = os.environ.get(ROLE)
        return assume(self.session, self.region, role, self.bucket, prefix) if role and self.session else None

    def retire(self, prefix: str) -> None:
        """Revoke the keys of `scoped` in the embedded store; keys of a role expire by themselves."""
        if self.embedded is not None:
            self.embedded.withdraw(f"{self.bucket}/{prefix}")


def connect(bucket: str, home: Path, progress: Progress = silent) -> Connection:
    """Find the store of a bucket: the embedded one (started if necessary) if it has the bucket, else the AWS settings.

    Args:
        bucket: its name.
        home: the data directory.
        progress: called when it takes time.

    Raises:
        WorkspaceError: there are no keys, the settings are broken, or the embedded store does not start.
    """
    if embedded := find(home, bucket):
        embedded.start(progress)
        return _embedded(embedded)
    from botocore.exceptions import BotoCoreError

    try:
        return _configured(bucket)
    except (BotoCoreError, ValueError) as error:  # botocore's for an invalid endpoint
        raise explain(error, bucket) from error


def _no_keys(bucket: str) -> WorkspaceError:
    return WorkspaceError(
        f"bucket '{bucket}' was expected in the store that the AWS settings name, and they hold no keys. Set "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and AWS_ENDPOINT_URL_S3 if it is not Amazon's; "
        f"or make the bucket on this machine: session_widgets.local_s3('{bucket}').",
        reason="refused",
    )


def _embedded(store: LocalS3) -> Connection:
    return Connection(
        client=store.client(),
        bucket=store.bucket,
        endpoint=store.endpoint,
        is_aws=False,
        region=DEFAULT_REGION,
        credentials_source="the embedded object store",
        embedded=store,
    )


def _configured(bucket: str) -> Connection:
    session = session_of()
    keys = session.get_credentials()
    if keys is None:
        raise _no_keys(bucket)
    client = session.client("s3", config=client_config(path_style=False))
    endpoint = client.meta.endpoint_url.rstrip("/")
    is_aws = (urlsplit(endpoint).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))
    if not is_aws:
        client = session.client("s3", config=client_config(path_style=True))
    refused = Event()
    client.meta.events.register("after-call.s3", partial(_note_refusal, refused, keys.token is not None))
    return Connection(
        client=client,
        bucket=bucket,
        endpoint=endpoint,
        is_aws=is_aws,
        region=session.region_name or DEFAULT_REGION,
        credentials_source=f"AWS settings ({keys.method})",
        embedded=None,
        session=session,
        refused=refused,
    )


def _note_refusal(refused: Event, temporary: bool, parsed: dict[str, Any], **_: Any) -> None:
    """Record a response that says that the keys are invalid; `temporary` ones have expired."""
    error = parsed.get("Error", {})
    if error.get("Code") in VOID_KEYS:
        refused.set()
        error[TEMPORARY] = temporary
