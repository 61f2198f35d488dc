"""A harness's options before any prompt: starts, reads and stops its program."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import orjson

from session_widgets._harnesses.harness import Harness
from session_widgets._store.location import FILE_NAME
from session_widgets.errors import SessionWidgetsError
from session_widgets.host.daemon import write_private
from session_widgets.host.data_directory import data_directory
from session_widgets.printing import one_line
from session_widgets.transcript.envelopes import as_object, as_objects, as_text
from session_widgets.transcript.options import SETTINGS, Choice

FOLDER = "options"
SECONDS = 120.0
"""Time limit of a probe."""

Options = Mapping[str, tuple[Choice, ...]]


def known_options(harness: Harness) -> Options | None:
    """Return the cached options of a harness's version with these keys; None without a probe."""
    try:
        said = as_object(orjson.loads(_file(harness).read_bytes()))
    except (OSError, ValueError):
        return None
    if said.get("keys") != _keys(harness):
        return None
    told = as_object(said.get("options"))
    return {name: tuple(_choice(one) for one in as_objects(told[name])) for name in SETTINGS if name in told}


def ask_options(harness: Harness) -> tuple[Options, str]:
    """Start a harness in a temporary directory, read its options, and stop it.

    Returns:
        Its choices by "mode", "model" and "effort", and the reason if there are none, in one line; both are cached.
    """
    from session_widgets._sessions.loop import private_loop
    from session_widgets._sessions.opening import open_session
    from session_widgets._store import store

    with tempfile.TemporaryDirectory(prefix="session-widgets-probe-") as folder:
        book = store(Path(folder) / FILE_NAME)
        try:
            session = open_session("probe", harness=harness, sandbox="local", permissions="deny", store=book)
            try:
                private_loop().run(session._controller.meet(SECONDS))
                options = session.options
            finally:
                session.delete()
        except (SessionWidgetsError, TimeoutError) as error:
            return {}, one_line(str(error) or f"it did not tell within {SECONDS:g} s", 300)
        finally:
            book.close()
    said = {name: [_stored(choice) for choice in choices] for name, choices in options.items()}
    _file(harness).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(_file(harness), {"keys": _keys(harness), "options": said})
    return options, ""


def _file(harness: Harness) -> Path:
    return data_directory() / FOLDER / f"{harness.id}-{harness.version or 'any'}.json"


def _keys(harness: Harness) -> list[str]:
    """Return the names of the set keys: another account offers other models."""
    return [name for name in harness.keys if os.environ.get(name)]


def _stored(choice: Choice) -> dict[str, object]:
    return {
        "id": choice.id,
        "name": choice.name,
        "description": choice.description,
        "current": choice.current,
    }


def _choice(said: Mapping[str, object]) -> Choice:
    id_, name, about = (as_text(said.get(key)) or "" for key in ("id", "name", "description"))
    return Choice(id_, name, about, said.get("current") is True)
