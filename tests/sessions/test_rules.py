"""Policy and limits are the session's: stored with it, restored by its id alone."""

import pytest

import session_widgets as sw
from session_widgets.errors import BadValue

OPEN = "import session_widgets as sw\nfrom session_widgets import TurnLimits\n"
STRICT = "TurnLimits(first_byte=5, silence=None, total=60, size=2)"


@pytest.fixture
def elsewhere(forked):
    """Do it in another process, which ends."""

    def elsewhere(code):
        done = forked.python(OPEN + code)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return elsewhere


def test_a_session_that_is_opened_by_its_id_alone_is_as_it_was_left(elsewhere, open_session):
    elsewhere(f"sw.open_session('s1', permissions='deny', limits={STRICT}, mode='plan', title='Mine')")
    session = sw.open_session("s1")
    try:
        assert session.permissions == "deny"
        assert session.limits == sw.TurnLimits(first_byte=5, silence=None, total=60, size=2)
        assert (session.mode, session.title) == ("plan", "Mine")
        assert session.send("write a.txt <<E\nx\nE").files == ()
        session.set_permissions("allow_edits")
        session.set_limits(sw.TurnLimits(total=9))
        assert elsewhere("s = sw.open_session('s1'); print(s.permissions, s.limits.total)") == "allow_edits 9"
        assert elsewhere("s = sw.open_session('s1', permissions='allow_all'); print(s.limits.total)") == "9"
        assert elsewhere("s = sw.open_session('s1'); print(s.permissions)") == "allow_all"
    finally:
        session.delete()


def test_the_default_is_ask_and_the_usual_limits():
    session = sw.open_session("s1")
    assert (session.permissions, session.limits) == ("ask", sw.TurnLimits())
    session.delete()


def test_a_function_stays_in_its_process_and_another_one_says_so(elsewhere):
    elsewhere("def careful(request): return None\nsw.open_session('s1', permissions=careful)")
    with pytest.warns(UserWarning, match="'careful' of another process. A function cannot be stored"):
        session = sw.open_session("s1")
    assert session.permissions == "ask"
    assert sw.open_session("s1", permissions=lambda asked: None) is session
    policy = session.permissions
    assert callable(policy)
    assert sw.open_session("s1").permissions is policy, "it is still at hand here"
    session.delete()


def test_what_is_stored_may_be_anything(open_session):
    session = open_session()
    core, said = session._controller, {"permissions": ["x"], "limits": {"total": -1, "more": 2}}
    from session_widgets._sessions.journal import draft
    from session_widgets._sessions.rules import Rules

    session.store.append("s1", [draft("note", "session_rules", said, None)])
    assert Rules.of(core.state.store, "s1") == Rules("ask", sw.TurnLimits())


def test_a_policy_that_is_none_is_refused(open_session):
    session = open_session()
    with pytest.raises(BadValue, match="permissions must be one of"):
        session.set_permissions("yes")
    with pytest.raises(BadValue, match="limits must be"):
        session.set_limits(5)
    assert session.permissions == "allow_all"
