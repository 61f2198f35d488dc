"""A directory and a bucket that change while they are compared: neither side's news is lost."""

from __future__ import annotations

import asyncio
import threading
from io import BytesIO

import pytest

from session_widgets.errors import WorkspaceConflict
from session_widgets.host.directory import Directory
from session_widgets.host.manifest import Occupied
from session_widgets.workspaces.files import ObjectFiles
from tests.support.flaky_s3 import Fault, flaky
from tests.support.waiting import until
from tests.support.workspaces import attach, contents, persist, workspace, write

pytestmark = pytest.mark.needs("seaweedfs")


def test_a_mode_that_changed_in_the_bucket_alone_is_fetched(here):
    """As a mount elsewhere does it: the content, and with it the ETag, stay the same."""
    file = write(here, "run.sh", "echo hi")
    file.chmod(0o644)
    persist(here)
    prefix = here.objects.prefix
    before = prefix.head("run.sh")
    key = {"Bucket": prefix.bucket, "Key": f"{prefix.prefix}run.sh"}

    def another_mode():
        prefix.client.copy_object(
            **key, CopySource=key, MetadataDirective="REPLACE", Metadata={"mode": str(0o100755), "mtime": "1"}
        )
        return prefix.head("run.sh").modified != before.modified

    until(another_mode, what="another second, which is all that the store tells apart")
    assert prefix.head("run.sh").etag == before.etag
    attach(here)
    assert file.stat().st_mode & 0o777 == 0o755
    persist(here)
    assert contents(here) == {"run.sh": b"echo hi"}


def test_what_a_program_writes_while_its_file_is_fetched_is_kept(here, lab, monkeypatch, seaweed):
    write(here, "a", "first")
    persist(here)
    here.objects.prefix.put("a", b"theirs", 6, metadata={}, if_match=None)
    reading = threading.Event()

    def rule(method, path):
        if method == "GET" and path.endswith("/s1/a"):
            reading.set()
            return Fault(delay=1)
        return None

    with flaky(seaweed.endpoint) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", way.endpoint)
        space = workspace(here.objects.home, lab)
        way.rule = rule
        caught: list[BaseException] = []

        def fetch():
            try:
                attach(space)
            except WorkspaceConflict as error:
                caught.append(error)

        fetching = threading.Thread(target=fetch)
        fetching.start()
        assert reading.wait(20)
        write(here, "a", "ours, written meanwhile")
        fetching.join(30)
    assert "both here and in" in str(caught[0])
    found = sorted(file.read_text() for file in here.path.iterdir())
    assert found == ["ours, written meanwhile", "theirs"]
    persist(here)
    assert contents(here)["a"] == b"ours, written meanwhile"


def test_what_is_no_longer_what_was_looked_at_is_neither_removed_nor_replaced(tmp_path):
    file = tmp_path / "a"
    file.write_text("new")
    with Directory(tmp_path) as directory:
        for change in (
            lambda: directory.remove("a", lambda info: info.st_size == 5),
            lambda: directory.link("a", b"x", lambda info: info is None),
            lambda: directory.write("a", BytesIO(b""), 0o644, None, lambda _: False),
        ):
            with pytest.raises(Occupied):
                change()
        assert [path.name for path in tmp_path.iterdir()] == ["a"]
        assert file.read_text() == "new"
        directory.remove("a", lambda info: info.st_size == 3)
    assert not file.exists()


def test_a_folder_that_is_renamed_in_the_bucket_leaves_nothing_of_itself(here):
    write(here, "old/deep/a")
    (here.path / "old/empty").mkdir()
    persist(here)
    asyncio.run(ObjectFiles(here.objects).move("old", "new"))
    assert sorted(contents(here)) == ["new/deep/a", "new/empty/"]
    attach(here)
    assert sorted(str(path.relative_to(here.path)) for path in here.path.rglob("*")) == [
        "new",
        "new/deep",
        "new/deep/a",
        "new/empty",
    ]
