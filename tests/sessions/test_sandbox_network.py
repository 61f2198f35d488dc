"""A session whose sandbox has a restricted network: its agent reaches the model, and says so."""

import pytest

import session_widgets as sw
from session_widgets._harnesses import catalog
from session_widgets.transcript.turn import REACHES
from tests.support.page import page

pytestmark = pytest.mark.needs("docker")


@pytest.fixture
def model():
    """The address of an API on this machine."""
    with page() as address:
        yield address


def test_an_agent_without_a_network_reaches_its_model_and_the_turn_says_so(open_session, model, monkeypatch):
    demo = catalog.get("demo")
    mine = sw.Harness(
        demo.command,
        id="mine",
        env=demo.env,
        keys=("MY_KEY",),
        env_passthrough=("MY_URL",),
        hosts={"MY_KEY": ("api.example.com",)},
        base_url="MY_URL",
    )
    monkeypatch.setenv("MY_KEY", "key")
    monkeypatch.setenv("MY_URL", f"http://{model}/v1")
    session = open_session(harness=mine, sandbox=sw.Sandbox("docker", network="none"))
    status = "curl -s -o /dev/null -w '%{http_code}'"
    turn = session.send(f"run {status} http://{model}/ > model; {status} http://api.example.com/ > other; true")
    assert (session.files.read_text("model"), session.files.read_text("other")) == ("200", "403")
    assert [step.text for step in turn.steps if step.kind == "notice"] == [REACHES + model]
    (started,) = [event.payload for event in session.events() if event.kind == "sandbox_started"]
    assert started["model_hosts"] == [model]
    port = int(model.partition(":")[2])
    assert session.exec(f"{status} http://{model.partition(':')[0]}:{port + 1}/").out == "403"
    monkeypatch.setenv("MY_URL", "http://127.0.0.1:9/v1")
    assert "notice" not in [step.kind for step in session.send("run true").steps]  # nothing leads to that one
    assert session.exec(f"{status} http://{model}/").out == "000"
