"""The formats of foreign transcripts, one file each."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from importlib.metadata import entry_points

from session_widgets._store.formats.acp import Acp
from session_widgets._store.formats.atif import Atif
from session_widgets._store.formats.claude_code import ClaudeCode
from session_widgets._store.formats.codex import Codex
from session_widgets._store.formats.codex_exec import CodexExec
from session_widgets._store.formats.contract import Format, Head
from session_widgets._store.formats.copilot import Copilot
from session_widgets._store.formats.gemini import Gemini, GeminiDocument
from session_widgets._store.formats.inspect_log import InspectEval, InspectJson
from session_widgets._store.formats.opencode import OpenCodeExport, OpenCodeRun
from session_widgets._store.formats.openhands import OpenHands
from session_widgets._store.formats.otel import Otel, OtelDocument
from session_widgets._store.formats.pi import Pi
from session_widgets._store.formats.qwen import Qwen
from session_widgets._store.formats.swe_agent import MiniSweAgent, SweAgent

GROUP = "session_widgets.formats"
"""Entry points of other packages' formats: each names a class that is called without arguments."""
LINES = (ClaudeCode, Codex, CodexExec, Pi, OpenCodeRun, Gemini, Qwen, Copilot, OpenHands, Acp, Otel)
DOCUMENTS = (InspectEval, Atif, OpenCodeExport, GeminiDocument, InspectJson, SweAgent, MiniSweAgent, OtelDocument)
OURS: tuple[type[Format], ...] = (*LINES, *DOCUMENTS)
"""In the order in which they are asked; other packages' formats follow."""


@functools.cache
def formats() -> tuple[Format, ...]:
    """Return every installed format, in the order in which they are asked."""
    return (*_ours(), *_others())


@functools.cache
def _ours() -> tuple[Format, ...]:
    return tuple(each() for each in OURS)


def _in_order() -> Iterator[Format]:
    """Yield every format; those of other packages, whose search takes 40 ms, are loaded if none of ours is the one."""
    yield from _ours()
    yield from formats()[len(OURS) :]


def _others() -> Iterator[Format]:
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            yield entry.load()()
        except Exception as error:  # of another package: ours work without it
            warnings.warn(f"the format {entry.name!r} cannot be loaded from {entry.value}: {error!r}", stacklevel=2)


def format_named(name: str) -> Format | None:
    """Return a format by its name; None if it is not installed."""
    return next((each for each in _in_order() if each.name == name), None)


def format_of(head: Head) -> Format | None:
    """Return the format of a file that begins like this; None if none recognises it."""
    return next((each for each in _in_order() if _recognises(each, head)), None)


def _recognises(each: Format, head: Head) -> bool:
    try:
        return each.sniff(head)
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
        return False
