"""Annotations and scores."""

from __future__ import annotations

from session_widgets._store.views.view import View

_PLACES = """
            select session_id, coalesce(uid, session_id || '/' || turn || '/' || step) as uid,
                min((turn, step)) as place
            from steps group by all"""
VIEWS = (
    View(
        name="v_annotations",
        about="One row a label that a person or a function gave to a step, or to a span of steps.",
        query=f"""
        with places as ({_PLACES})
        select annotation_id, a.session_id, step_uid, until_uid, p.place[1] as turn, p.place[2] as step,
            u.place[1] as until_turn, u.place[2] as until_step, label, note, author, created_at
        from annotations a left join places p on p.session_id = a.session_id and p.uid = a.step_uid
            left join places u on u.session_id = a.session_id and u.uid = a.until_uid""",  # noqa: S608 - our own text
        columns=(
            ("annotation_id", "for `Store.remove_annotations`"),
            ("session_id, step_uid", "the step; with `until_uid` the first step of a span"),
            ("until_uid", "the last step of a span; NULL for a single step"),
            (
                "turn, step, until_turn, until_step",
                "the same as in `v_steps`; NULL if the session has no such step any more",
            ),
            ("label, note", "as given to `Store.annotate`"),
            ("author", "a user of this machine, or `function:NAME`"),
            ("created_at", "time of the latest `annotate` with the same steps, label and author"),
        ),
        example="""
select label, author, count(*) as steps, count(distinct session_id) as sessions from v_annotations group by all""",
    ),
    View(
        name="v_scores",
        about="One row a score of a session, by name and author.",
        query="""
        select session_id, name, value, note, author, created_at from scores""",
        columns=(
            ("session_id, name", ""),
            ("value", "a number; true is 1, false is 0"),
            ("note", "as given to `Store.score`"),
            ("author", "a user of this machine, or `function:NAME`"),
            ("created_at", "time of the latest `score` of this session, name and author"),
        ),
        example="""
select r.harness, r.model, s.name, avg(s.value) as mean, count(*) as runs
from v_scores s join v_runs r using (session_id) group by all""",
    ),
    View(
        name="v_success_matrix",
        about="One row a score's name, task, harness and model: how the runs of that task were scored.",
        query="""
        select name as score, coalesce(r.title, prompt) as task, r.harness, r.model, count(*) as runs,
            avg(value) as mean, min(value) as low, max(value) as high,
            if(bool_and(value in (0, 1)), sum(value)::bigint, null) as passed
        from (select session_id, name, avg(value) as value from v_scores group by all)
            join v_runs r using (session_id)
            left join (
                select session_id, prompt ->> '$[0].text' as prompt from v_turns where turn = 1) using (session_id)
        group by all""",
        columns=(
            ("score", "`name` of `v_scores`"),
            ("task", "the title of its sessions, else their first prompt"),
            ("harness, model", "as in `v_runs`"),
            ("runs", "number of scored sessions; of a session that several authors scored, the mean counts"),
            ("mean, low, high", "of the runs"),
            ("passed", "number of runs with the score 1; NULL if a score is neither 0 nor 1"),
        ),
        example="""
select task, harness, model, passed || ' of ' || runs as passed
from v_success_matrix where score = 'tests_pass' order by all""",
    ),
)
