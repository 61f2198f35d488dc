"""Sandboxes: how long each has run for a session."""

from __future__ import annotations

from session_widgets._store.views.expressions import SECONDS
from session_widgets._store.views.view import View
from session_widgets.transcript.notes import SandboxStarted, SandboxStopped

VIEWS = (
    View(
        name="v_sandboxes",
        about="One row a time that a sandbox has run for a session, from its start or resumption to its stop.",
        query=f"""
        select session_id, sandbox_ref, split_part(sandbox_ref, ':', 1) as provider, started_at, ended_at,
            {SECONDS} as seconds, reason
        from (
            select session_id, kind, payload ->> '$.ref' as sandbox_ref, ts as started_at,
                lead(if(kind = '{SandboxStopped.kind}', ts, null)) over following as ended_at,
                lead(if(kind = '{SandboxStopped.kind}', payload ->> '$.reason', null)) over following as reason
            from events where kind in ('{SandboxStarted.kind}', '{SandboxStopped.kind}') and direction = 'note'
            window following as (partition by session_id, payload ->> '$.ref' order by seq))
        where kind = '{SandboxStarted.kind}'""",  # noqa: S608 - our own text
        columns=(
            ("session_id", "the session"),
            ("sandbox_ref, provider", 'such as `e2b:3f2a90c1d4e7` and `e2b`; `provider` of "runner:URL" is `runner`'),
            ("started_at", "when it was made, or started again after it was parked"),
            (
                "ended_at, seconds",
                "NULL while it runs, and where nobody saw its end: a sandbox may park itself, or its machine stop",
            ),
            ("reason", "`parked`, `switched`, `changed` (it was replaced), `gone` or `deleted`"),
        ),
        example="""
select provider, count(*) as times, sum(seconds) / 3600 as hours, count_if(seconds is null) as unknown
from v_sandboxes group by provider order by all""",
    ),
)
