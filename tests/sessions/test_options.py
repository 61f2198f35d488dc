"""An agent's options, and choices: at rest, in a turn, before the first turn, and after a restart."""

import pytest

import session_widgets as sw
from session_widgets._harnesses.installing import Installation
from session_widgets._sessions.launching import MissingRequirements
from session_widgets._sessions.loop import private_loop
from session_widgets.demo.settings import Settings
from session_widgets.errors import BadValue
from session_widgets.transcript.options import AgentOptions
from tests.support.waiting import until


def current(session, name):
    return next((choice.id for choice in session.options[name] if choice.current), None)


def sent(session, *methods):
    return [e.payload["params"] for e in session.events() if e.direction == "out" and e.method in methods]


def test_a_session_that_never_started_offers_nothing_and_starts_nothing(open_session):
    session = open_session()
    assert session.options == {}
    assert session.status == "new"


def test_the_agents_own_ids_by_category(open_session):
    session = open_session(mode="plan")
    session.send("say hi")
    assert list(session.options) == ["mode", "model", "effort"]
    assert [choice.id for choice in session.options["mode"]] == ["ask", "accept_edits", "full_access", "plan"]
    plan = session.options["mode"][3]
    assert (plan.name, plan.current) == ("Plan", True)
    assert plan.description.startswith("Only reads")
    assert current(session, "model") == "demo-small"


def test_a_choice_is_set_at_once_while_nothing_runs(open_session):
    session = open_session()
    session.send("say hi")
    session.set_model("demo-large")
    session.set_effort("high")
    session.set_mode("plan")
    assert [current(session, name) for name in ("model", "effort", "mode")] == ["demo-large", "high", "plan"]
    assert (session.model, session.effort, session.mode) == ("demo-large", "high", "plan")
    asked = sent(session, "session/set_config_option")
    assert [(one["configId"], one["value"]) for one in asked] == [
        ("model", "demo-large"), ("effort", "high"), ("mode", "plan"),
    ]  # fmt: skip
    turn = session.send("say hi")
    assert "thought" in [step.kind for step in turn.steps], "the small model does not think"
    assert len(sent(session, "session/set_config_option")) == 3, "what is set already is not set again"


def test_what_is_not_offered_is_refused_and_the_choices_are_named(open_session):
    session = open_session()
    session.send("say hi")
    for choose, name in ((session.set_model, "demo-small"), (session.set_mode, "accept_edits")):
        with pytest.raises(BadValue, match=name):
            choose("gpt-9")
    for wrong in ("", " ", None, 3):
        with pytest.raises(BadValue, match="must be text"):
            session.set_effort(wrong)
    assert (session.model, session.mode, session.effort) == (None, None, None)
    assert sent(session, "session/set_config_option", "session/set_mode") == []


def test_a_choice_before_the_first_turn_is_kept_for_it(open_session):
    session = open_session()
    session.set_mode("plan")
    assert session.status == "new"
    session.send("say hi")
    assert current(session, "mode") == "plan"


def test_in_a_turn_the_mode_changes_at_once_and_the_model_with_the_next_prompt(open_session):
    session = open_session(permissions="ask")
    turn = session.start("run true\nrun true")
    until(lambda: session.pending, what="a question")
    session.set_model("demo-large")
    session.set_mode("full_access")
    assert (current(session, "mode"), current(session, "model")) == ("full_access", "demo-small")
    assert session.model == "demo-large"
    session.pending[0].allow()
    assert turn.wait(20).status == "completed", "the second command was not asked for"
    session.send("say hi")
    assert current(session, "model") == "demo-large"


def test_the_next_process_is_set_up_the_same_and_says_so(open_session):
    session = open_session()
    session.send("say hi")
    session.set_mode("plan")
    session.set_effort("high")
    session.park()
    assert current(session, "mode") == "plan", "a parked session still knows"
    session.store.close()
    sw.store().close()
    again = open_session()
    assert again is not session
    assert current(again, "mode") == "plan"
    again.send("say hi")
    assert (current(again, "mode"), current(again, "effort")) == ("plan", "high")


def test_another_harness_forgets_what_the_first_offered():
    offers = AgentOptions.of([started(), note("session_changed", harness="other")])
    assert (offers.started, offers.choices("mode")) == (False, ())


@pytest.mark.parametrize(("before", "after", "kept"), [("demo", "codex", None), ("codex", "opencode", "m")])
def test_ids_of_one_harness_are_not_forced_on_another(open_session, before, after, kept):
    session = open_session(harness=before, mode="x", effort="y", model="m")
    session.switch(harness=after)
    assert (session.mode, session.effort, session.model) == (None, None, kept)


def test_the_same_from_an_event_loop(open_session):
    session = open_session()
    session.send("say hi")

    async def choose():
        await session.aio.set_model("demo-large")
        await session.aio.set_mode("plan")
        await session.aio.set_effort("high")

    private_loop().run(choose())
    assert [current(session, name) for name in ("model", "mode", "effort")] == ["demo-large", "plan", "high"]


def test_a_mode_that_the_agent_takes_by_itself_is_never_the_users(open_session):
    """An agent that says "I ask nothing now" would be asked for just that by every kernel after this one."""
    session = open_session(permissions="ask", mode="ask")
    session.send("mode full_access unasked")
    assert current(session, "mode") == "full_access"
    assert session.mode == "ask"
    session.park()
    session.send("say hi")
    assert current(session, "mode") == "ask"
    assert session.store.session("s1").mode == "ask"
    asked_for = sent(session, "session/set_mode", "session/set_config_option")
    assert "full_access" not in [params.get("value", params.get("modeId")) for params in asked_for]


def test_a_mode_that_a_person_has_approved_is_not_set_back(open_session):
    session = open_session(permissions="ask", mode="plan")
    turn = session.start("mode accept_edits")
    until(lambda: session.pending, what="a question")
    session.pending[0].allow()
    turn.wait(20)
    until(lambda: session.mode == "accept_edits", what="the session's own wish")
    session.send("say hi")
    assert current(session, "mode") == "accept_edits"


@pytest.mark.parametrize(
    ("policy", "script"),
    [("allow_all", "mode full_access"), ("ask", "mode accept_edits\nmode full_access unasked")],
    ids=["a policy approved", "another was approved"],
)
def test_only_a_person_approves_a_mode_and_only_the_shown_one(open_session, policy, script):
    session = open_session(permissions=policy, mode="plan")
    turn = session.start(script)
    if policy == "ask":
        until(lambda: session.pending, what="a question")
        session.pending[0].allow()
    turn.wait(20)
    assert current(session, "mode") == "full_access"
    assert session.mode != "full_access"


def test_an_agent_names_the_session_until_the_user_does(open_session):
    session = open_session()
    session.send("title A parser\u202e for\ttables")
    assert session.title == session.store.session("s1").title == "A parser⟨U+202E⟩ for tables"
    assert session.store.sql("select title from v_sessions").fetchall() == [(session.title,)]
    session.send("title Two")
    assert session.title == "Two"
    assert open_session("s1", title="Mine").title == "Mine"
    session.send("title Three")
    assert session.title == session.store.session("s1").title == "Mine"
    session.store.rebuild("s1")
    assert session.store.session("s1").title == "Mine"


def test_the_agents_commands(open_session):
    session = open_session()
    assert session.commands == ()
    session.send("commands review plan:what /odd")
    assert [(command.name, command.hint) for command in session.commands] == [
        ("review", None),
        ("plan", "what"),
        ("odd", None),
    ]
    again = AgentOptions.of(session.store.setting_events("s1"))
    assert again.commands == session.commands
    session.send("commands")
    assert session.commands == ()


def test_commands_are_bounded_and_nonsense_is_left_out():
    long = "x" * 10_000
    said = [{"name": f"c{n}", "description": long} for n in range(10_000)]
    offers = AgentOptions(commands=[*said[:2], {"name": ["x"]}, {"name": "two words"}, {"name": "c0"}, None, *said[2:]])
    assert len(offers.commands) <= 500
    assert [command.name for command in offers.commands[:3]] == ["c0", "c1", "c2"]
    assert max(len(command.description) for command in offers.commands) == 500


def test_what_keeps_a_harness_from_starting_is_known_before_it_is_tried(open_session, monkeypatch, tmp_path):
    monkeypatch.setenv("SESSION_WIDGETS_HARNESSES", str(tmp_path))
    for key in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"):
        monkeypatch.delenv(key, raising=False)
    session = open_session(harness="claude")
    assert session.control.missing == MissingRequirements(True, session.control.harness.keys)
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "dummy")
    assert session.control.missing == MissingRequirements(True)
    assert "is not installed" in session.send("hi").error
    (Installation(session.control.harness, tmp_path).path / "node_modules").mkdir(parents=True)
    assert session.control.missing == MissingRequirements()
    session.control.install()
    assert session.activity is None
    assert open_session("s2").control.missing == MissingRequirements()


# What agents say, read


def note(kind, **payload):
    from datetime import UTC, datetime

    from session_widgets.transcript.records import Event

    return Event("s", 1, None, datetime.now(UTC), "note", None, kind, payload)


def started(**more):
    state = Settings().state()
    return note("agent_started", config=state["configOptions"], modes=state["modes"], **more)


def test_groups_are_flattened_and_nonsense_is_left_out():
    grouped = {"id": "m", "category": "model", "currentValue": "b", "options": [
        {"name": "One", "options": [{"value": "a", "name": "A"}]},
        {"name": "Two", "options": [{"value": "b"}, {"value": 3}, "x", {"value": "a", "name": "again"}]},
        {"value": "c", "name": None, "description": 7},
    ]}  # fmt: skip
    offers = AgentOptions([grouped, 3, {"category": "mode"}, {"category": "thought_level", "options": {}}], "modes", 7)
    assert [(c.id, c.name, c.description, c.current) for c in offers.choices("model")] == [
        ("a", "A", "", False), ("b", "b", "", True), ("c", "c", "", False),
    ]  # fmt: skip
    assert (offers.choices("mode"), offers.choices("effort")) == ((), ())
    assert offers.request("model", "a") == ("session/set_config_option", {"configId": "m", "value": "a"})
    assert offers.request("model", "b") is None


def test_agents_without_options_have_modes_and_models():
    modes = {"currentModeId": "m1", "availableModes": [{"id": "m1", "name": "One"}, {"id": "m2"}]}
    models = {"currentModelId": "a", "availableModels": [{"modelId": "a", "name": "A"}, {"modelId": "b"}]}
    offers = AgentOptions((), modes, models)
    assert offers.request("mode", "m2") == ("session/set_mode", {"modeId": "m2"})
    assert offers.request("model", "b") == ("session/set_model", {"modelId": "b"})
    offers.apply_set("session/set_model", {"modelId": "b"})
    offers.apply_update({"sessionUpdate": "current_mode_update", "currentModeId": "m2"})
    assert (offers.current("mode"), offers.current("model")) == ("m2", "b")
    with pytest.raises(BadValue, match="no setting for effort"):
        offers.request("effort", "high")


def test_modes_that_are_levels_of_thinking_are_an_effort():
    offers = AgentOptions((), {"currentModeId": "off", "availableModes": [{"id": "off"}, {"id": "high"}]})
    assert (offers.choices("mode"), offers.current("mode")) == ((), None)
    assert [(choice.id, choice.current) for choice in offers.choices("effort")] == [("off", True), ("high", False)]
    assert offers.request("effort", "high") == ("session/set_mode", {"modeId": "high"})
    offers.apply_update({"sessionUpdate": "current_mode_update", "currentModeId": "high"})
    assert offers.current("effort") == "high"
    with pytest.raises(BadValue, match="no setting for mode"):
        offers.request("mode", "high")


def test_both_ways_of_saying_the_mode_stay_one():
    offers = AgentOptions.of([started()])
    offers.apply_update({"sessionUpdate": "current_mode_update", "currentModeId": "plan"})
    assert offers.current("mode") == "plan"
    options = Settings(mode="full_access").config_options()
    offers.apply_update({"sessionUpdate": "config_option_update", "configOptions": options})
    assert offers.modes["currentModeId"] == offers.current("mode") == "full_access"
