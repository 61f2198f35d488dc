"""The contract in `workspaces/contract.py`, checked on every attachment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from session_widgets.errors import NotDurable, WorkspaceTaken
from session_widgets.host.manifest import scan
from session_widgets.transcript.records import FileChange
from session_widgets.workspaces.place import remembered
from tests.support.workspaces import attach, contents, workspace

pytestmark = pytest.mark.timeout(120)

IN_BUCKET = [
    pytest.param("sync", marks=pytest.mark.needs("seaweedfs"), id="sync"),
    pytest.param("fuse:s3fs", marks=pytest.mark.needs("seaweedfs", "fuse", "s3fs"), id="s3fs"),
    pytest.param("fuse:weed", marks=pytest.mark.needs("seaweedfs", "fuse"), id="weed"),
]
ALL = [pytest.param("directory", id="directory"), *IN_BUCKET]


@pytest.fixture
def make(tmp_path, request):
    """Makes workspaces of session "s1" on one place; each name is an installation of its own."""
    made = []

    def make_(name="here", session_id="s1"):
        attachment = request.node.callspec.params["attachment"]
        home = tmp_path / name
        if attachment == "directory":
            (tmp_path / "given").mkdir(exist_ok=True)
            space = workspace(home, str(tmp_path / "given"), session_id)
        else:
            space = workspace(home, request.getfixturevalue("lab"), session_id, attachment)
        made.append(space)
        return space

    yield make_
    for space in made:
        if space.objects is not None:
            space.take_over()
            space.remove()


def write(space, path, text):
    file = space.path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return FileChange(path, "created", len(text))


@pytest.mark.parametrize("attachment", ALL)
def test_attach_is_idempotent_and_says_whether_the_directory_is_new(make, attachment):
    space = make()
    first = space.attach(lambda _: None)
    assert first is (attachment != "directory")
    assert space.path.is_dir()
    assert space.attach(lambda _: None) is False


@pytest.mark.parametrize("attachment", ALL)
def test_what_is_persisted_is_there_for_the_next_one(make, attachment):
    here = make()
    attach(here)
    changed = [write(here, "a.txt", "one"), write(here, "deep/er/b.txt", "two"), write(here, "empty", "")]
    here.persist(here.scan, changed)
    here.detach()
    there = make("there")
    attach(there)
    assert (there.path / "a.txt").read_text() == "one"
    assert (there.path / "deep/er/b.txt").read_text() == "two"
    assert (there.path / "empty").read_text() == ""
    (there.path / "a.txt").unlink()
    write(there, "deep/er/b.txt", "changed")
    there.persist(there.scan, [FileChange("a.txt", "deleted"), FileChange("deep/er/b.txt", "modified", 7)])
    there.detach()
    attach(here)
    assert not (here.path / "a.txt").exists()
    assert (here.path / "deep/er/b.txt").read_text() == "changed"


@pytest.mark.parametrize("attachment", IN_BUCKET)
def test_the_bucket_shows_plain_files_to_the_host(make, attachment):
    space = make()
    attach(space)
    space.persist(space.scan, [write(space, "src/a b.py", "print()"), write(space, "run.sh", "#!/bin/sh")])
    found = {path: data for path, data in contents(space).items() if path and not path.endswith("/")}
    assert found == {"src/a b.py": b"print()", "run.sh": b"#!/bin/sh"}


@pytest.mark.parametrize("attachment", IN_BUCKET)
def test_a_look_at_another_directory_is_refused(make, attachment, tmp_path):
    space = make()
    attach(space)
    space.persist(space.scan, [write(space, "a", "kept")])
    (tmp_path / "other").mkdir()
    with pytest.raises(NotDurable) as caught:
        space.persist(lambda: scan(tmp_path / "other"), [])
    assert caught.value.reason == "mount"
    assert contents(space)["a"] == b"kept"


@pytest.mark.parametrize("attachment", IN_BUCKET)
def test_one_installation_writes_and_another_takes_over_explicitly(make, attachment):
    here, there = make(), make("there")
    attach(here)
    with pytest.raises(WorkspaceTaken):
        attach(there)
    there.take_over()
    attach(there)
    with pytest.raises(NotDurable) as caught:
        here.persist(here.scan, [])
    assert caught.value.reason == "lease_held"
    there.detach()
    here.detach()


@pytest.mark.parametrize("attachment", ALL)
def test_remove_takes_what_is_the_sessions_and_nothing_else(make, attachment):
    space = make()
    attach(space)
    space.persist(space.scan, [write(space, "a", "x"), write(space, "b/c", "x")])
    if attachment == "directory":
        space.remove()
        assert (space.path / "a").exists(), "a directory that the user gave stays"
        return
    neighbour = make("neighbour", "s1x")
    attach(neighbour)
    neighbour.persist(neighbour.scan, [write(neighbour, "mine", "kept")])
    space.remove()
    assert contents(space) == {}
    assert not space.path.exists() or not os.path.ismount(space.path)
    assert contents(neighbour)["mine"] == b"kept"


@pytest.mark.parametrize("attachment", ALL)
def test_it_is_found_again_by_what_the_store_remembers(make, attachment, tmp_path):
    space = make()
    again = remembered(tmp_path / "here", "s1", space.location, space.attachment)
    assert (again.location, again.attachment, again.path) == (space.location, space.attachment, space.path)
    assert (again.objects is None) is (attachment == "directory")


def test_a_managed_directory_is_made_private_and_removed(tmp_path):
    space = workspace(tmp_path, None)
    assert space.attach(lambda _: None) is True
    assert space.path.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(space.path)
    assert space.attach(lambda _: None) is True
    space.remove()
    assert not space.path.exists()
    assert Path(space.location) == space.path
