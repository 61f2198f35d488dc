"""`v_sandboxes`: how long a sandbox has run, where it is known."""

from session_widgets._store.database import Store
from tests.store.story import Story


def test_each_run_of_a_sandbox_is_a_row_and_an_unseen_end_is_unknown(store: Store) -> None:
    story = Story(store, harness="demo")
    story.note("sandbox_started", ref="e2b:a")
    story.note("sandbox_stopped", ref="e2b:a", reason="parked")
    story.note("sandbox_started", ref="e2b:a")
    story.note("sandbox_started", ref="e2b:a")  # it parked itself
    story.note("sandbox_started", ref="local:b")
    story.note("sandbox_stopped", ref="e2b:a", reason="switched")
    query = "select sandbox_ref, provider, seconds, reason from v_sandboxes order by started_at"
    assert store.sql(query).fetchall() == [
        ("e2b:a", "e2b", 1.0, "parked"),
        ("e2b:a", "e2b", None, None),
        ("e2b:a", "e2b", 2.0, "switched"),
        ("local:b", "local", None, None),
    ]
