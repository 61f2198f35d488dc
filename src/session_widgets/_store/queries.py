"""Every SQL string of the store except those of `migrations` and `views`; `store` is the attached file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np

from session_widgets._store.derive import KEYS, Written
from session_widgets._store.payload import decode, encode, encode_clean, parse
from session_widgets._store.rows import Row
from session_widgets._store.statements import execute
from session_widgets.transcript.notes import (
    AgentStarted,
    AgentStopped,
    FilesDropped,
    FilesKept,
    SandboxStopped,
    SessionChanged,
    TurnEnded,
    TurnStarted,
    read_note,
)
from session_widgets.transcript.records import Draft, Event, Json

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DERIVED = ("sessions", *KEYS)
AT_ONCE = 20_000
"""Events read at once."""
FEW, FEW_EVENTS = 8, 6
"""Rows up to which an insert binds each value."""

_STARTED = "coalesce(started_at, (select created_at from store.sessions where session_id = $1)) as started_at"
_ENDED = "coalesce(ended_at, (select updated_at from store.sessions where session_id = $1)) as ended_at"
"""Times of an import's turns and steps that its file does not have: those of its session."""
Connection = duckdb.DuckDBPyConnection


def rows(connection: Connection, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
    """Return the rows of a query as dictionaries."""
    result = connection.execute(query, list(parameters))
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def session(connection: Connection, session_id: str) -> Row | None:
    """Return the row of a session."""
    found = rows(connection, "select * from store.sessions where session_id = ?", [session_id])
    return found[0] if found else None


def place(connection: Connection, session_id: str) -> tuple[str, int] | None:
    """Return the origin and the last seq of a session; None if it has no events."""
    query = "select origin, last_seq from store.sessions where session_id = ?"
    found: list[tuple[str, int]] = connection.execute(query, [session_id]).fetchall()
    return found[0] if found else None


def sessions(connection: Connection) -> list[Row]:
    """Return the rows of all sessions that were opened, newest first."""
    query = "select * from store.sessions where created_at is not null order by updated_at desc, session_id"
    return rows(connection, query)


def turns(connection: Connection, session_id: str) -> list[Row]:
    """Return the rows of all turns of a session."""
    query = f"select * replace ({_STARTED}) from store.turns where session_id = $1 order by turn"  # noqa: S608
    return rows(connection, query, [session_id])


def turn(connection: Connection, session_id: str, index: int) -> Row | None:
    """Return the row of one turn."""
    found = rows(connection, "select * from store.turns where session_id = ? and turn = ?", [session_id, index])
    return found[0] if found else None


def first_running_turn(connection: Connection, session_id: str) -> Row | None:
    """Return the row of the oldest running turn."""
    query = "select min(turn) from store.turns where session_id = ? and status = 'running'"
    index = connection.execute(query, [session_id]).fetchall()[0][0]
    return None if index is None else turn(connection, session_id, index)


def has_turn(connection: Connection, session_id: str, idempotency_key: str) -> bool:
    """Whether a turn was started with this key."""
    query = "select 1 from store.turns where session_id = ? and idempotency_key = ? limit 1"
    return bool(connection.execute(query, [session_id, idempotency_key]).fetchall())


def steps(connection: Connection, session_id: str, turn: int | None) -> list[Row]:
    """Return the rows of the steps of a session, or of one turn of it."""
    query = f"""select * replace ({_STARTED}, {_ENDED}) from store.steps
                where session_id = $1 and turn = coalesce($2, turn) order by turn, step"""  # noqa: S608
    return rows(connection, query, [session_id, turn])


def file_changes(connection: Connection, session_id: str) -> list[Row]:
    """Return the rows of the files changed in a session."""
    query = "select * from store.file_changes where session_id = ? order by turn, rowid"
    return rows(connection, query, [session_id])


def events(
    connection: Connection, session_id: str, after: int, limit: int | None = None, turn: int | None = None
) -> list[Event]:
    """Return committed events, in order."""
    result = connection.execute(
        """select seq, turn, epoch_us(ts), direction, method, kind, payload from store.events
           where session_id = ? and seq > ? and (? is null or turn = ?) order by seq limit ?""",
        [session_id, after, turn, turn, limit if limit is not None else 2**62],
    )
    return [
        Event(session_id, seq, turn_, EPOCH + us * MICROSECOND, direction, method, kind, parse(payload))
        for seq, turn_, us, direction, method, kind, payload in result.fetchall()
    ]


def last_note(connection: Connection, session_id: str, kind: str) -> Json | None:
    """Return the payload of the newest note of a kind."""
    query = """select payload from store.events where session_id = ? and direction = 'note' and kind = ?
               order by seq desc limit 1"""
    found = connection.execute(query, [session_id, kind]).fetchall()
    return parse(found[0][0]) if found else None


def end_of_turn(connection: Connection, session_id: str, turn: int) -> int | None:
    """Return the seq of a turn's end; None if it runs or does not exist."""
    query = f"""select max(seq) from store.events
                where session_id = ? and turn = ? and direction = 'note' and kind = '{TurnEnded.kind}'"""  # noqa: S608
    found: int | None = connection.execute(query, [session_id, turn]).fetchall()[0][0]
    return found


def copy_events(connection: Connection, session_id: str, new_id: str, end: int, turn: int) -> int:
    """Copy a session's events up to a seq, and later notes about its turns' files; return the last seq."""
    query = f"""insert into store.events
        select ?, row_number() over (order by seq), turn, ts, direction, source, source_seq, method, kind, payload
        from store.events where session_id = ? and (seq <= ? or direction = 'note' and (
            kind = '{FilesDropped.kind}' or kind = '{FilesKept.kind}' and (payload ->> 'turn')::integer <= ?))"""  # noqa: S608
    connection.execute(query, [new_id, session_id, end, turn])
    query = "select max(seq) from store.events where session_id = ?"
    last: int = connection.execute(query, [new_id]).fetchall()[0][0]
    return last


def kept_files(connection: Connection, session_id: str) -> list[tuple[str, int | None, str, Json]]:
    """Return the notes about kept files, and the starts of turns, in order: kind, turn, source, and payload."""
    query = f"""select kind, turn, source, if(kind = '{TurnStarted.kind}', '{{}}', payload) from store.events
                where session_id = ? and direction = 'note'
                    and kind in ('{FilesKept.kind}', '{FilesDropped.kind}', '{TurnStarted.kind}')
                order by seq"""  # noqa: S608 - kinds of our notes
    found = connection.execute(query, [session_id]).fetchall()
    return [(kind, turn_, source, parse(payload)) for kind, turn_, source, payload in found]


def agent_end(connection: Connection, session_id: str) -> AgentStopped | SandboxStopped | None:
    """Return the first note after the latest `agent_started` that records the end of this agent or its sandbox."""
    query = f"""select e.kind, e.payload from store.events e, (
                   select seq, payload ->> 'connection' as connection from store.events
                   where session_id = ? and kind = '{AgentStarted.kind}' and direction = 'note'
                   order by seq desc limit 1) a
               where e.session_id = ? and e.direction = 'note' and e.seq > a.seq and (e.kind = '{SandboxStopped.kind}'
                   or e.kind = '{AgentStopped.kind}' and e.payload ->> 'connection' = a.connection)
               order by e.seq limit 1"""  # noqa: S608 - kinds of our notes
    found = connection.execute(query, [session_id, session_id]).fetchall()
    note = read_note(found[0][0], parse(found[0][1])) if found else None
    return note if isinstance(note, AgentStopped | SandboxStopped) else None


def sent_prompt(connection: Connection, session_id: str, turn: int) -> Json | None:
    """Return the latest `session/prompt` request of a turn."""
    query = """select payload from store.events where session_id = ? and turn = ? and direction = 'out'
               and method = 'session/prompt' order by seq desc limit 1"""
    found = connection.execute(query, [session_id, turn]).fetchall()
    return parse(found[0][0]) if found else None


def sent_answer(connection: Connection, session_id: str, request_id: str) -> Json | None:
    """Return the stored answer to a request of the agent."""
    query = """select payload from store.events where session_id = ? and direction = 'out'
               and source in ('permission:' || ?, 'question:' || ?, 'refusal:' || ?) order by seq limit 1"""
    found = connection.execute(query, [session_id, request_id, request_id, request_id]).fetchall()
    return parse(found[0][0]) if found else None


def setting_events(connection: Connection, session_id: str) -> list[Event]:
    """Return the latest agent's events about its settings, and the requests to set them, in order."""
    result = connection.execute(
        f"""select seq, turn, epoch_us(ts), direction, method, kind, payload from store.events e
           where session_id = ? and seq >= (
               select coalesce(max(seq), 0) from store.events
               where session_id = e.session_id and kind = '{AgentStarted.kind}' and direction = 'note')
           and (kind in ('{AgentStarted.kind}', '{SessionChanged.kind}', 'current_mode_update', 'config_option_update',
                         'available_commands_update')
                or method in ('session/set_mode', 'session/set_model', 'session/set_config_option'))
           order by seq""",  # noqa: S608 - kinds of our notes
        [session_id],
    )
    return [
        Event(session_id, seq, turn_, EPOCH + us * MICROSECOND, direction, method, kind, parse(payload))
        for seq, turn_, us, direction, method, kind, payload in result.fetchall()
    ]


def every_event(connection: Connection, session_id: str, after: int) -> Iterator[list[Event]]:
    """Yield all events after a seq in lists of bounded length."""
    while batch := events(connection, session_id, after, AT_ONCE):
        yield batch
        after = batch[-1].seq


def sources(connection: Connection, session_id: str, after: int = 0) -> dict[str, int]:
    """Return the highest source_seq by source among the events after a seq."""
    query = "select source, max(source_seq) from store.events where session_id = ? and seq > ? group by source"
    return dict(connection.execute(query, [session_id, after]).fetchall())


def origin(connection: Connection, session_id: str) -> str | None:
    """Return the source of a session's first event, which distinguishes it from another session of the same name."""
    query = "select source || '/' || source_seq from store.events where session_id = ? and seq = 1"
    found = connection.execute(query, [session_id]).fetchall()
    return str(found[0][0]) if found else None


def held(connection: Connection, session_id: str, names: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
    """Return which of these (source, source_seq) the store already has."""
    wanted = encode([{"source": source, "source_seq": seq} for source, seq in names])
    return set(
        connection.execute(
            """select e.source, e.source_seq from store.events e
               join (select unnest(from_json(?::json, '[{"source": "VARCHAR", "source_seq": "BIGINT"}]'),
                                   recursive := true)) w
                 on e.source = w.source and e.source_seq = w.source_seq
               where e.session_id = ?""",
            [wanted, session_id],
        ).fetchall()
    )


def insert_events(connection: Connection, session_id: str, first: int, drafts: Sequence[Draft]) -> None:
    """Append drafts with seq `first`, `first` + 1, ...; many as numpy columns, the fastest way in Python."""
    if len(drafts) <= FEW_EVENTS:
        values = [
            value
            for seq, draft in enumerate(drafts, first)
            for value in (
                *(session_id, seq, draft.turn, draft.ts, draft.direction, draft.source, draft.source_seq),
                *(draft.method, draft.kind, draft.payload),
            )
        ]
        places = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"] * len(drafts))
        execute(connection, f"insert into store.events values {places}", values)  # noqa: S608 - question marks
        return
    batch = {
        "seq": np.arange(first, first + len(drafts)),
        "turn": np.array([-1 if draft.turn is None else draft.turn for draft in drafts]),
        "ts": np.array([(draft.ts - EPOCH) // MICROSECOND for draft in drafts]),
        "source_seq": np.array([draft.source_seq for draft in drafts]),
        **{
            name: np.array([getattr(draft, name) for draft in drafts], dtype=object)
            for name in ("direction", "source", "method", "kind", "payload")
        },
    }
    assert batch  # DuckDB finds the columns by the name of this variable
    connection.execute(
        """insert into store.events
            select ?, seq, nullif(turn, -1), make_timestamp(ts)::timestamptz, direction, source, source_seq,
                method, kind, payload
            from batch""",
        [session_id],
    )


def write(connection: Connection, table: str, written: Written, into: str = "store") -> None:
    """Update a derived table, in the store or in another attached database."""
    if written.stale:
        _delete(connection, table, KEYS[table], written.stale, into)
    if written.rows:
        insert(connection, table, written.rows, into)
    for before, row in written.changed:
        update(connection, table, KEYS[table], before, row, into)


def insert(connection: Connection, table: str, new: Sequence[Row], into: str = "store") -> None:
    """Insert rows with the same columns; many by one `from_json`, whose planning costs more than binding a few."""
    if len(new) <= FEW:
        clean = decode(encode_clean(new))
        known = [name for name in new[0] if any(row[name] is not None for row in clean)]  # each column costs time
        places = ", ".join([f"({', '.join('?' * len(known))})"] * len(new))
        query = f"insert into {into}.{table} ({', '.join(known)}) values {places}"  # noqa: S608 - names of our columns
        execute(connection, query, [row[name] for row in clean for name in known])
    else:
        columns, shape = ", ".join(new[0]), json.dumps([dict.fromkeys(new[0], "VARCHAR")])
        connection.execute(
            f"insert into {into}.{table} ({columns}) select unnest(from_json(?::json, '{shape}'), recursive := true)",
            [encode_clean(new)],
        )


def update(connection: Connection, table: str, key: Sequence[str], before: Row, row: Row, into: str = "store") -> None:
    """Write the differences between an old and a new row."""
    values = decode(encode_clean({name: value for name, value in row.items() if value != before.get(name)}))
    if values:
        changes = ", ".join(f"{name} = ?" for name in values)
        place = " and ".join(f"{name} = ?" for name in key)
        query = f"update {into}.{table} set {changes} where {place}"  # noqa: S608 - names of our own tables and columns
        execute(connection, query, [*values.values(), *(row[name] for name in key)])


def delete_session(connection: Connection, session_id: str, tables: Iterable[str]) -> None:
    """Delete every row of a session from the given tables."""
    for table in tables:
        query = f"delete from store.{table} where session_id = ?"  # noqa: S608 - the name of a table of ours
        connection.execute(query, [session_id])


def all_session_ids(connection: Connection) -> list[str]:
    """Return the id of every session that has events."""
    query = "select distinct session_id from store.events order by session_id"
    return [row[0] for row in connection.execute(query).fetchall()]


def event_counts(connection: Connection, session_ids: Iterable[str]) -> dict[str, int]:
    """Return the number of events of each of these sessions, without those that have none."""
    query = """select session_id, count(*) from store.events where session_id in (select unnest(?))
               group by session_id order by session_id"""
    return dict(connection.execute(query, [list(session_ids)]).fetchall())


def rebuilding(connection: Connection, release: str) -> set[str]:
    """Return the sessions that this release still has to rebuild; of a new rebuild all of them."""
    connection.execute("create table if not exists store.rebuilding (release varchar, session_id varchar)")
    left = connection.execute("select session_id from store.rebuilding where release = ?", [release]).fetchall()
    if not left:
        connection.execute("truncate store.rebuilding")
        connection.execute("insert into store.rebuilding select distinct ?, session_id from store.events", [release])
        for table in DERIVED:
            connection.execute(
                f"delete from store.{table} where session_id not in (select session_id from store.rebuilding "  # noqa: S608
                "union all select session_id from store.source_sessions)"
            )
        left = connection.execute("select session_id from store.rebuilding").fetchall()
    return {session_id for (session_id,) in left}


def rebuilt(connection: Connection, session_id: str) -> None:
    """Remove a session from the list of sessions to rebuild."""
    found = "select 1 from duckdb_tables() where database_name = 'store' and table_name = 'rebuilding'"
    if connection.execute(found).fetchall():
        connection.execute("delete from store.rebuilding where session_id = ?", [session_id])


def rebuilt_all(connection: Connection) -> None:
    """Drop the list of sessions to rebuild."""
    connection.execute("drop table if exists store.rebuilding")


def make_staging(connection: Connection, name: str) -> None:
    """Attach a database in memory with empty derived tables."""
    connection.execute(f"attach ':memory:' as {name}")
    for table in KEYS:
        connection.execute(f"create table {name}.{table} as from store.{table} limit 0")


def take_staged(connection: Connection, name: str, session_id: str) -> None:
    """Replace the rows of a session in the store by the staged ones."""
    delete_session(connection, session_id, DERIVED)
    for table in KEYS:
        connection.execute(f"insert into store.{table} from {name}.{table}")


def _delete(connection: Connection, table: str, keys: tuple[str, ...], stale: Sequence[Row], into: str) -> None:
    names = [{key: row[key] for key in keys} for row in stale]
    shape = json.dumps([{key: "VARCHAR" if key.endswith("_id") else "BIGINT" for key in keys}])
    query = f"""delete from {into}.{table} where session_id = ? and ({", ".join(keys)}) in
        (select unnest(from_json(?::json, '{shape}'), recursive := true))"""  # noqa: S608 - names of our own columns
    connection.execute(query, [names[0]["session_id"], encode(names)])
