"""Real harnesses in a container without a network: each finds its model through the proxy of the gateway."""

import pytest

import session_widgets as sw
from session_widgets.transcript.turn import REACHES
from tests.support.model.serving import script
from tests.support.real_harnesses import MODELS, allow_once

FURTHER = {"gemini": "gemini-2.5-pro", "qwen": "some-model", "copilot": None}
CI = {"claude", "codex"}
CELLS = [
    pytest.param(
        name,
        marks=[pytest.mark.needs("further-harnesses" if name in FURTHER else "harnesses")]
        + ([] if name in CI else [pytest.mark.nightly]),
    )
    for name in ("claude", "codex", "opencode", "pi", *FURTHER)
]

pytestmark = [pytest.mark.needs("model", "docker"), pytest.mark.timeout(120)]


@pytest.mark.parametrize("name", CELLS)
def test_a_harness_reaches_its_model_and_nothing_else(name, start, bridged_model, monkeypatch):
    variables = {
        "GEMINI_API_KEY": "a key",
        "GOOGLE_GEMINI_BASE_URL": bridged_model.url,
        "COPILOT_PROVIDER_API_KEY": "a key",
        "COPILOT_PROVIDER_BASE_URL": f"{bridged_model.url}/v1",
        "COPILOT_PROVIDER_TYPE": "openai",
        "COPILOT_MODEL": "some-model",
        "COPILOT_OFFLINE": "true",
    }
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    closed = sw.Sandbox("docker", network="none")
    session = start(name, sandbox=closed, permissions=allow_once, model={**MODELS, **FURTHER}.get(name))
    turn = session.send(script({"text": "I write", "run": "curl -s http://192.0.2.1/ > said"}, {"text": "done"}))
    assert (turn.status, turn.error) == ("completed", None)
    assert turn.text.endswith("done")
    host = bridged_model.url.removeprefix("http://")
    assert [step.text for step in turn.steps if step.kind == "notice"] == [REACHES + host]
    assert "this sandbox may not reach 192.0.2.1:80" in session.files.read_text("said")
