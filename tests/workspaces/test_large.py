"""Large files and many of them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from session_widgets.manifest import md5
from session_widgets.workspaces.files import ObjectFiles
from workspaces.making import attach, contents, persist, workspace

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


def test_20000_small_files_go_out_and_in(here, tmp_path, lab):
    for number in range(20_000):
        file = here.path / f"d{number % 100}/f{number}"
        file.parent.mkdir(exist_ok=True)
        file.write_text(str(number))
    persist(here)
    assert len(here.objects.prefix.listing().objects) == 20_000
    (here.path / "d7/f7").write_text("changed")
    (here.path / "d8/f8").unlink()
    persist(here)
    here.detach()
    there = workspace(tmp_path / "there", lab)
    attach(there)
    found = {path: entry.md5 for path, entry in there.scan().entries.items()}
    assert found == {path: entry.md5 for path, entry in here.scan().entries.items()}
    assert len(found) == 19_999
    there.remove()
    assert contents(there) == {}
