"""The files at each turn's end, kept beside a session's objects by the store itself."""

from __future__ import annotations

import pytest

from session_widgets.errors import FilesNotKept, SessionConflict
from tests.support.flaky_s3 import Fault

WRITE = "write {0} <<EOT\n{1}\nEOT"
pytestmark = pytest.mark.needs("seaweedfs")
ATTACHMENTS = [
    "sync",
    pytest.param("fuse:s3fs", marks=pytest.mark.needs("fuse", "s3fs")),
    pytest.param("fuse:weed", marks=pytest.mark.needs("fuse")),
]


@pytest.mark.parametrize("attachment", ATTACHMENTS)
def test_kept_restored_and_forked(open_session, lab, attachment, seaweed, bucket, home):
    session = open_session(workspace=lab, attachment=attachment)
    first = session.send(f"{WRITE.format('a', 'one')}\nrun chmod 750 a; mkdir -p d/e; ln -s a link; touch empty")
    second = session.send(f"{WRITE.format('a', 'two')}\nrun rm link empty; head -c 9000000 /dev/urandom > big")
    assert second.durable_at, second.durability_error
    assert {path: file.read_bytes() for path, file in first.files_at_end.items() if file.kind != "directory"} == {
        "a": b"one\n",
        "link": b"a",
        "empty": b"",
    }
    files = second.files_at_end
    assert files["big"].read_bytes() == session.files.read_bytes("big")
    assert (dict(files.left_out), files["a"].read_text()) == ({}, "two\n")
    diff = session.diff(second)
    assert (diff.created, diff.modified, diff.deleted) == (("big",), ("a",), ("empty", "link"))
    assert list((home / "contents" / "s1").iterdir()) == [home / "contents" / "s1" / "lock"]

    done = session.restore(first)
    assert done.failed == ()
    assert session.files.read_text("a") == "one\n"
    session.park()
    assert bucket()["a"] == b"one\n"
    assert "big" not in bucket()
    session.restore(done.previous)
    assert session.status == "parked"
    assert bucket()["a"] == b"two\n"

    assert session.fork(second, id="fork").id == "fork"
    made = open_session("fork")
    assert (made.location, made.attachment) == (f"{lab}/fork", attachment)
    assert made.files.read_text("a") == "two\n"
    turn = made.send("remember\nrun test -x a && echo executable")
    assert turn.status == "completed", turn.error
    assert turn.durable_at, turn.durability_error
    assert turn.text.startswith("2 earlier turns")
    assert "executable" in str([step.content for step in turn.steps])
    assert made.turns[0].files_at_end["a"].read_text() == "one\n"
    with pytest.raises(SessionConflict):
        session.fork(first, id="fork")
    name, _, folder = lab.removeprefix("s3://").partition("/")
    seaweed.client().put_object(Bucket=name, Key=f"{folder}/taken/a", Body=b"of another program")
    with pytest.raises(SessionConflict, match="without a session"):
        session.fork(first, id="taken")
    seaweed.client().delete_object(Bucket=name, Key=f"{folder}/taken/a")
    session.delete()
    made.delete()
    assert seaweed.client().list_objects_v2(Bucket=name, Prefix=f"{folder}/").get("KeyCount") == 0


def test_a_file_that_changed_in_the_bucket_is_left_out(open_session, lab, seaweed, monkeypatch):
    session = open_session(workspace=lab)
    bucket, _, folder = lab.removeprefix("s3://").partition("/")
    contents = session._controller.snapshots.contents
    keep = contents.keep

    def meddle(entries, is_late):
        seaweed.client().put_object(Bucket=bucket, Key=f"{folder}/s1/a", Body=b"of another client")
        return keep(entries, is_late)

    monkeypatch.setattr(contents, "keep", meddle)
    files = session.send(f"{WRITE.format('a', 'one')}\n{WRITE.format('b', 'b')}").files_at_end
    assert files.left_out == {"a": "changed"}
    assert files["b"].read_text() == "b\n"


def test_the_store_copies_and_files_that_are_not_saved_are_not_kept(way, open_session, lab):
    session = open_session(workspace=lab)
    first = session.send(WRITE.format("a", "one"))
    name = first.files_at_end["a"].name
    assert [path.rpartition("/")[2] for method, path in way.seen if method == "PUT" and "/.contents/" in path].count(
        name
    )
    assert [path for method, path in way.seen if method == "GET" and path.endswith("/s1/a")] == []
    way.rule = lambda method, path: Fault(403, "AccessDenied") if (method, path[-5:]) == ("PUT", "/s1/a") else None
    turn = session.send(WRITE.format("a", "two"))
    assert (turn.durable_at, turn.durability_error[:7]) == (None, "refused")
    way.rule = lambda method, path: None
    with pytest.raises(FilesNotKept, match="not verified to be saved"):
        len(turn.files_at_end)
    assert session.send("say again").files_at_end["a"].read_text() == "two\n"
