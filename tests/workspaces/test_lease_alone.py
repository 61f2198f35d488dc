"""The lease on a bucket in memory that honours conditions as S3 does, or does not: no store, no process."""

from __future__ import annotations

import getpass
import io
import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from session_widgets.errors import NotFound, WorkspaceError, WorkspaceTaken
from session_widgets.workspaces.lease import ATTEMPTS, Held, Lease
from session_widgets.workspaces.objects import Changed, ObjectInfo

PATH = ".leases/s1.json"


class Bucket:
    """What `Lease` uses of a `Prefix`."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.heeds_conditions = True
        self.between = lambda: None
        self._numbers = itertools.count(1)

    def put(self, path: str, body: bytes, size: int, *, metadata: dict[str, str], if_match: str | None) -> None:
        assert (size, metadata) == (len(body), {})
        self.between()
        etag = self.objects[path][1] if path in self.objects else ""
        if self.heeds_conditions and if_match != etag:
            raise Changed
        self.objects[path] = body, f"e{next(self._numbers)}"

    @contextmanager
    def reading(self, path: str) -> Iterator[tuple[io.BytesIO, ObjectInfo, dict[str, str]]]:
        if path not in self.objects:
            raise NotFound(path)
        body, etag = self.objects[path]
        yield io.BytesIO(body), ObjectInfo(path, "file", len(body), etag, datetime.now(UTC)), {}

    def delete(self, path: str) -> None:
        self.objects.pop(path, None)

    @property
    def said(self) -> dict[str, Any]:
        value: dict[str, Any] = orjson.loads(self.objects[PATH][0])
        return value


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


def lease(bucket: Bucket, installation: str = "mine") -> Lease:
    return Lease(bucket, "s1", installation)  # type: ignore[arg-type]


def test_the_first_one_acquires_it_and_keeps_it(bucket: Bucket) -> None:
    mine, other = lease(bucket), lease(bucket, "other")
    assert mine.read() is None
    assert mine.acquire() is False, "nobody ever had it"
    mine.check()
    assert bucket.said["token"] == 1
    assert bucket.said["free"] is False
    assert mine.acquire() is True, "again is no change of hands"
    assert lease(bucket).acquire() is True, "nor is another kernel of this installation"
    assert bucket.said["token"] == 1
    with pytest.raises(WorkspaceTaken, match=r"worked on by .* \(installation mine, since .*take_over\(\)"):
        other.acquire()
    assert bucket.said["installation"] == "mine"
    with pytest.raises(WorkspaceTaken):
        other.check()
    mine.check()


def test_the_same_installation_on_another_machine_is_another(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    lease(bucket).acquire()
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    with pytest.raises(WorkspaceTaken):
        lease(bucket).acquire()


def test_its_number_grows_with_each_change_of_hands(bucket: Bucket) -> None:
    mine, other = lease(bucket), lease(bucket, "other")
    mine.acquire()
    mine.release()
    assert (bucket.said["token"], bucket.said["free"]) == (1, True)
    with pytest.raises(WorkspaceTaken, match="another installation meanwhile"):
        mine.check()
    assert other.acquire() is True
    assert (bucket.said["token"], bucket.said["installation"], bucket.said["free"]) == (2, "other", False)
    other.release()
    assert mine.acquire() is True
    assert bucket.said["token"] == 3
    mine.check()


def test_a_replaced_holder_notices_even_after_a_release(bucket: Bucket) -> None:
    mine, other = lease(bucket), lease(bucket, "other")
    mine.acquire()
    assert other.acquire(forced=True) is True
    with pytest.raises(WorkspaceTaken, match="worked on by"):
        mine.check()
    mine.release()
    assert bucket.said["installation"] == "other", "what another has is not given back"
    assert bucket.said["free"] is False
    other.check()
    other.release()
    lease(bucket).acquire()
    with pytest.raises(WorkspaceTaken, match="another installation meanwhile"):
        mine.check()


def test_what_is_free_or_gone_is_not_given_back_again(bucket: Bucket) -> None:
    mine = lease(bucket)
    mine.release()
    assert bucket.objects == {}
    mine.acquire()
    mine.release()
    before = dict(bucket.objects)
    mine.release()
    assert bucket.objects == before
    mine.acquire()
    mine.remove()
    assert bucket.objects == {}
    with pytest.raises(WorkspaceTaken):
        mine.check()
    assert mine.acquire() is False


def test_the_loser_of_a_race_reads_the_lease_again(bucket: Bucket) -> None:
    mine, other = lease(bucket), lease(bucket, "other")

    def race() -> None:
        bucket.between = lambda: None
        other.acquire()

    bucket.between = race
    with pytest.raises(WorkspaceTaken, match="worked on by"):
        mine.acquire()
    assert bucket.said["installation"] == "other"
    other.check()


def test_a_lease_that_changes_hands_all_the_time_is_given_up(bucket: Bucket) -> None:
    tries = []

    def race() -> None:
        tries.append(1)
        bucket.objects[PATH] = orjson.dumps({"token": len(tries), "free": True}), f"race {len(tries)}"

    bucket.between = race
    with pytest.raises(WorkspaceTaken, match=r"^the lease of session 's1' changes hands all the time"):
        lease(bucket).acquire()
    assert len(tries) == ATTEMPTS


def test_a_store_that_lets_two_make_it_is_refused(bucket: Bucket) -> None:
    bucket.heeds_conditions = False
    with pytest.raises(WorkspaceError, match="ignores the condition If-None-Match") as caught:
        lease(bucket).acquire()
    assert caught.value.reason == "lease_held"
    assert bucket.objects == {}, "and nothing of it stays"


def test_what_it_says_of_its_holder(bucket: Bucket) -> None:
    mine = lease(bucket, "mine-and-longer")
    mine.acquire()
    held = mine.read()
    assert held is not None
    since = datetime.fromisoformat(held.since)
    assert timedelta() <= datetime.now(UTC) - since < timedelta(minutes=1)
    user, host = getpass.getuser(), socket.gethostname()
    assert held == Held(1, "mine-and-longer", host, user, since.isoformat(timespec="seconds"), False, "e1")
    assert held.holder == f"{user} on {host} (installation mine-and, since {held.since[:16]})"
    with pytest.raises(WorkspaceTaken) as caught:
        lease(bucket, "other").acquire()
    assert str(caught.value) == (
        f"session 's1' is worked on by {held.holder}. Park it there first; if that cannot be done any more, call "
        "session.take_over(), which makes this the only writer."
    )


def test_a_lease_without_fields_has_an_unknown_holder(bucket: Bucket) -> None:
    bucket.objects[PATH] = b"{}", "e0"
    assert lease(bucket).read() == Held(0, "None", "None", "None", "None", False, "e0")


def test_a_refusal_names_the_holder(bucket: Bucket) -> None:
    mine, other = lease(bucket), lease(bucket, "other")
    mine.acquire()
    other.acquire(forced=True)
    with pytest.raises(WorkspaceTaken, match=r"^session 's1' is worked on by .* \(installation other, "):
        mine.check()
    other.release()
    with pytest.raises(WorkspaceTaken) as caught:
        mine.check()
    assert str(caught.value) == (
        "session 's1' was used by another installation meanwhile: its lease has the number 2, this writer's had 1. "
        "Look at the files, send again."
    )
    other.remove()
    with pytest.raises(WorkspaceTaken) as caught:
        mine.check()
    assert str(caught.value) == "the lease of session 's1' is no longer in the bucket. Look at the files, send again."


def test_a_released_lease_is_not_held(bucket: Bucket) -> None:
    mine = lease(bucket)
    mine.acquire()
    mine.release()
    lease(bucket).acquire()
    with pytest.raises(WorkspaceTaken, match="the number 2, this writer's had None"):
        mine.check()
    mine.acquire()
    mine.remove()
    lease(bucket).acquire()
    with pytest.raises(WorkspaceTaken, match="the number 1, this writer's had None"):
        mine.check()
