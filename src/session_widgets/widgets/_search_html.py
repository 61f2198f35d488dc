"""The hits of a search in a saved notebook without a kernel: plain HTML, no script, no secret, at most 150 kB."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from session_widgets._store.hits import Hit, parts
from session_widgets._store.redaction import redactor
from session_widgets.printing import one_line
from session_widgets.widgets._static_html import ALONE, MAX_BYTES

SHOWN = 30
"""Hits of a saved notebook."""
_BOX = (
    "font:13px/1.5 system-ui,sans-serif;border:1px solid #8884;border-radius:8px;padding:10px 14px;max-width:900px;"
    "overflow-wrap:anywhere"
)
_CODE = "display:block;white-space:pre-wrap;background:none;font:12px/1.5 ui-monospace,monospace"
_DIM = "opacity:.65"


def search_html(text: str, coverage: str, hits: Sequence[Hit], uid: str) -> str:
    """Return the hits as escaped HTML, which the live widget hides by `uid`."""
    asked = f"Search for {_plain(text)}" if text.strip() else "Search"
    html = (
        f'<div data-sw-for="{uid}" style="{_BOX}"><style>{ALONE.format(uid=uid)}</style><b>{asked}</b> '
        f'<span style="{_DIM}">{_plain(coverage)}</span>'
    )
    for shown, hit in enumerate(hits):
        row = _row(hit)
        if shown == SHOWN or len(html.encode()) + len(row.encode()) > MAX_BYTES - 200:
            html += f'<p style="{_DIM}">and {len(hits) - shown:,} more</p>'
            break
        html += row
    return html + "</div>"


def _row(hit: Hit) -> str:
    before, match, after = _redacted(hit)
    return (
        f'<p style="margin:8px 0"><b>{_plain(hit.place)}</b> <span style="{_DIM}">{_plain(hit.what)} · '
        f'{hit.at:%Y-%m-%d %H:%M}</span><code style="{_CODE}">{before}<mark>{match}</mark>{after}</code></p>'
    )


def _redacted(hit: Hit) -> tuple[str, str, str]:
    """The parts without secrets; one that begins in a part and ends in the next one hides the match."""
    words = parts(hit)
    whole = redactor().plain("".join(words))
    if whole != "".join(words):
        return escape(whole), "", ""
    return escape(words[0]), escape(words[1]), escape(words[2])


def _plain(text: str) -> str:
    return escape(redactor().plain(one_line(text, 400)))
