"""Writes a session as one HTML file: it needs no network, has no script, and every text in it is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from html import escape
from itertools import groupby, islice
from typing import Any

from markdown_it import MarkdownIt

from session_widgets._store.formats.contract import WholeSession
from session_widgets._store.formats.writers.answers import command_of, result_of, total_input
from session_widgets.printing import one_line, plural, printable
from session_widgets.transcript.envelopes import as_object, as_text
from session_widgets.transcript.records import Step, TurnRecord
from session_widgets.transcript.steps import headline

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MARKS = {"completed": "✓", "failed": "✗", "cancelled": "–", "unfinished": "…"}
_MARKDOWN = 200_000
"""Characters of a message that is read as Markdown; a longer one is shown as it is."""
_LINES = 2_000
"""Lines of a diff that are compared; a longer one is shown as removed and added."""
_STYLE = """
:root{color-scheme:light dark;--t:#1c1e21;--b:#fff;--s:#f3f4f6;--l:#d6d9de;--d:#5b6168;--e:#b3261e;--a:#0b6b3a;
--p:#e8f0fe}
@media(prefers-color-scheme:dark){:root{--t:#e6e7e9;--b:#17181b;--s:#222428;--l:#3a3d43;--d:#a3a8b0;--e:#ff8a80;
--a:#7bd8a0;--p:#1f2c44}}
*{box-sizing:border-box}body{margin:0 auto;padding:24px 16px 64px;max-width:880px;color:var(--t);background:var(--b);
font:15px/1.55 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:22px;line-height:1.3;margin:0 0 4px}h2{font-size:13px;font-weight:600;color:var(--d);margin:32px 0 8px;
padding-top:12px;border-top:1px solid var(--l)}.i{color:var(--d);font-size:13px;margin:0 0 8px}
p{margin:8px 0;white-space:pre-wrap}.u{background:var(--p);border-radius:8px;padding:10px 14px}
.m p,.m li{white-space:normal}.m li p{margin:0}.m a{color:inherit}.m :is(h1,h2,h3,h4,h5,h6){font-size:15px;
font-weight:600;color:inherit;border:0;margin:16px 0 4px;padding:0}.m :not(pre)>code{background:var(--s);
border-radius:4px;padding:1px 4px}.m blockquote{margin:8px 0;padding-left:12px;border-left:2px solid var(--l);
color:var(--d)}.m table{border-collapse:collapse}.m :is(th,td){border:1px solid var(--l);padding:3px 8px}
pre{margin:6px 0;padding:8px 12px;background:var(--s);border-radius:6px;white-space:pre-wrap;
font:12.5px/1.5 ui-monospace,monospace}
details{margin:6px 0}summary{cursor:pointer;color:var(--d);font-size:13.5px}summary:focus-visible{outline:2px solid
currentColor;outline-offset:2px}code{font:12.5px/1.5 ui-monospace,monospace;color:var(--t)}
.e,.f summary{color:var(--e)}del{color:var(--e);text-decoration:none}ins{color:var(--a);text-decoration:none}
.g{margin-left:18px;padding-left:12px;border-left:2px solid var(--l)}
@media print{:root{color-scheme:light;--t:#000;--b:#fff;--s:#f3f4f6;--d:#444;--p:#eef;--l:#bbb;--e:#900;--a:#050}
body{max-width:none;padding:0;font-size:10.5pt}pre,.u{border:1px solid var(--l)}summary,h2{break-after:avoid}
details::details-content{content-visibility:visible;height:auto;display:block}}
"""


def write(session: WholeSession) -> Iterator[bytes]:
    """Yield the page."""
    record = session.session
    title = _text(record.title or record.id)
    head = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><style>{_STYLE}</style>'
        f"<h1>{title}</h1>{_about(session)}"
    )
    yield head.encode()
    of_turn: dict[int, list[Step]] = {}
    for step in session.steps:
        of_turn.setdefault(step.turn, []).append(step)
    if not session.turns:
        yield b'<p class="i">The session has no turns.</p>'
    for turn in session.turns:
        yield _turn(turn).encode()
        for step in of_turn.get(turn.index, ()):
            yield _encoded(_step(step))
        if turn.error and not any(
            step.kind == "error" and step.text == turn.error for step in of_turn.get(turn.index, ())
        ):
            yield _encoded(f'<p class="e">{_text(turn.error)}')
    yield b"\n"


def _about(session: WholeSession) -> str:
    record = session.session
    program = " ".join(filter(None, (record.harness, session.harness_version)))
    facts = (program, record.model, _time(record.created_at), plural(len(session.turns), "turn"),
             plural(len(session.steps), "step"), record.workspace)  # fmt: skip
    tokens = _tokens(session.calls.values())
    return f'<p class="i">{" · ".join(_text(fact) for fact in (*facts, *tokens) if fact)}</p>'


def _tokens(calls: Iterable[Any]) -> Iterator[str]:
    """Yield sums over the model calls, each only if every call has the figure."""
    rows = list(calls)
    least = "" if all(row["usage_quality"] == "final" for row in rows) else "at least "
    for values, what in (
        ([total_input(row) for row in rows], "input"),
        ([row["output_tokens"] for row in rows], "output"),
    ):
        known = [value for value in values if value is not None]
        if known and len(known) == len(values):
            yield f"{least}{sum(known):,} {what} tokens"


def _turn(turn: TurnRecord) -> str:
    state = "" if turn.status == "completed" else f" · {_text(turn.status)}"
    return f"<h2>Turn {turn.index} · {_time(turn.started_at)}{state}</h2>"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _step(step: Step) -> str:
    shown = _shown(step)
    return f'<div class="g">{shown}</div>' if step.parent is not None else shown


def _shown(step: Step) -> str:
    text = step.text or ""
    match step.kind:
        case "user":
            return f'<p class="u">{_text(text)}</p>'
        case "message":
            return _message(text)
        case "tool_call":
            return _call(step)
        case "thought":
            return f"<details><summary>Thought</summary><p>{_text(text)}</p></details>"
        case "plan" if not text:
            lines = "\n".join(
                f"{_MARKS.get(str(entry.get('status')), '•')} {_text(str(entry.get('content') or ''))}"
                for entry in step.entries
            )
            return f"<p>{lines}</p>"
        case "error":
            return f'<p class="e">{_text(text)}</p>'
        case "notice" | "question" | "plan":
            return f'<p class="i">{_text(text)}</p>'
        case _:
            return f"<details><summary>{_text(headline(step))}</summary><p>{_text(text)}</p></details>"


def _message(text: str) -> str:
    if len(text) > _MARKDOWN:
        return f"<p>{_text(text)}</p>"
    return f'<div class="m">{_markdown().render(printable(text))}</div>'


@cache
def _markdown() -> MarkdownIt:
    """CommonMark with tables: HTML in it stays text, images stay links, and no link runs a script."""
    return MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table").disable("image")


def _call(step: Step) -> str:
    mark = _MARKS.get(step.status, "•")
    failed = step.failure is not None or step.status in {"failed", "cancelled"}
    title = one_line(step.title or step.tool_name or step.tool_kind or "tool call")
    command = command_of(step)
    body = "" if command is None or command == title else f"<pre>$ {_text(command)}</pre>"
    diffs = [block for block in step.content if block.get("type") == "diff"]
    if diffs:
        body += "".join(map(_diff, diffs))
    else:
        if command is None:
            body += _given(step)
        if result := result_of(step):
            body += f"<pre>{_text(result)}</pre>"
    code = f" · exit code {step.exit_code}" if step.exit_code else ""
    said = f"<summary>{mark} <code>{_text(title)}</code>{code}</summary>"
    return f"<details{' class=f' if failed else ''}>{said}{body}</details>"


def _given(step: Step) -> str:
    """Return the arguments of a call, one a line."""
    given = as_object(step.raw_input)
    lines = [f"{name}: {value if isinstance(value, str) else _json(value)}" for name, value in given.items()]
    text = "\n".join(lines) if given else "" if step.raw_input is None else _json(step.raw_input)
    return f"<pre>{_text(text)}</pre>" if text else ""


def _json(value: Any) -> str:
    from session_widgets._store.payload import encode

    return encode(value)


def _diff(block: Any) -> str:
    path = as_text(block.get("path")) or ""
    old, new = (as_text(block.get(name)) or "" for name in ("oldText", "newText"))
    tag_of = {"-": "del", "+": "ins"}
    text = ""
    for mark, lines in groupby(_changed(old.splitlines(), new.splitlines()), key=lambda line: line[:1]):
        part = "".join(f"{_text(line)}\n" for line in lines)
        text += f"<{tag_of[mark]}>{part}</{tag_of[mark]}>" if mark in tag_of else part
    return f"<pre>{_text(path)}\n{text}</pre>"


def _changed(old: list[str], new: list[str]) -> Iterable[str]:
    """Return the lines of a diff without its head: those that begin with "-" or "+" were removed or added."""
    import difflib

    if len(old) + len(new) > _LINES:
        return [*(f"- {line}" for line in old), *(f"+ {line}" for line in new)]
    return islice(difflib.unified_diff(old, new, n=2, lineterm=""), 2, None)


def _text(text: str) -> str:
    return escape(printable(text), quote=False)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")
