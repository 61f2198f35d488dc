"""A session that goes on from an import."""

from __future__ import annotations

import pytest

import session_widgets as sw
from session_widgets.errors import BadValue, SessionConflict, SessionGone
from tests.support.paths import ROOT

IMPORTS = ROOT / "tests" / "fixtures" / "imports"


@pytest.fixture
def imported(home) -> str:
    (name,) = sw.store().import_(IMPORTS / "claude_code").sessions
    return name


def test_a_session_goes_on_from_an_import(imported):
    store = sw.store()
    with pytest.raises(SessionConflict) as caught:
        sw.open_session(imported)
    call = f"open_session('{imported}-2', continues='{imported}', harness='claude')"
    for part in ("is an import: 2 turns of claude", ".jsonl", call):
        assert part in str(caught.value)
    tokens = store.sql("select sum(output_tokens), count(*) from v_llm_calls").fetchall()
    session = sw.open_session("on", continues=imported, harness="demo", permissions="allow_all")
    copied = "select turn, kind, text, title, tool_kind, status from v_steps where session_id = ? order by all"
    assert store.sql(copied, ["on"]).fetchall() == store.sql(copied, [imported]).fetchall()
    assert store.sql("select sum(output_tokens), count(*) from v_llm_calls").fetchall() == tokens
    turn = session.send("say further")
    assert (turn.index, turn.status, turn.tier) == (3, "completed", "replay")
    told = turn.handed_over["turns"]
    assert len(told) == 2
    assert "the second answer" in str(told)
    assert session.send("say warm").tier == "warm"
    lineage = "select kind, parent_session_id from v_lineage where session_id = 'on'"
    assert store.sql(lineage).fetchall() == [("fork", imported)]
    assert sw.open_session("on", continues=imported) is session
    assert store.check().ok
    session.delete()
    assert store.session(imported) is not None


def test_what_cannot_be_continued_says_why(home):
    store = sw.store()
    (traj,) = store.import_(IMPORTS / "mini_swe_agent").sessions[:1]
    with pytest.raises(BadValue, match=r"is of mini-swe-agent, which is no harness here: pass harness=, one of \['"):
        sw.open_session("on", continues=traj)
    with pytest.raises(SessionGone, match="no session 'nobody' to go on from"):
        sw.open_session("on", continues="nobody")
    sw.open_session("live")
    with pytest.raises(BadValue, match=r"is no import: open it, and use its fork\('on'\)"):
        sw.open_session("on", continues="live")
    with pytest.raises(SessionConflict, match=f"does not go on from '{traj}'"):
        sw.open_session("live", continues=traj)
    assert {record.id for record in store.sessions()} == {"live", traj}
