"""Tool calls, and what is derived from them: files, chains of errors, the time line."""

from __future__ import annotations

from session_widgets._store.views.expressions import RUN_SECONDS, SECONDS
from session_widgets._store.views.view import View
from session_widgets.transcript.notes import AgentStarted, TurnEnded, TurnStarted

_WORD = r"""(?s)(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+"""
_QUOTED = r"""(?s)'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)"""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


WORDS = f"""list_transform(regexp_extract_all(command, {_quoted(_WORD)}),
                    lambda word: regexp_replace(word, {_quoted(_QUOTED)}, '\\1\\2\\3', 'g'))"""
"""The words of a shell command, as `shlex.split` has them, but for escapes within double quotes."""
FAILURE = r"""
            case when s.failure = 'rejected' then 'rejected'
                when s.status = 'cancelled' then 'cancelled'
                when s.failure = 'interrupted' then 'interrupted'
                when s.exit_code = 124 or (s.failure is not null and s.command is not null and regexp_matches(
                    coalesce(s.raw_output::varchar, s.content::varchar), '(?i)(command|process|execution) timed out'))
                    then 'timeout'
                when s.exit_code <> 0 then 'exit_code'
                else s.failure end"""


def relative(path: str) -> str:
    """Return SQL for a path relative to the column `cwd`; NULL if it is outside."""
    inside = f"case when starts_with({path}, rtrim(cwd, '/') || '/') then substr({path}, length(rtrim(cwd, '/')) + 2)"
    return f"{inside} when not starts_with({path}, '/') then {path} end"


VIEWS = (
    View(
        name="v_tool_calls",
        about="The steps of kind `tool_call`, with columns for common questions.",
        query=rf"""
        select session_id, turn, step, tool_call_id, title, tool_kind as kind, status,
            coalesce(why in ('error', 'exit_code', 'timeout'), false) as failed, why as failure,
            locations ->> '$[0].path' as path, {relative("locations ->> '$[0].path'")} as path_rel,
            json_extract_string(locations, '$[*].path') as paths, cwd, command,
            case when json_type(raw_input, '$.command') = 'ARRAY'
                and command is distinct from raw_input ->> '$.command[-1]'
                then from_json(raw_input -> '$.command', '["VARCHAR"]') else {WORDS} end as argv,
            exit_code, raw_input, raw_output, content,
            coalesce(strlen(raw_output::varchar), nullif(strlen(content::varchar), 2)) as result_bytes,
            started_at, ended_at, {SECONDS} as seconds, waited_s, {RUN_SECONDS} as run_s,
            permission_outcome, permission ->> '$.option_id' as permission_option, tool_name, parent,
            coalesce(uid, session_id || '/' || turn || '/' || step) as step_uid, coalesce(active, true) as is_active,
            agent_id, llm_call_id
        from (
            select s.*, {FAILURE} as why,
                coalesce(raw_input ->> '$.cwd', raw_input ->> '$.workdir',
                    list_last(list_filter(a.places, lambda place: place.seq <= s.first_seq)).cwd,
                    if(e.format is not null, e.workspace, null)) as cwd
            from steps s left join sessions e using (session_id)
            left join (
                select session_id, list({{seq: seq, cwd: payload ->> '$.cwd'}} order by seq) as places
                from events where kind = '{AgentStarted.kind}' and direction = 'note'
                group by session_id) a using (session_id)
            where s.kind = 'tool_call')""",  # noqa: S608 - our own text
        columns=(
            ("session_id, turn, step, tool_call_id, title, status", "as in `v_steps`"),
            ("kind", "`tool_kind` of `v_steps`"),
            (
                "failure",
                "NULL; `rejected` by a person or a policy, regardless of its status; `timeout` of a command (exit "
                "status 124, or its output says so); `exit_code` of a command that is not 0; `error` of another kind; "
                "`cancelled` with its turn; `interrupted` if its turn failed first",
            ),
            ("failed", "whether `failure` is `error`, `exit_code` or `timeout`: a rejected call has not failed"),
            ("cwd", "the working directory: that of the call, else that of the agent's process"),
            ("path, paths", "the first, and all files that the call names"),
            ("path_rel", "`path` relative to `cwd`; NULL outside of it"),
            ("command", "of the raw input, if it has one; without Codex's shell wrapper"),
            ("argv", "the words of the command without quotes, as a list; a script's operators are words too"),
            ("result_bytes", "of the raw output as JSON, else of the content; NULL without a result"),
            (
                "exit_code",
                (
                    "of a command, if the agent reports it: `claude` and `pi` only for failed commands, `pi`'s "
                    "next adapter always 1"
                ),
            ),
            ("raw_input, raw_output, content", "JSON, as in `v_steps`"),
            ("started_at, ended_at, seconds", ""),
            ("waited_s, run_s", "the part of `seconds` in which a person was asked for a permission, and the rest"),
            (
                "permission_outcome, permission_option",
                "of a permission request: `outcome` and `option_id` of `v_permissions`",
            ),
            ("tool_name, parent, step_uid, is_active, agent_id, llm_call_id", "as in `v_steps`"),
        ),
        example="""
select kind, argv[1] as program, count(*) as calls, count_if(failed) as failed, sum(run_s) as run_s
from v_tool_calls where is_active group by all order by calls desc""",
    ),
    View(
        name="v_files",
        about="One row a file that a turn changed, or that its tool calls name.",
        query=f"""
        with named as (
            select session_id, turn, step, kind, coalesce({relative("name")}, name) as path
            from (select session_id, turn, step, kind, cwd, unnest(paths) as name from v_tool_calls where is_active)
        ), calls as (
            select session_id, turn, path, count(distinct step) as calls, count_if(kind = 'read') as reads,
                count_if(kind in ('edit', 'delete', 'move')) as edits, min(step) as first_step
            from named where path is not null group by all
        ), changed as (
            select session_id, turn, change, size, coalesce({relative("name")}, name) as path
            from (
                select f.session_id, f.turn, f.change, f.size, f.path as name,
                    if(e.format is null, null, e.workspace) as cwd
                from file_changes f left join sessions e using (session_id))
        )
        select session_id, turn, path, change, size, coalesce(calls, 0) as calls, coalesce(reads, 0)::bigint as reads,
            coalesce(edits, 0)::bigint as edits, first_step
        from changed full join calls using (session_id, turn, path)""",  # noqa: S608 - our own text
        columns=(
            ("session_id, turn", ""),
            ("path", "relative to the working directory, absolute outside of it"),
            ("change", "`created`, `modified`, `deleted` between start and end of the turn; NULL if it was only named"),
            ("size", "of a changed file at the end, in bytes, if it is known"),
            (
                "calls, reads, edits",
                "number of tool calls that name it, and of those that read, or edit, delete or move it",
            ),
            ("first_step", "the first of them"),
        ),
        example="""
select path, sum(reads) as reads, sum(edits) as edits from v_files group by all having sum(edits) > 0 order by all""",
    ),
    View(
        name="v_tool_error_chain",
        about="One row a chain of failed calls of the same tool on the same target, until one succeeds.",
        query="""
        with calls as (
            select session_id, turn, step, kind, failure, failed,
                coalesce(path_rel, path, argv[1], tool_name, title) as target
            from v_tool_calls where is_active and (failed or (failure is null and status = 'completed'))
        ), counted as (
            select *, count_if(not failed) over (
                partition by session_id, kind, target order by turn, step rows unbounded preceding) as chain
            from calls
        )
        select f.session_id, min((f.turn, f.step))[1] as turn, min((f.turn, f.step))[2] as step, f.kind, f.target,
            arg_min(f.failure, (f.turn, f.step)) as failure, count(*) as failures,
            any_value(r.turn) as recovered_turn, any_value(r.step) as recovered_step,
            any_value(r.turn) is not null as is_recovered
        from counted f left join counted r on not r.failed and r.session_id = f.session_id and r.chain = f.chain + 1
            and r.kind is not distinct from f.kind and r.target is not distinct from f.target
        where f.failed group by f.session_id, f.kind, f.target, f.chain""",
        columns=(
            ("session_id, turn, step", "the first failed call"),
            ("kind", "as in `v_tool_calls`"),
            ("target", "the file, else the program of the command, else the tool's name"),
            ("failure", "of the first call"),
            ("failures", "number of failed calls in a row; other tools and targets may be in between"),
            ("recovered_turn, recovered_step, is_recovered", "the next call that succeeded, if there is one"),
        ),
        example="""
select kind, target, count(*) as chains, sum(failures) as failures, count_if(is_recovered) as recovered
from v_tool_error_chain group by all order by failures desc""",
    ),
    View(
        name="v_timeline",
        about="One row a moment or a span of a session: begins and ends of turns, steps, permission requests.",
        query=f"""
        select *, date_diff('millisecond', began_at, ended_at) / 1000.0 as seconds,
            greatest(date_diff('millisecond', max(coalesce(ended_at, began_at)) over (
                partition by session_id order by began_at, turn, place, step
                rows between unbounded preceding and 1 preceding),
                began_at), 0) / 1000.0 as idle_s
        from (
            select session_id, turn, null::integer as step, '{TurnStarted.kind}' as what, null as label,
                started_at as began_at, started_at as ended_at, 0 as place
            from turns
            union all
            select session_id, turn, step, kind, coalesce(title, left(text, 80)), started_at, ended_at, 1 from steps
            where coalesce(active, true)
            union all
            select session_id, turn, step, 'permission', outcome, requested_at, decided_at, 2 from permissions
            union all
            select session_id, turn, null, '{TurnEnded.kind}', status, ended_at, ended_at, 3 from turns
            where ended_at is not null)""",  # noqa: S608 - our own text
        columns=(
            ("session_id, turn, step", "`step` is NULL for a turn"),
            ("what", f"`{TurnStarted.kind}`, `{TurnEnded.kind}`, `permission`, or the `kind` of a step"),
            (
                "label",
                "title of a tool call, the first 80 characters of a text, outcome of a request, status of a turn",
            ),
            ("began_at, ended_at, seconds", "`ended_at` is NULL while it lasts"),
            ("place", "orders rows of the same time"),
            (
                "idle_s",
                "seconds between the latest end before and its begin: nothing happened, or the model was thinking",
            ),
        ),
        example="""
select what, label, seconds, idle_s from v_timeline where session_id = 'hello' order by began_at, turn, place, step""",
    ),
)
