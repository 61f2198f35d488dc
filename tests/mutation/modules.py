"""The critical modules, with the tests that must detect their faults."""

from __future__ import annotations

from typing import NamedTuple

RELOADED = "MUTATION_RELOADED"
"""The variable of the environment with the names in `Module.reloaded`."""


class Module(NamedTuple):
    """Sources (patterns under `src/session_widgets`), and the tests (under `tests`) that are to notice.

    What begins with "-" is an option of pytest. The modules `reloaded` are imported again before each test, because
    they make tables at their import, or keep what they have computed.
    """

    sources: tuple[str, ...]
    tests: tuple[str, ...]
    reloaded: tuple[str, ...] = ()


SLOW = (
    "--deselect=tests/transcript/test_fold.py::test_feeding_costs_the_same_however_long_the_text_is",
    "--deselect=tests/transcript/test_fold.py::test_a_permission_costs_the_same_however_many_came_before",
    "--deselect=tests/transcript/test_fold.py::test_values_of_any_type_anywhere_do_no_harm",
)
"""They measure time, or take it."""
REDACTION_TIME = "tests/store/test_redaction.py::test_the_time_grows_with_the_length_alone"
MANY_EVENTS = (
    *(
        f"--deselect=tests/store/test_derive.py::{name}"
        for name in (
            "test_every_capture_rebuilds_to_equal_rows",
            "test_any_split_and_two_writers_and_rebuild_give_the_same_rows",
            "test_typed_reads_equal_the_fold_at_every_moment",
            "test_rebuild_repairs_what_was_damaged",
            "test_any_split_of_a_made_up_session_gives_the_rows_of_a_rebuild_at_every_moment",
        )
    ),
    "--deselect=tests/store/test_append.py::test_hostile_text_is_stored_whole_and_raw",
    "--deselect=tests/store/test_append.py::test_numbers_of_a_source_may_come_in_any_order",
)
"""They take ten times as long as all others together."""
OF_SESSIONS = (
    *("store/test_lookups.py", "store/test_append.py", "store/test_start_turn.py", "store/test_forking.py"),
    *("store/test_listing.py", *MANY_EVENTS),
    "--deselect=tests/store/test_forking.py::test_a_session_of_many_events_is_forked_in_a_moment",
)
MODULES = {
    "barrier": Module(("workspaces/barrier.py",), ("workspaces/test_barrier_alone.py",)),
    "lease": Module(("workspaces/lease.py",), ("workspaces/test_lease_alone.py",)),
    "journal": Module(
        ("runner/journal.py", "_sessions/journal.py"),
        ("runner/test_journal.py", "runner/test_journal_alone.py", "sessions/test_journal.py"),
    ),
    "permissions": Module(("_sessions/permissions.py",), ("sessions/test_permissions.py",)),
    "jail": Module(("host/jail.py",), ("runner/test_jail_alone.py",)),
    "fold": Module(
        ("transcript/fold.py", "transcript/turn.py", "transcript/steps.py", "transcript/updates.py"),
        (
            "transcript/test_fold.py",
            "transcript/test_recorded.py",
            "transcript/test_turn.py",
            "transcript/test_turn_end.py",
            "transcript/test_turn_usage.py",
            "transcript/test_updates.py",
            *SLOW,
        ),
    ),
    "sync": Module(("workspaces/sync*.py",), ("workspaces/alone",)),
    "derive": Module(("_store/derive.py", "_store/rows.py"), ("store/test_derivation.py", "store/test_rows.py")),
    "ledger": Module(
        ("_store/append.py",),
        (
            "store/test_ledger.py",
            "store/test_append.py",
            "store/test_commit.py",
            "store/test_start_turn.py",
            "store/test_derive.py",
            *MANY_EVENTS,
        ),
    ),
    "rebuilding": Module(("_store/rebuilding.py",), ("store/test_rewriting.py",)),
    "querying": Module(
        ("_store/querying.py", "_store/result.py", "_store/copying_out.py"),
        ("store/test_querying.py", "store/test_querying_copies.py", "store/test_sql.py"),
    ),
    "compacting": Module(("_store/compacting.py",), ("store/test_compacting.py",)),
    "listing": Module(("_store/listing.py", "_store/location.py"), ("store/test_listing.py",)),
    "redaction": Module(
        ("_store/redaction.py", "_store/secret_shapes.py"),
        ("store/test_redaction.py", "store/test_redaction_of_variables.py", f"--deselect={REDACTION_TIME}"),
        ("session_widgets._store.secret_shapes", "session_widgets._store.redaction"),
    ),
    "failures": Module(("_store/failures.py",), ("store/test_failures.py",)),
    "queue": Module(("_store/file_queue.py", "_store/scratch.py"), ("store/test_line.py", "store/test_scratch.py")),
    "payload": Module(
        ("_store/payload.py", "_store/kept_files.py", "_store/stamp.py", "_store/source.py"),
        ("store/test_payload.py", "store/test_kept_files.py", "store/test_stamp.py", "store/test_source.py"),
    ),
    "connection": Module(
        ("_store/connection.py",),
        (
            "store/test_connection.py",
            "store/test_connection_files.py",
            "store/test_connection_keeper.py",
            "store/test_connection_mending.py",
        ),
    ),
    "migrations": Module(
        ("_store/migrations.py", "_store/views/*"),
        ("store/test_migrating.py", "store/test_sharing.py", "store/test_data_model.py"),
        ("session_widgets._store.views.calls", "session_widgets._store.views"),
    ),
    "forking": Module(
        ("_store/forking.py",),
        (
            "store/test_forking.py",
            "--deselect=tests/store/test_forking.py::test_a_session_of_many_events_is_forked_in_a_moment",
        ),
    ),
    "database": Module(
        ("_store/database.py", "_store/stored_sessions.py"),
        (*OF_SESSIONS, "store/test_rewriting.py", "store/test_compacting.py"),
    ),
    "queries": Module(
        ("_store/queries.py",),
        (*OF_SESSIONS, "store/test_queries.py", "store/test_rewriting.py", "store/test_ledger.py"),
    ),
}

if __name__ == "__main__":
    print(*MODULES, sep="\n")
