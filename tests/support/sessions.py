"""Fixtures of `tests/sessions` and `tests/faults`: sessions of the demo harness, deleted after each test."""

import pytest

import session_widgets as sw
from tests.support.evidence import in_bucket
from tests.support.flaky_s3 import flaky
from tests.support.mid_turn import left_of, untouched


@pytest.fixture
def nothing_is_left(home, monkeypatch):
    """Of what runs for this test's sessions; they are deleted before this looks."""
    yield
    assert left_of(home, monkeypatch) == []


@pytest.fixture
def nothing_else_is_touched(seaweed, lab):
    with untouched(seaweed.client(), lab):
        yield


@pytest.fixture
def way(seaweed, lab, monkeypatch):
    """A way to the store that can go wrong, for sessions opened from now on."""
    with flaky(seaweed.endpoint) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", way.endpoint)
        yield way


@pytest.fixture
def bucket(lab):
    """What the bucket holds of the session "s1", by calls of the test's own."""
    return in_bucket(lab, "s1")


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
