"""The tables of the store, one function per release that changed them.

The tables are private; `views.py` defines the public interface. `events.payload` keeps the received text, hence
VARCHAR. There is no index on events: `seq` and uniqueness are settled inside the
transaction that holds the file alone, and an index on (session_id, source, source_seq) cost 3 ms a commit
and four times the size of the table.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import duckdb

from session_widgets._store import (
    annotation_queries,
    import_queries,
    price_queries,
    queries,
    rebuilding,
    sandbox_rate_queries,
    views,
)
from session_widgets._store.importing import deriving
from session_widgets.errors import StoreError, StoreVersion


def _first(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the table of events; `_derive_again` replaces the derived ones of that release in any case."""
    connection.execute("""
        create table store.events (
            session_id varchar not null, seq bigint not null, turn integer, ts timestamptz not null,
            direction varchar not null, source varchar not null, source_seq bigint not null,
            method varchar, kind varchar not null, payload varchar not null)
    """)


def _superseded(_: duckdb.DuckDBPyConnection) -> None:
    """Changed views, which `migrate` defines, or derived tables, which `_derive_again` has replaced since."""


def _derive_again(connection: duckdb.DuckDBPyConnection) -> None:
    """Create all tables except the events in this release's form, and compute them from the events."""
    for table in queries.DERIVED:
        connection.execute(f"drop table if exists store.{table}")
    connection.execute("""
        create table store.sessions (
            session_id varchar not null, origin varchar not null, last_seq bigint not null, context varchar not null,
            harness varchar, sandbox varchar, workspace varchar, title varchar, model varchar, mode varchar,
            effort varchar, status varchar, sandbox_ref varchar, connection varchar, agent_session_id varchar,
            turns integer not null, created_at timestamptz, updated_at timestamptz,
            forked_from varchar, forked_at_turn integer,
            format varchar, harness_version varchar, git_branch varchar, agent_id varchar);
        create table store.turns (
            session_id varchar not null, turn integer not null, first_seq bigint not null, context varchar not null,
            status varchar not null, prompt json not null, text varchar, stop_reason varchar, error varchar,
            failure varchar, tier varchar, harness varchar, model varchar, started_at timestamptz,
            ended_at timestamptz, waited_s double, durable_at timestamptz,
            durability_error varchar, idempotency_key varchar, owner json,
            input_tokens bigint, output_tokens bigint, cached_read_tokens bigint, cached_write_tokens bigint,
            thought_tokens bigint, total_tokens bigint, context_used bigint, context_size bigint,
            cost decimal(18, 9), currency varchar, usage_scope varchar, usage_quality varchar, usage_remark varchar);
        create table store.steps (
            session_id varchar not null, turn integer not null, step integer not null, kind varchar not null,
            status varchar not null, failure varchar, text varchar using compression zstd,
            tool_call_id varchar, title varchar,
            tool_kind varchar, tool_name varchar,
            parent integer, command varchar, exit_code integer, content json not null using compression zstd,
            locations json not null, raw_input json using compression zstd,
            raw_output json using compression zstd, entries json not null, permission json, permission_outcome varchar,
            first_seq bigint not null, last_seq bigint not null,
            started_at timestamptz, ended_at timestamptz, waited_s double,
            uid varchar, parent_uid varchar, active boolean, copied boolean, agent_id varchar, llm_call_id varchar);
        create table store.permissions (
            session_id varchar not null, asked_seq bigint not null, request_id varchar not null,
            turn integer not null, step integer not null,
            options json not null, requested_at timestamptz not null, decided_at timestamptz, outcome varchar,
            option_id varchar, option_kind varchar, decided_by varchar, reason varchar);
        create table store.llm_calls (
            llm_call_id varchar not null, session_id varchar not null, turn integer, harness varchar, model varchar,
            input_tokens bigint, output_tokens bigint, cached_read_tokens bigint, cached_write_tokens bigint,
            thought_tokens bigint, total_tokens bigint, cost decimal(18, 9), currency varchar,
            usage_scope varchar, usage_quality varchar, usage_remark varchar, ended_at timestamptz,
            agent_id varchar, provider varchar, model_requested varchar, written_5m_tokens bigint,
            written_1h_tokens bigint, stop_reason varchar, ttft_s double, duration_s double, copied boolean);
        create table store.file_changes (
            session_id varchar not null, turn integer not null, path varchar not null, change varchar not null,
            size bigint);
    """)
    for session_id in queries.all_session_ids(connection):
        rebuilding.rebuild(connection, session_id)
    for file_id in import_queries.file_ids(connection):
        deriving.rebuild_file(lambda: nullcontext(connection), file_id)


def _imports(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the tables of imports."""
    import_queries.create(connection)


def _annotations(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the tables of annotations and scores, which are not derived."""
    annotation_queries.create(connection)


def _prices(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the table of prices, which is not derived."""
    price_queries.create(connection)


def _sandbox_rates(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the table of the user's rates of sandboxes, which is not derived."""
    sandbox_rate_queries.create(connection)


_RENAMED = {"turn_tier": "memory_restored", "turn_saving": "persist_started", "host_tool": "notebook_tool_called"}


def _rename_notes(connection: duckdb.DuckDBPyConnection) -> None:
    """Rename notes, and the field with the reason of an agent's or a sandbox's end, as in `transcript.notes`."""
    for before, after in _RENAMED.items():
        connection.execute("update store.events set kind = ? where kind = ? and direction = 'note'", [after, before])
    connection.execute("""
        update store.events set payload = replace(payload, '"why":', '"reason":')
        where kind in ('agent_stopped', 'sandbox_stopped') and direction = 'note'""")


def _rename_fields(connection: duckdb.DuckDBPyConnection) -> None:
    """Rename a field of a note and two reasons, as in `transcript.notes` and `errors.Reason`.

    In JSON, a quotation mark inside of a text has a backslash before it, so the patterns match no text.
    """
    connection.execute("""
        update store.events set payload = replace(payload, '"remark":', '"mount_report":')
        where kind = 'workspace_attached' and direction = 'note'""")
    for before, after in (("taken", "lease_held"), ("differs", "mismatch")):
        connection.execute(
            """
            update store.events set payload = regexp_replace(payload, ?, ?)
            where kind = 'turn_ended' and direction = 'note' and contains(payload, ?)""",
            [f'("durability_error": ?"){before}:', rf"\1{after}:", f'"{before}:'],
        )


# After a change of a derived table, or of the fold's results: append `_derive_again`. Only the last one is needed:
# replace an earlier one that did nothing else by `_superseded`.
MIGRATIONS: tuple[Callable[[duckdb.DuckDBPyConnection], None], ...] = (
    _first,
    _superseded,
    _superseded,
    _superseded,
    _rename_notes,
    _superseded,
    _superseded,
    _superseded,
    _imports,
    _superseded,
    _superseded,
    _rename_fields,
    _derive_again,
    _annotations,
    _prices,
    _superseded,
    _sandbox_rates,
    _superseded,
    _superseded,
)
LATEST = len(MIGRATIONS)


def version(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Return the number of applied migrations of the file attached as `store`; not within a transaction.

    Raises:
        StoreVersion: the file was written by a newer release, or by an older one and cannot be upgraded.
        StoreError: the file has other content.
    """
    try:
        return _version(connection, path)
    except duckdb.CatalogException:  # ten times faster than checking for the table first
        if connection.execute("select 1 from duckdb_tables() where database_name = 'store' limit 1").fetchall():
            raise StoreError(f"{path} is a DuckDB file, but not a transcript store. Choose another path.") from None
        return 0


def migrate(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Upgrade the file attached as `store`, inside the caller's transaction."""
    connection.execute(
        "create table if not exists store.schema_version (version integer not null, migrated_at timestamptz not null)"
    )
    had = _version(connection, path)  # another process may have upgraded it meanwhile
    for number, function in enumerate(MIGRATIONS[had:], had + 1):
        function(connection)
        connection.execute("insert into store.schema_version values (?, now())", [number])
    views.define(connection)


def _version(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    had: int = connection.execute("select coalesce(max(version), 0) from store.schema_version").fetchall()[0][0]
    if had > LATEST:
        raise StoreVersion(
            f"{path} has format {had}, this release of session-widgets knows formats up to {LATEST}; the file was "
            "not touched. Upgrade with: pip install -U session-widgets"
        )
    if had < LATEST and not os.access(path, os.W_OK):
        raise StoreVersion(
            f"{path} has format {had}, this release of session-widgets needs {LATEST}, and it cannot be upgraded "
            "in place: it is read-only. Open it once where it is writable, or open a copy."
        )
    return had
