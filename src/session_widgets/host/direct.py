"""Requests to an object store that the kernel signs and the sandbox makes, and their outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from session_widgets.host.manifest import Entry

Method = Literal["GET", "PUT", "HEAD"]
Failure = Literal["", "occupied", "changed", "refused", "unreachable"]
MOST_TEXT = 300
_FAILURES = ("", "occupied", "changed", "refused", "unreachable")


@dataclass(frozen=True, slots=True)
class Request:
    """A request for the content of one entry; it needs no key, and expires.

    Attributes:
        method: "HEAD" asks only whether the store is reached.
        url: signed for this method, one object, and the headers.
        path: of the entry in the workspace.
        size: bytes of the content.
        md5: of the content.
        seen: what a fetched content may replace, in the form of `tar_stream.SEEN`.
    """

    method: Method
    url: str
    headers: Mapping[str, str]
    path: str = ""
    size: int = 0
    md5: str = ""
    seen: str = "nothing"

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a request.

    Attributes:
        failed: "" if it did not fail; "occupied": something else is there; "changed": the content is not the expected
            one, or cannot be read or written; "refused": by the store; "unreachable".
        status: the store's, of HTTP; 0 if there is none.
        etag: of the object, after a PUT or HEAD.
        entry: that is there after a GET.
        text: of the failure.
    """

    failed: Failure = ""
    status: int = 0
    etag: str = ""
    entry: Entry | None = None
    text: str = ""

    def to_json(self) -> list[Any]:
        """Return the JSON form."""
        e = self.entry
        row = None if e is None else [e.path, e.kind, e.size, e.mode, e.mtime_ns, e.md5, e.stamp]
        return [self.failed, self.status, self.etag, row, self.text]

    @classmethod
    def from_json(cls, value: Any) -> Outcome:
        """Read the JSON form. Raises `ValueError` or `TypeError` for any other."""
        failed, status, etag, row, text = value
        if failed not in _FAILURES or not isinstance(status, int) or not isinstance(etag, str):
            raise ValueError("an outcome in another form")
        return cls(cast("Failure", failed), status, etag, None if row is None else Entry(*row), str(text)[:MOST_TEXT])
