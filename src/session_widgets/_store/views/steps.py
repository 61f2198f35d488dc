"""Events, steps and permissions."""

from __future__ import annotations

from session_widgets._store.views.view import View

VIEWS = (
    View(
        name="v_events",
        about="One row an envelope or note: the raw record from which all other rows are derived.",
        query="""
        select session_id, seq, turn, ts, direction, method, kind, payload, source, source_seq
        from events""",
        columns=(
            ("session_id, seq", "`seq` is 1, 2, 3, ... without gaps"),
            ("turn", "NULL outside turns, and for updates that `session/load` replays"),
            ("ts", "when this side sent or received it"),
            ("direction", "`out` to the agent, `in` from it, `note` by session-widgets"),
            ("method", "JSON-RPC method; of a response, the method of its request"),
            (
                "kind",
                (
                    "the `sessionUpdate` value of an update, else `request`, `response`, `error`, "
                    "`notification`, or the name of a note"
                ),
            ),
            ("payload", "the JSON text as it was sent or received"),
            ("source, source_seq", "the numbering side and its number, unique within the session: a repeat is ignored"),
        ),
        example="""
select ts, kind, payload ->> '$.params.update.content.text' as text
from v_events where session_id = 'hello' order by seq""",
    ),
    View(
        name="v_steps",
        about=(
            "One row a step: a line of the transcript as a person reads it. A message or thought "
            "appears when it is complete; a running tool call appears with its latest status. "
            "(`Session.transcript` has both up to the last event.) `store.source(session_id)` reads the"
            " events of a stored session, as `Session.events` does those of an open one."
        ),
        query="""
        select session_id, turn, step, kind, status, text, tool_call_id, title, tool_kind, content, locations,
            raw_input, raw_output, entries, first_seq, last_seq, started_at, ended_at, waited_s, failure,
            tool_name, parent, coalesce(uid, session_id || '/' || turn || '/' || step) as step_uid, parent_uid,
            coalesce(active, true) as is_active, coalesce(copied, false) as is_copied, agent_id, llm_call_id
        from steps""",
        columns=(
            ("session_id, turn, step", "`step` counts from 0 within the turn"),
            (
                "kind",
                (
                    "`user`, `message`, `thought`, `tool_call`, `plan`, `question`, `compaction`, `subagent`, "
                    "`notice`, `error`"
                ),
            ),
            (
                "status",
                (
                    "of a tool call `pending`, `in_progress`, `completed`, `failed`, or, if the turn ended "
                    "first, `cancelled` or `unfinished`; else `completed`"
                ),
            ),
            (
                "text",
                ("NULL for tool calls and for plans of entries; of a compaction its summary, of a subagent its task"),
            ),
            (
                "tool_call_id, title, tool_kind",
                (
                    "of a tool call; `tool_kind` is ACP's: `read`, `edit`, `delete`, `move`, `search`, "
                    "`execute`, `think`, `fetch`, `switch_mode`, `other`"
                ),
            ),
            ("content", "JSON: tool call content, or the blocks of a text that are not text"),
            ("locations", "JSON: the files of a tool call"),
            (
                "raw_input, raw_output",
                (
                    "JSON: as the harness sent them; of a subagent `raw_output` has `stop_reason`, `error` and "
                    "`usage`, its own"
                ),
            ),
            ("entries", "JSON: of a plan"),
            ("first_seq, last_seq", "the first and the last event of the step"),
            ("started_at, ended_at", ""),
            (
                "waited_s",
                (
                    "of a tool call: seconds in which a person was asked for a permission; of a question: "
                    "seconds until its answer"
                ),
            ),
            ("failure", "of a tool call, as in `v_tool_calls`"),
            ("tool_name", "of a tool call: the tool's name in the agent's program, if the agent reports it"),
            ("parent", "`step` of the subagent to which it belongs; NULL for steps of the agent itself"),
            (
                "step_uid, parent_uid",
                (
                    "of an import, the program's own ids of the record and of the one before it; else "
                    "`step_uid` is `session/turn/step`"
                ),
            ),
            ("is_active", "false on a branch of an import that the user left (rewound)"),
            ("is_copied", "whether an import's file has the step from another session"),
            ("agent_id", "the subagent of an import"),
            ("llm_call_id", "the model call of an import, in `v_llm_calls`"),
        ),
        example="""
select session_id, turn, step, text from v_steps where kind = 'thought' and contains(text, 'test') order by all""",
    ),
    View(
        name="v_permissions",
        about="One row a permission request.",
        query="""
        select session_id, turn, step, asked_seq, request_id, options, outcome, option_id, option_kind, decided_by,
            reason, requested_at, decided_at, date_diff('millisecond', requested_at, decided_at) / 1000.0 as seconds
        from permissions""",
        columns=(
            ("session_id, turn, step", "the tool call of the request"),
            ("asked_seq", "`seq` of the request in `v_events`, the key of this row"),
            ("request_id", "`<connection>/<JSON-RPC id>`; an agent may use it again after the answer"),
            ("options", "JSON: `{id, name, kind}` each"),
            ("outcome", "`allowed`, `rejected`, `cancelled` (with its turn), or NULL while it is open"),
            (
                "option_id, option_kind",
                ("the chosen option; `option_kind` is `allow_once`, `allow_always`, `reject_once` or `reject_always`"),
            ),
            (
                "decided_by, reason",
                (
                    "the decider and the reason; `decided_by` is NULL if the turn ended first, `elsewhere` if "
                    "the agent received an answer that the session did not give"
                ),
            ),
            ("requested_at, decided_at, seconds", ""),
        ),
        example="""
select decided_by, outcome, count(*) as requests, median(seconds) as seconds from v_permissions group by all""",
    ),
)
