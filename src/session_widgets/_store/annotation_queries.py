"""The SQL of annotations and scores: tables that are not derived."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from session_widgets._store.queries import Connection

_CREATE = """
    create table if not exists store.annotations (
        annotation_id varchar not null, session_id varchar not null, step_uid varchar not null, until_uid varchar,
        label varchar not null, note varchar, author varchar not null, created_at timestamptz not null);
    create table if not exists store.scores (
        session_id varchar not null, name varchar not null, value double not null, note varchar,
        author varchar not null, created_at timestamptz not null)"""


def create(connection: Connection) -> None:
    """Create the tables."""
    connection.execute(_CREATE)


def forget_session(connection: Connection, session_id: str) -> None:
    """Delete the annotations and scores of a session."""
    for table in ("annotations", "scores"):
        query = f"delete from store.{table} where session_id = ?"  # noqa: S608 - names of our own tables
        connection.execute(query, [session_id])


def sessions_of(connection: Connection, step_uid: str, session_id: str | None) -> list[str]:
    """Return the sessions that have a step: of several those that did not copy it."""
    query = """
        select session_id from store.steps
        where coalesce(uid, session_id || '/' || turn || '/' || step) = $1 and session_id = coalesce($2, session_id)
        group by session_id qualify min(coalesce(copied, false)) = min(min(coalesce(copied, false))) over ()
        order by session_id"""
    return [row[0] for row in connection.execute(query, [step_uid, session_id]).fetchall()]


def put_annotation(
    connection: Connection, place: tuple[str, str, str | None], label: str, note: str | None, author: str
) -> str:
    """Write an annotation instead of that of the same place, label and author; return its id.

    Args:
        connection: within a transaction.
        place: session, uid of the first step, uid of the last step of a span.
        label: of the annotation.
        note: of the annotation.
        author: of the annotation.
    """
    key = [*place, label, author]
    connection.execute(
        """delete from store.annotations where session_id = ? and step_uid = ?
           and until_uid is not distinct from ? and label = ? and author = ?""",
        key,
    )
    name = uuid4().hex
    query = "insert into store.annotations values (?, ?, ?, ?, ?, ?, ?, now())"
    connection.execute(query, [name, *place, label, note, author])
    return name


def put_score(connection: Connection, session_id: str, name: str, value: float, note: str | None, author: str) -> None:
    """Write a score instead of that of the same session, name and author."""
    key = [session_id, name, author]
    connection.execute("delete from store.scores where session_id = ? and name = ? and author = ?", key)
    query = "insert into store.scores values (?, ?, ?, ?, ?, now())"
    connection.execute(query, [session_id, name, value, note, author])


def delete_annotations(connection: Connection, ids: Sequence[str]) -> int:
    """Delete annotations; return how many there were."""
    return _deleted(connection, "delete from store.annotations where annotation_id in (select unnest(?))", [list(ids)])


def delete_scores(connection: Connection, session_id: str, name: str, author: str | None) -> int:
    """Delete the scores of a session by name, and by author if there is one; return how many there were."""
    query = "delete from store.scores where session_id = ? and name = ? and author = coalesce(?, author)"
    return _deleted(connection, query, [session_id, name, author])


def _deleted(connection: Connection, query: str, parameters: Sequence[Any]) -> int:
    return int(connection.execute(query, parameters).fetchall()[0][0])
