"""From one real harness to another in one session: the files stay, and the history is handed over."""

from __future__ import annotations

import itertools
import json

import pytest

from tests.support.model.serving import script

pytestmark = [pytest.mark.needs("harnesses", "model"), pytest.mark.timeout(150)]


def handed_over(session):
    """The history of each prompt that carried one, oldest first."""
    sent = [event for event in session.events() if event.direction == "out" and event.method == "session/prompt"]
    texts = [
        block["resource"]["text"] if block["type"] == "resource" else block["text"]
        for event in sent
        for block in event.payload["params"]["prompt"][:-1]
    ]
    return [json.loads(text[text.index("{") : text.rindex("}") + 1]) for text in texts]


@pytest.mark.parametrize("to", ["claude", "pi"], ids=["claude-as-a-resource", "pi-as-text"])
def test_another_harness_goes_on_with_files_and_history(to, start, model):
    session = start("codex", model=None)
    session.send(script({"text": "I write", "write": ["a.txt", "hello"]}, {"text": "written"}, note="TOKEN-first"))
    session.switch(harness=to)
    prompt = script({"recall": True, "run": "cat a.txt > b.txt"}, {"text": "read"})
    turn = session.send(prompt)
    assert turn.tier == "replay"
    assert turn.text.startswith("I know TOKEN-first")
    assert (session.workspace / "b.txt").read_text() == "hello"
    assert turn.prompt == ({"type": "text", "text": prompt},)
    assert [step.text for step in turn.steps if step.kind == "user"] == [prompt]
    (history,) = handed_over(session)
    assert turn.handed_over == history
    (told,) = history["turns"]
    assert told["answer"] == "I write\n\nwritten"
    assert told["files"] == ["created a.txt"]
    assert told["tools"][0]["status"] == "completed"
    words = model.heard
    assert words.count("TOKEN-first") == 2, "in the history, and in the first answer"


def test_five_handovers_grow_in_line_with_the_turns(start):
    session = start("codex", model=None)
    session.send(script({"text": "begun"}, note="TOKEN-first"))
    for harness in ("claude", "codex", "claude", "codex", "claude"):
        session.switch(harness=harness)
        turn = session.send(script({"recall": True}))
        assert turn.text == "I know TOKEN-first"
        assert turn.tier == "replay"
    told = handed_over(session)
    assert [len(history["turns"]) for history in told] == [1, 2, 3, 4, 5]
    sizes = [len(json.dumps(history)) for history in told]
    steps = [after - before for before, after in itertools.pairwise(sizes)]
    assert max(steps) < 1.2 * min(steps), sizes
