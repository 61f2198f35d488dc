"""Explains the errors of an object store, with remedies."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from session_widgets.errors import Reason, WorkspaceError
from session_widgets.printing import one_line

SKEW_SECONDS = 300
"""With a larger difference the clock is blamed for a refused request; stores allow 15 minutes."""

_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_CODES: dict[str, Reason] = {
    "NoSuchBucket": "missing",
    "NoSuchKey": "missing",
    "ExpiredToken": "expired",
    "ExpiredTokenException": "expired",
    "TokenRefreshRequired": "expired",
    "RequestExpired": "expired",
    "RequestTimeTooSkewed": "clock",
    "PreconditionFailed": "conflict",
    "XMinioStorageFull": "disk",
    "QuotaExceeded": "disk",
    "KeyTooLongError": "name",
    "InvalidObjectName": "name",
    "XMinioInvalidObjectName": "name",
}
VOID_KEYS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "TokenRefreshRequired",
        "InvalidToken",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
    }
)
"""Error codes about the keys themselves, not about their rights."""
TEMPORARY = "SessionWidgetsTemporary"
"""Added to a response's error: whether the keys have a session token. SeaweedFS does not report expired keys."""
_STATUSES: dict[int, Reason] = {401: "refused", 403: "refused", 404: "missing", 412: "conflict", 507: "disk"}
_FULL = ("no space left", "no free volumes", "no writable volumes", "not enough free space", "disk full")
_LOGINS = {"SSOTokenLoadError", "UnauthorizedSSOTokenError", "TokenRetrievalError", "LoginTokenLoadError"}
_ENDED = "refreshed credentials are still expired"  # of a RuntimeError
_NO_KEYS = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "NoAuthTokenError"}
_SETTINGS = {"ProfileNotFound", "ConfigParseError", "ConfigNotFound", "InvalidConfigError", "InvalidEndpointError"}


def explain(error: BaseException, bucket: str) -> WorkspaceError:
    """Turn an exception of boto3 or botocore into a `WorkspaceError` that names the cause and the remedy.

    Args:
        error: the exception. Only its codes and the store's message are repeated; they contain no key.
        bucket: the requested bucket.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import ClientError

    if isinstance(error, Boto3Error) and error.__context__ is not None:
        error = error.__context__
    if isinstance(error, ClientError):
        return _answered(error, bucket)
    return _unanswered(error, bucket)


def _answered(error: Any, bucket: str) -> WorkspaceError:
    """The store answered with an error."""
    details = error.response.get("Error", {})
    meta = error.response.get("ResponseMetadata", {})
    code, words = str(details.get("Code", "")), one_line(str(details.get("Message", ""))).rstrip(".")
    status = meta.get("HTTPStatusCode", 0)
    reason = _CODES.get(code) or _STATUSES.get(status) or "unreachable"
    if code in {"InvalidAccessKeyId", "InvalidToken"} and details.get(TEMPORARY):
        reason = "expired"
    if any(sign in words.lower() for sign in _FULL):
        reason = "disk"
    skew = clock_skew(meta.get("HTTPHeaders", {}).get("date"))
    if reason == "refused" and skew is not None and abs(skew) > SKEW_SECONDS:
        reason = "clock"
    came = f"{error.operation_name} in bucket '{bucket}' was answered {status or 'with an error'} {code}".rstrip()
    remedy = _FAILED if reason == "unreachable" else _remedy(reason, bucket, skew)
    return WorkspaceError(f"{came}{f' ({words})' if words else ''}. {remedy}", reason=reason)


def _unanswered(error: BaseException, bucket: str) -> WorkspaceError:
    """The store did not answer, or no request was sent."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _LOGINS or _ENDED in str(error):
        reason: Reason = "expired"
    elif names & (_NO_KEYS | _SETTINGS):
        reason = "refused"
    elif "ParamValidationError" in names:
        reason = "name"
    else:
        reason = "unreachable"
    words = one_line(str(error), 300).rstrip(".")
    return WorkspaceError(f"bucket '{bucket}': {words}. {_remedy(reason, bucket, None)}", reason=reason)


def _remedy(reason: Reason, bucket: str, skew: float | None) -> str:
    if reason == "clock":
        how = "" if skew is None else f" by {abs(skew) / 60:.0f} minutes, {'ahead' if skew > 0 else 'behind'}"
        return f"This machine's clock differs from the store's{how}: set it right (for example with timedatectl)."
    return _REMEDIES[reason].format(bucket=bucket)


_FAILED = "The store runs, but fails: look at its log and at its disk, and try again."
_REMEDIES: dict[Reason, str] = {
    "unreachable": "Check that the object store runs, and that AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL names it.",
    "refused": f"Expected keys that may read and write the bucket: check {_KEYS}.",
    "expired": "Get new ones (log in again, or renew the session token), and send the prompt again.",
    "missing": "Make the bucket, or correct its name: session_widgets.local_s3('{bucket}') makes one on this machine.",
    "conflict": "Something else wrote the object at the same time: look at it and try again.",
    "disk": "The store has no room left: delete something there or make it larger.",
    "name": "A name in the workspace cannot be an object key: rename it.",
}


def clock_skew(date: str | None) -> float | None:
    """Seconds by which this machine is ahead of the store's clock, from the response."""
    if date is None:
        return None
    try:
        return (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError):
        return None
