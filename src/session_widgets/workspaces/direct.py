"""The attachment `direct`: contents go between the sandbox and the bucket without this kernel in between.

The kernel compares as it does for a relay, and signs a request for each content that has changed: for one object, one
method, and exactly this content (PUT) or version (GET), valid for minutes. The sandbox makes the requests, and has no
key. What cannot go this way is left to the relay: very large files, conflicts, objects whose ETag is no MD5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Lock
from typing import TypeVar

from session_widgets.errors import SandboxError, TransportError, WorkspaceError
from session_widgets.host.direct import Method, Outcome, Request
from session_widgets.host.manifest import Entry
from session_widgets.host.tar_stream import NOTHING
from session_widgets.workspaces.file_tree import DirectTree, FileTree
from session_widgets.workspaces.objects import ObjectInfo
from session_widgets.workspaces.parallel import in_parallel
from session_widgets.workspaces.signing import Signed, Signer

T = TypeVar("T")

LARGEST = 4 << 30
"""Bytes of a file that one request stores: S3 takes 5 GB."""
BATCH = 250
BATCH_BYTES = 1 << 30
STREAMS = 2
"""Requests to the runner at a time."""
ATTEMPTS = 3
"""With new signatures, if those of a slow batch have expired."""
FORBIDDEN = 403
_MD5 = re.compile(r"[0-9a-f]{32}")
RELAY = "Open the session with attachment='sync': then this machine relays the files."


class Direct:
    """The direct way of one session."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._reached = False

    def check(self, tree: FileTree) -> None:
        """Have the sandbox ask for an object, once.

        Raises:
            WorkspaceError: it cannot reach the bucket.
        """
        if self._reached:
            return
        signed, etag = self._signer.look()
        try:
            [(_, found)] = _tree(tree).transfer([_request(signed)])
        except SandboxError as error:
            if isinstance(error, TransportError):
                raise
            raise WorkspaceError(f"attachment='direct': {error}. {RELAY}", reason="tool") from error
        if found.failed or found.etag != etag:
            why = found.text or f"it was answered with status {found.status}, not by this store"
            raise WorkspaceError(
                f"the sandbox cannot reach the bucket at {self._signer.endpoint} by itself, as attachment='direct' "
                f"needs: {why}. {RELAY}",
                reason="unreachable",
            )
        self._reached = True

    def fetch(
        self,
        tree: FileTree,
        infos: Sequence[ObjectInfo],
        local: Mapping[str, Entry],
        note: Callable[[ObjectInfo, Entry], None],
    ) -> tuple[list[ObjectInfo], list[ObjectInfo]]:
        """Bring objects into the tree.

        Args:
            tree: the tree.
            infos: the objects.
            local: what may be replaced, by path.
            note: called for each that is there now.

        Returns:
            Those that are left to the relay, and those that have an entry in their way.
        """
        rest, in_the_way = [info for info in infos if not _can_fetch(info)], list[ObjectInfo]()

        def request(info: ObjectInfo) -> Request:
            seen = local.get(info.path)
            mark = NOTHING if seen is None else f"{seen.size}.{seen.mtime_ns}"
            return _request(self._signer.get(info), info.path, info.size, info.etag, mark)

        def take(info: ObjectInfo, found: Outcome) -> None:
            now = found.entry
            if found.failed == "occupied":
                in_the_way.append(info)
            elif found.failed or now is None:
                rest.append(info)
            elif (now.path, now.size, now.md5) != (info.path, info.size, info.etag):
                raise TransportError(f"the sandbox has fetched another content of {info.path!r:.200}")
            else:
                note(info, now)

        self._move(tree, [info for info in infos if _can_fetch(info)], lambda info: info.size, request, take)
        return rest, in_the_way

    def send(
        self,
        tree: FileTree,
        entries: Sequence[Entry],
        known: Callable[[Entry], str | None],
        note: Callable[[Entry, str], None],
    ) -> list[Entry]:
        """Bring entries of the tree into the bucket.

        Args:
            tree: the tree.
            entries: files and links.
            known: returns the ETag of the object that is replaced, "" if there is none, None if the relay has to.
            note: called for each that is stored, with its ETag. The barrier's listing verifies it.

        Returns:
            Those that are left to the relay.
        """
        etags = {entry.path: known(entry) for entry in entries if entry.size <= LARGEST}
        rest = [entry for entry in entries if etags.get(entry.path) is None]

        def request(entry: Entry) -> Request:
            return _request(self._signer.put(entry, etags[entry.path] or ""), entry.path, entry.size, entry.md5)

        def take(entry: Entry, found: Outcome) -> None:
            if found.failed or found.etag != entry.md5:
                rest.append(entry)  # which also finds out what such an ETag is of
            else:
                note(entry, found.etag)

        going = [entry for entry in entries if etags.get(entry.path) is not None]
        self._move(tree, going, lambda entry: entry.size, request, take)
        return rest

    def _move(
        self,
        tree: FileTree,
        items: Sequence[T],
        size: Callable[[T], int],
        request: Callable[[T], Request],
        take: Callable[[T, Outcome], None],
    ) -> None:
        taking, texts = Lock(), list[str]()

        def move(batch: Sequence[T]) -> list[T]:
            refused = []
            for number, found in _tree(tree).transfer([request(item) for item in batch]):
                if found.failed == "unreachable":
                    raise WorkspaceError(
                        f"the sandbox can no longer reach the bucket at {self._signer.endpoint} by itself: "
                        f"{found.text}. Its files are still there; send again.",
                        reason="unreachable",
                    )
                if found.failed == "refused" and found.status == FORBIDDEN:
                    refused.append((batch[number], found))
                    continue
                with taking:
                    take(batch[number], found)
            texts.extend(found.text for _, found in refused)
            return [item for item, _ in refused]

        left = list(items)
        for _ in range(ATTEMPTS):
            left = [item for some in in_parallel(move, _batches(left, size), STREAMS) for item in some]
            if not left:
                return
        raise WorkspaceError(
            f"the store refused the sandbox, which had a signed request for the object: {_said(texts[-1])}. {RELAY}",
            reason="refused",
        )


def _said(text: str) -> str:
    """Return code and message of a store's answer, without the names of keys."""
    found = [re.search(f"<{name}>([^<]*)</{name}>", text) for name in ("Code", "Message")]
    return ": ".join(one[1] for one in found if one) or f"{text:.100}"


def _tree(tree: FileTree) -> DirectTree:
    if not isinstance(tree, DirectTree):
        raise SandboxError("this sandbox makes no requests to an object store by itself")
    return tree


def _can_fetch(info: ObjectInfo) -> bool:
    """Whether the sandbox can verify it: by an ETag that is an MD5."""
    return info.kind == "file" and info.size <= LARGEST and _MD5.fullmatch(info.etag) is not None


def _request(signed: Signed, path: str = "", size: int = 0, md5: str = "", seen: str = NOTHING) -> Request:
    method: Method = signed.method
    return Request(method, signed.url, signed.headers, path, size, md5, seen)


def _batches(items: Sequence[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    batch, total = list[T](), 0
    for item in items:
        batch.append(item)
        total += size(item)
        if total >= BATCH_BYTES or len(batch) >= BATCH:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch
