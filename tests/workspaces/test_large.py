"""Large files, which may go up in parts, and many of them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from session_widgets.errors import NotDurable, WorkspaceConflict
from session_widgets.host.manifest import md5
from session_widgets.workspaces import bucket as bucket_module
from session_widgets.workspaces.files import ObjectFiles
from session_widgets.workspaces.objects import Torn
from tests.support.workspaces import attach, contents, move, persist, workspace, write

pytestmark = [pytest.mark.needs("seaweedfs"), pytest.mark.timeout(400)]


async def test_2500_keys_are_listed_paged_and_wiped(here):
    prefix = here.objects.prefix
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: prefix.put(f"flat/{n:04}", b"x", 1, metadata={}, if_match=None), range(2_500)))
    assert len(prefix.listing().objects) == 2_500
    files = ObjectFiles(here.objects)
    assert [info.name for info in await files.list("flat")] == [f"{n:04}" for n in range(2_500)]
    page = prefix.page("flat", limit=100)
    assert len(page.files) == 100
    assert page.token is not None
    await files.delete("flat", recursive=True)
    assert contents(here) == {}


def test_a_file_of_200_megabytes_goes_out_and_in_whole(here, tmp_path, lab):
    piece = os.urandom(1 << 20)
    digest = md5()
    with (here.path / "big").open("wb") as file:
        for number in range(200):
            file.write(block := piece[number:] + piece[:number])
            digest.update(block)
    persist(here)
    info = here.objects.prefix.head("big")
    assert (info.size, info.etag) == (200 << 20, digest.hexdigest())
    here.detach()
    there = workspace(tmp_path / "there", lab)
    attach(there)
    assert there.scan().entries["big"].md5 == digest.hexdigest()


@pytest.mark.parametrize("files", [2_500, pytest.param(20_000, marks=pytest.mark.nightly)])  # a page has 1,000
def test_many_small_files_go_out_and_in(here, tmp_path, lab, files):
    for number in range(files):
        file = here.path / f"d{number % 100}/f{number}"
        file.parent.mkdir(exist_ok=True)
        file.write_text(str(number))
    persist(here)
    assert len(here.objects.prefix.listing().objects) == files
    (here.path / "d7/f7").write_text("changed")
    (here.path / "d8/f8").unlink()
    persist(here)
    here.detach()
    there = workspace(tmp_path / "there", lab)
    attach(there)
    found = {path: entry.md5 for path, entry in there.scan().entries.items()}
    assert found == {path: entry.md5 for path, entry in here.scan().entries.items()}
    assert len(found) == files - 1
    there.remove()
    assert contents(there) == {}


def test_a_file_that_goes_up_in_parts_is_compared_too(here, there, monkeypatch):
    monkeypatch.setattr(bucket_module, "SINGLE_PUT", 6 << 20)
    monkeypatch.setattr(bucket_module, "PART", 5 << 20)
    write(here, "large", "a" * (11 << 20))
    persist(here)
    move(here, there)
    assert (there.path / "large").read_text() == "a" * (11 << 20)
    write(there, "large", "b" * (11 << 20))
    persist(there)
    there.detach()
    attach(here)
    assert (here.path / "large").read_text() == "b" * (11 << 20)
    here.objects.prefix.put("large", b"foreign", 7, metadata={}, if_match=None)
    write(here, "large", "c" * (11 << 20))
    with pytest.raises(NotDurable) as caught:
        persist(here)
    assert caught.value.reason == "conflict"
    assert b"foreign" in contents(here).values()


@pytest.mark.parametrize("content", ["a", "b"])
def test_what_was_carried_in_parts_before_a_kill_is_recognised_by_its_content(here, lab, monkeypatch, content):
    """Its ETag is no MD5. What is different all the same is a conflict."""
    monkeypatch.setattr(bucket_module, "SINGLE_PUT", 6 << 20)
    monkeypatch.setattr(bucket_module, "PART", 5 << 20)
    write(here, "large", "a" * (11 << 20))
    persist(here)
    (here.objects.home / "sync" / "s1" / "known.json").unlink()  # killed before it was noted
    write(here, "large", content * (11 << 20))
    again = workspace(here.objects.home, lab)
    if content == "a":
        attach(again)
        persist(again)
        assert set(contents(again)) == {"large"}
    else:
        with pytest.raises(WorkspaceConflict):
            attach(again)
        assert len(list(again.path.iterdir())) == 2


def test_uploads_that_were_killed_go_with_the_session(here):
    prefix = here.objects.prefix
    place = {"Bucket": prefix.bucket, "Key": f"{prefix.prefix}large"}
    prefix.client.create_multipart_upload(**place)
    here.remove()
    assert not prefix.client.list_multipart_uploads(Bucket=prefix.bucket, Prefix=prefix.prefix).get("Uploads")


def test_a_large_file_that_changes_while_it_is_sent_replaces_nothing(here, monkeypatch):
    monkeypatch.setattr(bucket_module, "SINGLE_PUT", 6 << 20)
    monkeypatch.setattr(bucket_module, "PART", 5 << 20)
    prefix = here.objects.prefix
    before = prefix.put("large", b"before", 6, metadata={}, if_match="")
    file = write(here, "large", "a" * (11 << 20))
    with file.open("rb") as body, pytest.raises(Torn):
        prefix.put("large", body, 11 << 20, metadata={}, md5="0" * 32, if_match=before)
    assert contents(here) == {"large": b"before"}
    assert not prefix.client.list_multipart_uploads(Bucket=here.objects.bucket).get("Uploads")
