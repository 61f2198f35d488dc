"""The chat in a real browser: display and input."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from session_widgets._sessions.cell import CellQuestion
from session_widgets._sessions.launching import MissingRequirements
from tests.widgets.pages import Bench
from tests.widgets.scripted import diff, text

pytestmark = pytest.mark.needs("chromium")


def composer(chat: Bench):
    return chat.page.get_by_test_id("composer")


def test_a_prompt_is_sent_and_its_answer_streams(chat, session):
    chat.sees("What should the agent do?")
    composer(chat).fill("hello")
    composer(chat).press("Shift+Enter")
    composer(chat).type("there")
    composer(chat).press("Enter")
    chat.until(lambda: session.prompts == ["hello\nthere"])
    expect(composer(chat)).to_have_value("")
    for word in ("The ", "**answer**", " grows"):
        session.say(word)
        chat.sees(word.strip("* "))
    expect(chat.page.locator(".sw-md strong")).to_have_text("answer")
    assert chat.page.inner_text(".sw-status-words") == "Writing"
    session.end(usage={"inputTokens": 1200, "outputTokens": 7})
    chat.sees("1.2k in, 7 out")
    assert chat.page.inner_text(".sw-status-words") == "Ready"


def test_tokens_of_the_last_model_call_are_not_shown_as_those_of_the_turn(chat, session):
    session.note("agent_started", connection="", agent_session_id="a", agent_info={"name": "opencode", "version": "1"})
    session.begin("hello")
    result = {"stopReason": "end_turn", "usage": {"inputTokens": 1200, "outputTokens": 7}}
    session.emit("in", "response", {"id": 1, "result": result}, method="session/prompt")
    session.end()
    chat.sees("1.2k in, 7 out in the last model call")


def test_what_a_new_session_suggests_is_the_harnesses(chat, session):
    chat.sees("What should the agent do?")
    expect(chat.page.locator(".sw-ideas button")).to_have_text(list(session.control.harness.suggestions))
    chat.page.locator(".sw-ideas button").last.click()
    expect(composer(chat)).to_have_value(session.control.harness.suggestions[-1])


def test_a_parked_session_says_so_and_still_takes_a_prompt(chat, session):
    session.begin("hello")
    session.end()
    session.note("sandbox_stopped", ref="local:1", reason="parked")
    chat.sees("Parked")
    composer(chat).fill("wake up")
    composer(chat).press("Enter")
    chat.until(lambda: session.prompts == ["wake up"])
    chat.sees("Starting")


def test_a_refused_prompt_comes_back_with_the_reason(chat, session):
    def refuse(prompt, **_):
        raise ValueError("Turn 3 of this session runs in process 77.")

    session.start = refuse
    chat.sees("What should")
    composer(chat).fill("hello")
    composer(chat).press("Enter")
    chat.sees("runs in process 77")
    expect(composer(chat)).to_have_value("hello")


def test_while_a_turn_runs_enter_queues_and_escape_stops(chat, session):
    session.begin("first")
    chat.sees("Starting")
    composer(chat).fill("second")
    composer(chat).press("Enter")
    expect(chat.page.locator(".sw-queued")).to_have_count(1)
    assert session.prompts == []
    session.end()
    chat.until(lambda: session.prompts == ["second"])
    chat.until(lambda: chat.page.get_by_test_id("stop").count())
    composer(chat).press("Escape")
    chat.until(lambda: session.cancelled == 1)
    chat.sees("Stopped")


def test_the_draft_survives_a_second_view(chat, session):
    chat.sees("What should")
    composer(chat).fill("half a thought")
    chat.page.evaluate("cleanups[0]()")
    chat.page.evaluate("show('#view')")
    expect(composer(chat)).to_have_value("half a thought")


def test_keys_typed_in_the_composer_reach_no_shortcut(chat):
    chat.sees("What should")
    chat.page.evaluate("window.heard = []; document.addEventListener('keydown', (event) => heard.push(event.key))")
    composer(chat).type("dd")
    assert chat.page.evaluate("heard") == []
    assert chat.page.locator("[data-lm-suppress-shortcuts=true] textarea").count() == 1


def test_a_permission_shows_the_change_in_full_and_keeps_the_decision(chat, session):
    session.begin("hello")
    session.tool("t", title="Edit a.py", kind="edit", content=[diff("a.py", "old line\n", "new line\n")])
    session.ask(1, toolCallId="t")
    ask = chat.page.locator(".sw-ask")
    chat.sees("May the agent change a file?")
    assert ask.locator(".sw-row-del .sw-line").inner_text() == "old line"
    assert ask.locator(".sw-row-add .sw-line").inner_text() == "new line"
    assert ask.locator(".sw-ask-options button").all_inner_texts() == ["Allow", "Always allow", "Reject"]
    assert chat.page.evaluate("document.activeElement.tagName") == "BODY", "nothing is focused for a stray Enter"
    assert chat.page.inner_text(".sw-status-words") == "Waiting for your permission"
    chat.held = True
    chat.page.get_by_test_id("permission-reject_once").click()
    expect(ask.locator(".sw-spinner")).to_have_count(1)
    expect(chat.page.get_by_test_id("permission-allow_once")).to_be_disabled()
    chat.held = False
    chat.until(lambda: session.answers == [("/1", "no")])
    chat.until(lambda: ask.count() == 0)
    chat.sees("Rejected")
    session.tool("t", first=False, status="failed")
    head = chat.page.locator(".sw-tool")
    chat.until(lambda: head.get_attribute("data-status") == "refused")
    assert "failed" not in head.inner_text()
    assert head.locator(".sw-changes [aria-hidden]").all_text_contents() == ["+1", "−1"]
    assert head.locator(".sw-changes .sw-hidden").all_text_contents() == ["1 line added", "1 line removed"]


def test_a_command_is_shown_in_full_before_it_may_run(chat, session):
    command = "find . -delete && " + "echo a very long command line; " * 20 + "rm -rf \u202e/"
    session.begin("hello")
    session.tool("t", title="harmless", kind="execute", rawInput={"command": command})
    session.ask(1, toolCallId="t")
    chat.sees("May the agent run a command?")
    shown = chat.page.locator(".sw-ask .sw-command").inner_text()
    assert shown == command.replace("\u202e", "⟨U+202E⟩")


def test_tool_calls_open_on_failure_and_fold_otherwise(chat, session):
    session.begin("hello")
    session.tool("a", title="Read a", kind="read", status="completed", content=[text("contents of a")])
    session.tool("b", title="make", kind="other", status="failed", content=[text("\x1b[31mred\x1b[0m words")])
    chat.sees("red words")
    assert "contents of a" not in chat.words()
    chat.page.locator(".sw-tool-head", has_text="Read a").click()
    chat.sees("contents of a")
    assert chat.page.locator(".sw-ansi-1").inner_text() == "red"


def test_one_plan_per_turn_with_three_states(chat, session):
    session.begin("hello")
    session.plan(("one", "pending"), ("two", "pending"))
    session.plan(("one", "completed"), ("two", "in_progress"), ("three", "pending"))
    chat.sees("1 of 3 done")
    states = chat.page.locator(".sw-plan li")
    assert [state.get_attribute("data-state") for state in states.all()] == ["completed", "in_progress", "pending"]
    assert chat.page.locator(".sw-plan").count() == 1
    assert (
        len({chat.page.evaluate("(e) => getComputedStyle(e).color", state.element_handle()) for state in states.all()})
        == 3
    )


def test_hostile_text_is_text(chat, session):
    hostile = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    session.title = hostile
    session.begin(hostile)
    session.think(hostile)
    session.plan((hostile, "pending"))
    session.tool(
        "t", title=hostile, kind=hostile, status="failed", content=[text(hostile), diff(hostile, hostile, "x")]
    )
    session.say(
        f"{hostile}\n\n[click](javascript:document.title='owned') ![b](https://evil.example/b.png)\n\n```\n{hostile}\n```"
    )
    session.end("failed", error=hostile, files=[{"path": hostile, "change": "created"}])
    chat.sees("onerror")
    chat.page.locator(".sw-thought-head").click()
    chat.until(lambda: chat.words().count("onerror") >= 8)
    assert chat.page.locator("#view img, #view script, #view iframe").count() == 0
    assert chat.page.locator("#view a[href^=javascript]").count() == 0
    assert chat.page.title() == ""


def test_a_lost_batch_is_drawn_and_healed(chat, session):
    session.begin("hello")
    session.say("one")
    chat.sees("one")
    chat.held = True
    session.say(" two")
    chat.until(chat.drop, what="a batch to lose")
    chat.held = False
    deadline = time.monotonic() + 5
    while "one two three" not in chat.words():
        session.say(" three") if "three" not in "".join(str(e.payload) for e in session.events) else None
        chat.pump()
        assert time.monotonic() < deadline
    assert chat.page.inner_text(".sw-status-words") == "Writing"


def test_a_kernel_that_is_gone_is_said_with_what_to_do(chat, session):
    session.begin("hello")
    session.end()
    chat.sees("Ready")
    composer(chat).fill("are you there")
    chat.page.evaluate("model.dead = true")
    chat.page.keyboard.press("Enter")  # the composer has the focus until the page notices
    chat.sees("The kernel is gone")
    chat.sees("Restart the kernel")
    chat.page.evaluate("model.dead = false")
    chat.page.get_by_role("button", name="Try again").click()
    chat.until(lambda: composer(chat).count() == 1)
    expect(composer(chat)).to_have_value("are you there")


def test_a_crash_is_shown_once_and_the_prompt_can_be_sent_again(chat, session):
    session.begin("hello there")
    failed = {"id": "1", "error": {"code": -32603, "message": "agent exited with code 3"}}
    session.emit("in", "error", failed, method="session/prompt")
    exited = {"method": "_adapter/agent_exited", "params": {"code": 3, "signal": None, "stderr": "out of paper"}}
    session.emit("in", "notification", exited, method="_adapter/agent_exited")
    session.end("failed", stop_reason=None, error="the agent process ended with code 3\nout of paper")
    chat.sees("Failed")
    assert len(chat.page.locator(".sw-error").all()) == 1
    assert chat.words().count("exited with code 3") == 1
    assert chat.words().count("out of paper") == 1
    chat.page.get_by_role("button", name="Retry").click()
    chat.until(lambda: session.prompts == ["hello there"])
    chat.until(lambda: chat.page.locator(".sw-turn").count() == 2)
    assert chat.page.get_by_role("button", name="Retry").count() == 0, "of the last turn alone, when it has ended"


def test_only_the_card_shows_a_missing_key(chat, session):
    session.control.missing = MissingRequirements(keys=("SOME_KEY",))
    session.begin("hello")
    session.end("failed", stop_reason=None, error="Demo needs a key: set SOME_KEY and send again.")
    chat.sees("Demo needs a key")
    chat.until(lambda: chat.words().count("needs a key") == 1)
    assert chat.page.locator(".sw-error").count() == 0


def test_a_deleted_session_says_so(chat, session):
    session.begin("hello")
    session.end()
    chat.sees("Ready")
    session.status = "deleted"
    session.control.page.tell()
    chat.sees("This session was deleted")
    assert chat.page.inner_text(".sw-status-words") == "Deleted"
    assert composer(chat).count() == 0


def test_the_card_says_where_a_cell_asks_before_anybody_clicks(chat, session):
    session.begin("hello")
    session.tool("t", title="make", kind="other")
    session.ask(1, toolCallId="t")
    chat.sees("May the agent")
    assert "cell" not in chat.page.locator(".sw-ask").inner_text()
    session.control.page.show(CellQuestion("/1", "scripted, question 1. Allow?", {"once": "once (in the panel)"}))
    chat.sees("Answer in the cell")
    chat.page.evaluate(
        """() => {
          const field = document.createElement("pre");
          field.innerHTML = "scripted, question 1. Allow?<input class='jp-Stdin-input'>";
          document.body.append(field);
          window.typed = [];
          const input = field.querySelector("input");
          input.addEventListener("keydown", ({ key }) => typed.push([key, input.value]));
        }"""
    )
    session.control.page.tell()
    chat.sees("The cell asks too")
    chat.page.get_by_test_id("permission-allow_once").click()
    chat.until(lambda: chat.page.evaluate("typed") == [["Enter", "once (in the panel)"]])
    assert session.answers == [], "the cell answers, and it alone"
    session.control.page.show(None)
    chat.until(lambda: chat.page.evaluate("typed.length") == 2)


def later(session, seconds):
    """The next event comes so much later."""
    session.clock += timedelta(seconds=seconds)


def test_times_leave_out_what_a_person_took_to_answer(chat, session):
    session.stands = datetime.now(UTC)
    session.begin("hello")
    session.tool("t", title="make", kind="execute", rawInput={"command": "make"})
    session.ask(1, toolCallId="t")
    later(session, 60)
    session.pending[-1].choose("once")
    later(session, 2)
    session.tool("t", first=False, status="completed")
    session.end()
    chat.sees("Done")
    assert chat.page.locator(".sw-tool .sw-state").inner_text() == "2.0 s\ndone"
    assert chat.page.locator(".sw-foot").inner_text().split("\n")[1] == "2.0 s + 1 min 0 s you"


def test_a_failed_command_tells_its_exit_code_and_a_stopped_one_is_not_failed(chat, session):
    session.begin("hello")
    session.tool("a", title="make", kind="execute", rawInput={"command": "make"})
    session.tool("a", first=False, status="failed", rawOutput={"exitCode": 3})
    chat.sees("exit 3")
    session.tool("b", title="sleep", kind="execute", rawInput={"command": "sleep 60"})
    session.emit("out", "notification", {"method": "session/cancel", "params": {}}, method="session/cancel")
    session.tool("b", first=False, status="failed", content=[text("Cancelled.")])
    session.end("cancelled", stop_reason="cancelled")
    chat.sees("Stopped")
    states = [tool.get_attribute("data-status") for tool in chat.page.locator(".sw-tool").all()]
    assert states == ["failed", "cancelled"]
    assert "failed" not in chat.words()


def test_notices_are_drawn_by_severity(chat, session):
    session.begin("hello")
    for severity in ("info", "warning", "error", "odd"):
        session.update("notice", title=f"<b>{severity}</b> notice", severity=severity)
    session.end()
    chat.sees("<b>odd</b> notice")
    found = chat.page.locator(".sw-notice").evaluate_all("all => all.map(one => [one.dataset.severity, one.innerText])")
    assert [severity for severity, _ in found] == [None, "warning", "error", None]
    assert chat.page.locator('.sw-notice[data-severity="error"]').text_content() == "Error: <b>error</b> notice"


def test_a_subagent_its_steps_a_compaction_and_an_unknown_update_are_drawn(chat, session):
    session.begin("hello")
    session.update("subagent_update", sessionId="child", title="<b>Tests</b>", state={"state": "running"})
    message = {"senderSessionId": "a", "recipientSessionId": "child"}
    session.update("session_message", **message, content=[{"type": "text", "text": "write tests"}])
    said = {"params": {"sessionId": "child", "update": {"content": {"type": "text", "text": "child says"}}}}
    session.emit("in", "agent_message_chunk", said, method="session/update")
    session.update(
        "compaction_update", compactionId="c", status="completed", summary=[{"type": "text", "text": "short"}]
    )
    session.update("update_of_tomorrow")
    session.end()
    chat.sees("Context compacted")
    expect(chat.page.locator(".sw-nested")).to_have_text(re.compile("child says"))
    chat.page.get_by_role("button", name="<b>Tests</b>").click()
    chat.sees("write tests")
    chat.sees("does not know: update_of_tomorrow")
