"""Trees for tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from session_widgets.host.host_tree import HostTree
from session_widgets.host.manifest import Entry, Occupied, Readable


class Distant(HostTree):
    """A directory of this host with streams, as the tree behind a runner has them."""

    def read_many(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Readable]]:
        for entry in entries:
            try:
                with self.read(entry) as body:
                    yield entry, body
            except (Occupied, OSError):
                continue

    def write_many(self, items: Iterable[tuple[Entry, Readable, Entry | None]]) -> Iterator[Entry | Occupied]:
        for entry, body, seen in items:
            try:
                yield self.write(entry, body, seen)
            except Occupied as error:
                yield error
