"""The runs side by side in a saved notebook without a kernel: plain HTML, no script, no secret, at most 150 kB."""

from __future__ import annotations

from html import escape
from itertools import groupby

from session_widgets.widgets._comparison import CellView, Comparison
from session_widgets.widgets._static_html import ALONE, MAX_BYTES

SHOWN = 80
"""Lines of aligned steps."""
_FOLD = 4
"""Equal columns in a row from which they are one line."""
_BOX = "font:13px/1.5 system-ui,sans-serif;border:1px solid #8884;border-radius:8px;padding:10px 14px;overflow:auto"
_TABLE = "border-collapse:collapse;margin:8px 0;font-size:12.5px"
_CELL = "padding:2px 14px 2px 0;text-align:left;vertical-align:top;overflow-wrap:anywhere;max-width:340px"
_DIM = "opacity:.65"
_COLORS = {"=": "", "~": "background:#d4a72c26", "!": "background:#cf222e1f"}
_CHANGES = {"action": "actions", "file state": "files", "edit": "edits", "outcome": "outcomes"}


def compare_html(comparison: Comparison, uid: str) -> str:
    """Return figures, divergences, aligned steps and files as escaped HTML, which the live widget hides by `uid`."""
    head = f'<div data-sw-for="{uid}" style="{_BOX}"><style>{ALONE.format(uid=uid)}</style>'
    parts = [
        f"<b>{len(comparison.ids)} runs side by side</b>",
        f'<p style="{_DIM}">{escape(comparison.problem)}</p>' if comparison.problem else _divergences(comparison),
        _metrics(comparison),
        _steps(comparison),
        _files(comparison),
    ]
    text = head
    for part in parts:
        if len(text.encode()) + len(part.encode()) < MAX_BYTES - 100:
            text += part
    return text + "</div>"


def _row(cells: list[str], style: str = "", tag: str = "td") -> str:
    return f'<tr style="{style}">' + "".join(f'<{tag} style="{_CELL}">{cell}</{tag}>' for cell in cells) + "</tr>"


def _table(head: list[str], rows: list[str]) -> str:
    return f'<table style="{_TABLE}"><thead>{_row(head, tag="th")}</thead><tbody>{"".join(rows)}</tbody></table>'


def _divergences(comparison: Comparison) -> str:
    total = len(comparison.signs)
    lines = []
    for one in comparison.divergences:
        where = "" if one["column"] is None else "at the end" if one["column"] == total else f"step {one['column'] + 1}"
        lines.append(_row([_CHANGES[one["name"]], where, f'<span style="{_DIM}">{escape(one["detail"])}</span>']))
    return _table(["where they part", "", ""], lines)


def _metrics(comparison: Comparison) -> str:
    view = comparison.view()
    rows = []
    for name in ("harness", "model", "outcome"):
        cells = [escape(str(run[name] or "")) for run in view["runs"]]
        if any(cells):
            rows.append(_row([name, *cells]))
    for metric in view["metrics"]:
        pairs = zip(metric["values"], metric["differences"], strict=True)
        cells = [
            escape(value) + (f' <span style="{_DIM}">({escape(more)})</span>' if more else "") for value, more in pairs
        ]
        rows.append(_row([metric["label"], *cells]))
    return _table(["", *_heads(comparison)], rows)


def _heads(comparison: Comparison) -> list[str]:
    gone = [run is None for run in comparison.runs]
    return [
        escape(session_id) + (" (not in the store)" if missing else "")
        for session_id, missing in zip(comparison.ids, gone, strict=True)
    ]


def _steps(comparison: Comparison) -> str:
    if comparison.alignment is None:
        return ""
    marks = comparison.alignment.marks
    rows: list[str] = []
    places = enumerate(comparison.signs)
    for folds, group in groupby(places, lambda place: place[1] == "=" and place[0] not in marks):
        columns = [column for column, _ in group]
        if folds and len(columns) >= _FOLD:
            what = f'<span style="{_DIM}">{len(columns)} equal steps</span>'
            rows.append(_row([f"{columns[0] + 1}–{columns[-1] + 1}", what]))
            continue
        for column in columns:
            (cells,) = comparison.cells(column, column + 1)
            mark = _mark(marks[column]) if column in marks else ""
            rows.append(_row([f"{column + 1}{mark}", *map(_cell, cells)], _COLORS[comparison.signs[column]]))
    total = len(comparison.signs)
    ends = [_end(cell) for cell in comparison.endings()]
    rows.append(_row([f"end{_mark(marks[total]) if total in marks else ''}", *ends]))
    if len(rows) > SHOWN:
        left_out = f'<span style="{_DIM}">{len(rows) - SHOWN} lines are left out</span>'
        rows[SHOWN // 2 : len(rows) - SHOWN // 2] = [_row(["…", left_out])]
    return _table(["step", *_heads(comparison)], rows)


def _mark(names: list[str]) -> str:
    return f"<br><b>{' and '.join(_CHANGES[name] for name in names)} part</b>"


def _end(cell: CellView | None) -> str:
    if cell is None:
        return ""
    said = f'<br><span style="{_DIM}">{escape(cell["said"])}</span>' if cell["said"] else ""
    return escape(cell["title"].replace("_", " ")) + said


def _cell(cell: CellView | None) -> str:
    if cell is None:
        return ""
    failed = ' <span style="color:#c33">failed</span>' if cell["failed"] else ""
    return f"{escape(cell['kind'])} <code>{escape(cell['title'][:120])}</code>{failed}"


def _files(comparison: Comparison) -> str:
    if any(run is not None and "://" in run.record.workspace for run in comparison.runs):
        return ""  # a bucket would be asked
    rows = []
    for row in comparison.files.view()["rows"][:SHOWN]:
        cells = []
        for cell in row["cells"]:
            if cell is None or cell["state"] == "absent":
                cells.append("–" if cell else "")
            elif cell["group"] is None:
                cells.append("changed")
            else:
                cells.append(f"{chr(65 + cell['group'])} <span style='{_DIM}'>{cell['size']:,} bytes</span>")
        rows.append(_row([f"<code>{escape(row['path'])}</code>", *cells], "" if row["same"] else _COLORS["~"]))
    return _table(["files at the end", *_heads(comparison)], rows) if rows else ""
