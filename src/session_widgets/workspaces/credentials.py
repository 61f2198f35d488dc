"""Keys of an object store, and the narrowest keys that a store can create for a session."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    import boto3

ROLE = "SESSION_WIDGETS_S3_ROLE"
"""Environment variable with the role that is assumed for a session's keys, with a policy for its prefix only."""
LIFETIMES = (12 * 3600, 3600)
"""Durations, in order of preference: a role allows one hour unless its owner raised it."""
VERBS = ("Read", "Write", "List", "Tagging")
"""SeaweedFS's names for the permissions of scoped keys."""
_OBJECTS = ("GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload", "ListMultipartUploadParts")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys of an object store; the secret parts are never shown.

    Attributes:
        expires: when they expire; None if they do not.
        lifetime: their lifetime at creation.
    """

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires: datetime | None = None
    lifetime: timedelta | None = None

    @property
    def renew_at(self) -> datetime | None:
        """When to renew them: with an hour left, or half of their lifetime if it is at most two hours."""
        if self.expires is None:
            return None
        hour = timedelta(hours=1)
        return self.expires - (min(hour, self.lifetime / 2) if self.lifetime else hour)


def can_be_scoped(prefix: str) -> bool:
    """Return whether a policy can name a prefix literally: it has no wildcard and no variable."""
    return bool(prefix) and not re.search(r"[*?$]", prefix)


def assume(session: boto3.Session, region: str, role: str, bucket: str, prefix: str) -> Credentials:
    """Return the keys of a role, limited to the objects below one prefix.

    Raises:
        WorkspaceError: the role was refused.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    from session_widgets.workspaces.explain import explain

    name = re.sub(r"[^\w+=,.@-]", "-", prefix.rpartition("/")[2], flags=re.ASCII)[:64].ljust(2, "-")
    asked = {"RoleArn": role, "RoleSessionName": name, "Policy": _policy(_partition(role), bucket, prefix)}
    try:
        sts = session.client("sts", region_name=region)
        try:
            answer = sts.assume_role(**asked, DurationSeconds=LIFETIMES[0])
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ValidationError":
                raise
            answer = sts.assume_role(**asked, DurationSeconds=LIFETIMES[1])
    except (BotoCoreError, ClientError) as error:
        raise explain(error, bucket) from error
    return _from_sts(answer["Credentials"])


def _from_sts(given: Any) -> Credentials:
    expires = given["Expiration"]
    return Credentials(
        given["AccessKeyId"],
        given["SecretAccessKey"],
        given["SessionToken"],
        expires,
        expires - datetime.now(UTC),
    )


def _partition(role: str) -> str:
    """Return the partition in the role's name: "aws", "aws-cn" or "aws-us-gov"."""
    return role.split(":")[1] if role.count(":") > 1 else "aws"


def _policy(partition: str, bucket: str, prefix: str) -> str:
    place = f"arn:{partition}:s3:::{bucket}"
    statements = [
        {"Effect": "Allow", "Action": [f"s3:{verb}" for verb in _OBJECTS], "Resource": f"{place}/{prefix}/*"},
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": place,
            "Condition": {"StringLike": {"s3:prefix": f"{prefix}/*"}},
        },
    ]
    return orjson.dumps({"Version": "2012-10-17", "Statement": statements}).decode()
