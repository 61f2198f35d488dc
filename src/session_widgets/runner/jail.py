"""The jail of the runner: its errors are answers for the client."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from session_widgets.host import jail
from session_widgets.host.jail import InvalidPath, OutsidePath, Place
from session_widgets.runner.problems import Problem, from_os_error, invalid


class Jail(jail.Jail):
    """See `host.jail.Jail`. It is closed with its last user: threads of a parked session may still have it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        weakref.finalize(self, os.close, self._fd)

    @contextmanager
    def locate(self, path: str, *, follow: bool = True, create: bool = False) -> Iterator[Place]:
        """Resolve `path`; see `host.jail.Jail.locate`.

        Raises:
            Problem: the path is invalid, leads outside, or an operation on it failed.
        """
        try:
            with super().locate(path, follow=follow, create=create) as place:
                yield place
        except OutsidePath as error:
            raise Problem(403, "permission_denied", str(error)) from error
        except InvalidPath as error:
            raise invalid(str(error)) from error
        except OSError as error:
            raise from_os_error(error, path) from error
