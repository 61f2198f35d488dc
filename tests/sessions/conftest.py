"""Sessions of the demo harness in the local sandbox, ended after each test."""

import pytest

import session_widgets as sw


@pytest.fixture
def open_session(home):
    opened = []

    def open_(id="s1", **options):
        session = sw.open_session(id, **{"permissions": "allow_all", **options})
        opened.append(session)
        return session

    yield open_
    for session in opened:
        if session.store._closed:  # a later session of the same id holds everything
            continue
        if session.status == "detached":
            session.attach()
        session.delete()
    sw.store().close()
