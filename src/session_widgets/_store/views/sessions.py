"""Sessions, their turns, and where sessions come from."""

from __future__ import annotations

from session_widgets._store.views.expressions import OLDEST, RUN_SECONDS, SECONDS
from session_widgets._store.views.view import View
from session_widgets.transcript.outcomes import outcome_sql

VIEWS = (
    View(
        name="v_sessions",
        about="One row a session.",
        query="""
        select session_id, title, harness, sandbox, workspace, model, mode, effort, status, turns,
            last_seq as events, sandbox_ref, agent_session_id, created_at, updated_at, forked_from, forked_at_turn,
            case when format is null then 'live' else 'import' end as origin,
            format, harness_version, git_branch, agent_id
        from sessions""",
        columns=(
            ("session_id", "the id passed to `open_session`"),
            ("title", ""),
            ("harness, sandbox", "names, as passed to `open_session`"),
            ("workspace", "location of the files: a directory, or `s3://bucket/prefix/session`"),
            ("model, mode, effort", "the latest choice; `v_turns` has the model used in each turn"),
            ("status", "`new`, `running`, `idle`, `parked`; `imported`"),
            ("turns", "number of turns"),
            ("events", "number of events; of an import, of records in its file"),
            ("sandbox_ref", "the current sandbox, such as `local:3f2a`"),
            ("origin", "`live`, or `import`"),
            ("format, harness_version, git_branch", "of an import"),
            ("agent_id", "of an import that is a subagent's: its id in the parent session, see `v_lineage`"),
            ("agent_session_id", "the harness's own id of the session"),
            ("created_at, updated_at", "time of the first and of the latest event"),
            (
                "forked_from, forked_at_turn",
                (
                    "the session that this one was forked from, and its last turn that was copied from there: "
                    "later turns are its own. `v_usage` has only those"
                ),
            ),
        ),
        example="""
select session_id, title, harness, turns from v_sessions where origin = 'import' order by updated_at desc""",
    ),
    View(
        name="v_turns",
        about="One row a prompt.",
        query=f"""
        select session_id, turn, status, stop_reason, error, {outcome_sql()} as outcome,
            case when outcome not in ('running', 'completed', 'cancelled', 'unfinished') then outcome end as failure,
            tier, harness, model, prompt, text, started_at, ended_at,
            {SECONDS} as seconds, waited_s, {RUN_SECONDS} as run_s,
            input_tokens, output_tokens, cached_read_tokens, cached_write_tokens, thought_tokens, total_tokens,
            usage_scope, usage_quality, usage_remark,
            context_used, context_size, cost, currency, durable_at, durability_error, idempotency_key, owner,
            (select list({{path: f.path, change: f.change, size: f.size}} order by f.path) from file_changes f
             where f.session_id = turns.session_id and f.turn = turns.turn) as files
        from turns""",  # noqa: S608 - our own text
        columns=(
            ("session_id, turn", "`turn` counts from 1"),
            (
                "status",
                (
                    "`running`, `completed`, `cancelled`, `failed`; of an import also `unfinished`: its file "
                    "ends within the turn"
                ),
            ),
            ("stop_reason", "ACP's: `end_turn`, `max_tokens`, `max_turn_requests`, `refusal`, `cancelled`"),
            ("error", "the reason of a failure"),
            (
                "outcome",
                (
                    "`status`, or a more specific value: `refused`, `token_limit`, `request_limit`, "
                    "`auth_failed`, `rate_limited`, `agent_exited`, `turn_limit`; `no_answer` for a turn "
                    "without an answer, `model_error` as reported by Codex. Four of them and some refusals are "
                    "derived from the text of `error`. A model's error that the agent sends as an answer "
                    "(Copilot) stays `completed`"
                ),
            ),
            (
                "failure",
                (
                    "`outcome`, but NULL for `completed`, `cancelled`, `running` and `unfinished`: a turn "
                    "succeeded if `status = 'completed' and failure is null`"
                ),
            ),
            ("tier", "how the agent regained its memory: `warm`, `resume`, `load`, `replay`, `fresh`"),
            ("harness", "the session's harness when the turn began"),
            (
                "model",
                (
                    "the model that the agent last reported in the turn, by the agent's own id (`default` is "
                    "Claude's); NULL if it reports none"
                ),
            ),
            ("prompt", "JSON, ACP content blocks, the user's own words"),
            ("text", "the agent's messages, separated by an empty line; NULL while the turn runs"),
            ("started_at, ended_at, seconds", ""),
            (
                "waited_s, run_s",
                (
                    "the part of `seconds` in which a person was asked for a permission or an answer, and the "
                    "rest; a policy's decision is no waiting"
                ),
            ),
            (
                ("input_tokens, output_tokens, cached_read_tokens, cached_write_tokens, thought_tokens, total_tokens"),
                "as the agent reported them",
            ),
            (
                "usage_scope",
                (
                    "scope of the tokens: `turn`, or `call` for only the last model call of the turn; NULL "
                    "without tokens"
                ),
            ),
            (
                "usage_quality",
                (
                    "`final`; `partial` if model calls are missing, or the turn runs or did not complete; "
                    "`placeholder` if the agent reported 0 for a turn in which a model answered, which is "
                    "stored as NULL; `none` if it reported nothing"
                ),
            ),
            ("usage_remark", "the reason for a missing figure"),
            ("context_used, context_size", "tokens in the context window, as last reported"),
            (
                "cost, currency",
                (
                    "growth of the agent's running total during this turn; NULL if it grew in several "
                    "currencies, which are never added: `v_usage` has each"
                ),
            ),
            (
                "durable_at, durability_error",
                (
                    "when the workspace was verified to be durable, or `reason: text` "
                    "([reasons](workspaces.md#when-a-turn-is-durable))"
                ),
            ),
            ("idempotency_key", "passed with the prompt"),
            ("owner", "JSON: the process that ran the turn"),
            (
                "files",
                (
                    "list of `{path, change, size}`: files that differ between start and end; `change` is "
                    "`created`, `modified` or `deleted`"
                ),
            ),
        ),
        example="""
select harness, model, outcome, count(*) as turns, median(run_s) as run_s
from v_turns group by all order by turns desc""",
    ),
    View(
        name="v_lineage",
        about="One row a session that comes from another.",
        query=f"""
        select l.session_id, l.kind, l.parent_native_id,
            arg_min(p.session_id, {OLDEST}) as parent_session_id
        from lineage l left join sessions p
            on p.agent_session_id = l.parent_native_id and p.format is not null and p.session_id <> l.session_id
        group by all
        union all
        select session_id, 'copy', agent_session_id, first_value(session_id) over same
        from sessions where format is not null
        window same as (partition by format, agent_session_id order by created_at, last_seq desc, session_id)
        qualify row_number() over same > 1
        union all
        select session_id, 'fork', null, forked_from from sessions where forked_from is not null""",  # noqa: S608 - our own text
        columns=(
            ("session_id", ""),
            (
                "kind",
                (
                    "`subagent`, `fork`, `resume`, `continuation`, or `copy`: an imported file with the id of "
                    "another session"
                ),
            ),
            ("parent_native_id", "of an import, the program's own id of the other session"),
            ("parent_session_id", "the other session; NULL if the store does not have it"),
        ),
        example="""
select l.parent_session_id, l.kind, count(*) as sessions from v_lineage l group by all order by sessions desc""",
    ),
)
