"""A bucket in memory as the durable side of a sandbox elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from session_widgets.errors import NotDurable
from session_widgets.host.manifest import Entry, Occupied, Readable
from session_widgets.workspaces import sync_engine
from session_widgets.workspaces.contract import Workspace
from tests.support.trees import Distant
from tests.support.workspaces import attach, persist, write
from tests.workspaces.memory import Memory, asked, keys, put, workspace
from tests.workspaces.of_sync import *  # noqa: F403


def relayed(home: Path, memory: Memory) -> Workspace:
    """The directory that only the sandbox of this machine sees is where an attachment "sync" would have its copy."""
    base = workspace(home, memory)
    base.path.mkdir(parents=True, exist_ok=True)
    return base.relayed(Distant(base.path), home / "sync")


@pytest.fixture
def here(tmp_path: Path, memory: Memory) -> Workspace:
    space = relayed(tmp_path / "here", memory)
    space.attach(lambda _: None)
    return space


@pytest.fixture
def there(tmp_path: Path, memory: Memory) -> Workspace:
    return relayed(tmp_path / "there", memory)


def test_a_change_there_of_a_large_file_is_met_beside_small_ones(
    here: Workspace, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_engine, "LARGEST", 3)
    write(here, "large", "first")
    persist(here)
    write(here, "large", "ours, longer")
    write(here, "s", "1")
    put(memory, "large", b"theirs")
    asked(memory)
    with pytest.raises(NotDurable, match="1 file changed both here and in") as caught:
        persist(here)
    assert caught.value.reason == "conflict"
    assert asked(memory, "put").count(("put", "large")) == 1, "it is met at once"


def test_small_files_come_in_few_streams_and_their_number_is_reported(
    here: Workspace, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_engine, "STREAMS", 1)
    monkeypatch.setattr(sync_engine, "BATCH_FILES", 20)
    counts: list[int | None] = []
    real = sync_engine.in_parallel

    def in_parallel(work: Callable[[Any], Any], items: Iterable[Any], count: int | None = None) -> list[Any]:
        counts.append(count)
        return real(work, items, count)

    monkeypatch.setattr(sync_engine, "in_parallel", in_parallel)
    for number in range(50):
        put(memory, f"{number}", b"x")
    assert attach(here) == [f"Restoring {done} of 50 files (s3://lab/s1)" for done in (20, 40, 50)]
    assert counts.count(1) == 1


def test_a_file_is_as_long_as_what_was_read_of_it(
    here: Workspace, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have grown since it was listed, in a directory."""
    sizes: list[int] = []
    real = Distant.write_many

    def write_many(tree: Distant, items: Iterable[tuple[Entry, Readable, Entry | None]]) -> Iterator[Entry | Occupied]:
        for item in items:
            sizes.append(item[0].size)
            yield from real(tree, [item])

    monkeypatch.setattr(Distant, "write_many", write_many)
    put(memory, "a", b"grown")
    memory.objects["s1/a"]["Size"] = 3
    here.attach(lambda _: None)
    assert sizes == [5]


def test_another_tree_has_lost_nothing(here: Workspace, memory: Memory, tmp_path: Path) -> None:
    write(here, "a", "1")
    persist(here)
    here.path.rename(tmp_path / "lost")
    again = relayed(tmp_path / "here", memory)
    again.attach(lambda _: None)
    assert (again.path / "a").read_text() == "1"
    persist(again)
    assert memory.objects["s1/a"]["Body"] == b"1"


def test_another_kernel_goes_on_with_the_same_tree(here: Workspace, memory: Memory, tmp_path: Path) -> None:
    write(here, "a", "1")
    persist(here)
    (here.path / "a").unlink()
    again = relayed(tmp_path / "here", memory)
    again.attach(lambda _: None)
    assert list(again.path.iterdir()) == [], "it was deleted here"
    persist(again)
    assert keys(memory) == set()


def test_the_largest_small_file_and_a_folder_go_one_way(
    here: Workspace, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_engine, "LARGEST", 3)
    write(here, "mine", "123")
    put(memory, "theirs", b"123")
    put(memory, "d/", b"")
    asked(memory)
    here.attach(lambda _: None)
    persist(here)
    assert (here.path / "theirs").read_text() == "123"
    assert asked(memory, "get", "put") == [("get", "theirs"), ("put", "mine")]
