"""Leftovers of a deleted session in the store's file. No sandbox is started."""

import secrets

import session_widgets as sw
from tests.support.holders import holders


def test_a_session_that_is_deleted_with_vacuum_leaves_nothing_in_the_file(home):
    title = secrets.token_hex(30)
    sw.open_session("kept", title="stays")
    session = sw.open_session("s1", title=title)
    store = session.store
    store.sql("select 1")  # so that what was committed is in the file
    assert title.encode() in store.path.read_bytes()
    session.delete(vacuum=True)
    assert session.status == "deleted"
    assert [record.id for record in store.sessions()] == ["kept"]
    store.close()
    assert holders(store.path.parent, title) == []
