"""The summary in a saved notebook without a kernel: plain HTML, no script, no secret, at most 150 kB."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape

from session_widgets._store.redaction import redactor
from session_widgets.transcript.records import Step
from session_widgets.transcript.steps import headline
from session_widgets.transcript.tool_input import words

_Hide = Callable[[str], str]
MAX_BYTES = 150_000
_MAX_TEXT = 4_000
_LOOKED_AT = 16 * _MAX_TEXT
_LONGEST_SECRET = 4_096
_MARKS = {"completed": "✓", "failed": "✗", "pending": "…", "in_progress": "…", "running": "…", "cancelled": "–"}
_BIDI = {c: f"[U+{c:04X}]" for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_STYLE = (
    "font:13px/1.5 system-ui,sans-serif;border:1px solid #8884;border-radius:8px;padding:10px 14px;max-width:900px;"
    "overflow-wrap:anywhere"
)
ALONE = '.jp-OutputArea-child:has(+ .jp-OutputArea-child [data-sw-for="{uid}"]):not(:has(.sw)) {{ display: none }}'
_PRE = "margin:4px 0;white-space:pre-wrap;font:12px/1.45 ui-monospace,monospace"


def static_html(title: str, where: Sequence[str], steps: Iterable[Step], uid: str) -> str:
    """Return the newest steps as escaped HTML.

    The live widget hides it by `uid`. Without the widget, it hides the message about that in the output above.

    Args:
        title: of the session.
        where: what else stands in the head.
        steps: newest first.
        uid: of the widget.
    """
    hide = redactor().plain
    alone = f"<style>{ALONE.format(uid=uid)}</style>"
    head = (
        f'<div data-sw-for="{uid}" style="{_STYLE}">{alone}<b>{_text(title, hide)}</b> '
        f'<span style="opacity:.65">{" · ".join(_text(one, hide) for one in where if one)}</span>'
    )
    foot = "</div>"
    room = MAX_BYTES - len(head.encode()) - len(foot) - 200
    rows: list[str] = []
    for step in steps:
        row = _row(step, hide)
        room -= len(row.encode())
        if room < 0:
            rows.append('<p style="opacity:.65">Earlier steps are in the store.</p>')
            break
        rows.append(row)
    if not rows:
        rows.append('<p style="opacity:.65">No messages yet.</p>')
    return head + "".join(reversed(rows)) + foot


def _row(step: Step, hide: _Hide) -> str:
    said = _clip(step, hide)
    match step.kind:
        case "user":
            return f'<p style="background:#8881;border-radius:8px;padding:6px 10px;white-space:pre-wrap">{said}</p>'
        case "tool_call":
            mark = _MARKS.get(step.status, "•")
            title = _text(step.title or step.tool_call_id or "tool call", hide)
            return f'<p style="margin:4px 0"><code>{mark} {title}</code></p>'
        case "plan" if step.text is None:
            lines = "".join(
                f"<li>{_MARKS.get(words(entry.get('status')), '•')} {_text(words(entry.get('content', '')), hide)}</li>"
                for entry in step.entries[:50]
            )
            return f'<ul style="margin:4px 0;list-style:none;padding-left:8px">{lines}</ul>'
        case "compaction" | "subagent":
            return (
                f'<details><summary>{_text(headline(step), hide)}</summary><pre style="{_PRE}">{said}</pre></details>'
            )
        case "thought":
            return f'<details><summary>Thought</summary><pre style="{_PRE}">{said}</pre></details>'
        case "error":
            return f'<p style="color:#c33;white-space:pre-wrap">{said}</p>'
        case _:
            return f'<p style="margin:6px 0;white-space:pre-wrap">{said}</p>'


def _clip(step: Step, hide: _Hide) -> str:
    text = step.text or ""
    return _text(text, hide, _MAX_TEXT) + (f"… ({len(text):,} characters)" if len(text) > _MAX_TEXT else "")


def _text(text: str, hide: _Hide, limit: int = 500) -> str:
    """Return the start of `text` without secrets: a secret streamed in pieces is whole only here."""
    kept = hide(text[:_LOOKED_AT])
    if len(text) > _LOOKED_AT:
        kept = kept[:-_LONGEST_SECRET]  # a secret may have been cut in two
    return escape(kept[:limit].encode("utf-8", "replace").decode().translate(_BIDI))
