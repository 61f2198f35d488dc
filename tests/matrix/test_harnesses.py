"""{demo, claude, codex, opencode, pi} x {local, docker, ..., modal} x five events: files and memory survive.

A cell passes only if the host finds the written files in the directory and in the bucket, the agent reads them by a
tool call, and its model's input agrees with the tier. `docs/matrix.md` has the outcome.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

import session_widgets as sw
from session_widgets._harnesses import catalog
from session_widgets._sandboxes.clouds import limits
from session_widgets.transcript.records import Event
from tests.matrix import page
from tests.matrix.journey import BEFORE, ELSEWHERE, HARNESSES, Journey
from tests.matrix.memory import history_of, memory_of
from tests.matrix.pairwise import covering
from tests.standins.rented import CLOUDS, rented
from tests.support import guard, needs
from tests.support.boxes import Box
from tests.support.evidence import in_bucket, in_directory
from tests.support.kernels import exactly_once
from tests.support.model.serving import bridge_address, serving
from tests.support.real_harnesses import alive
from tests.support.sandbox_agent import server as sandbox_agent
from tests.support.stores import close_below
from tests.support.waiting import until

EVENTS = ("switch harness", "warm", "new process", "SIGKILL", "switch sandbox")
"""In the order in which they happen to one session; after one that failed, the next begins another session."""
SETUPS = {"session/resume": "resume", "session/load": "load", "session/new": "replay"}

pytestmark = [pytest.mark.needs("harnesses", "model", "seaweedfs"), pytest.mark.timeout(240)]

SANDBOXES = tuple(ELSEWHERE)
REAL_IN_CLOUDS = {
    *("claude-e2b-warm", "claude-e2b-new process"),
    *("codex-daytona-SIGKILL", "codex-daytona-switch sandbox"),
    "claude-modal-new process",
}
NEAR = [sandbox for sandbox in SANDBOXES if sandbox not in CLOUDS]
IN_CI = {"-".join(cell) for cell in covering(itertools.product(HARNESSES, NEAR, EVENTS))} | REAL_IN_CLOUDS
"""The other cells run in `make nightly`. The demo is in each cloud with each event by `test_durable.py`."""


def pairs() -> Iterator[object]:
    for harness, sandbox in itertools.product(HARNESSES, SANDBOXES):
        needed = {"local": (), "runner": ("docker",), **dict.fromkeys(CLOUDS, ("boxes",))}.get(sandbox, (sandbox,))
        marks = [pytest.mark.needs(name) for name in needed]
        yield pytest.param((harness, sandbox), marks=marks, id=f"{harness}-{sandbox}")


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    """The machine of all sandboxes elsewhere: each harness is uploaded once."""
    with Box() as box:
        yield box


@pytest.fixture(scope="module", params=list(pairs()))
def route(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """A journey with its own model, which receives nothing else."""
    folder = tmp_path_factory.mktemp("journey")
    sandbox = request.param[1]
    host = None if sandbox in CLOUDS or needs.missing("docker") else bridge_address()
    key = f"sk-planted-{secrets.token_hex(16)}"
    with serving(folder, host) as model, pytest.MonkeyPatch.context() as environment, ExitStack() as entered:
        settings = {
            "HOME": str(folder),  # shells of agents read the profile there
            "SESSION_WIDGETS_HOME": str(folder / "home"),
            **model.environment,
            **dict.fromkeys(("ANTHROPIC_API_KEY", "OPENAI_API_KEY"), key),
        }
        if not needs.missing("sandbox-agent"):
            program = sandbox_agent.binary()
            program.chmod(0o755)
            settings["SESSION_WIDGETS_SANDBOX_AGENT"] = str(program)
        elsewhere = request.getfixturevalue("box") if sandbox == "runner" else None
        if sandbox in CLOUDS:
            port = urlsplit(model.url).port
            elsewhere = entered.enter_context(rented(sandbox, tmp_path_factory.mktemp(sandbox), reaching=port))
            settings |= elsewhere.environment
            environment.setattr(limits, "SECONDS_BETWEEN", 0)
        journey = Journey(*request.param, model, settings, elsewhere, tmp_path_factory.mktemp("copies"))
        yield journey
        for name, value in settings.items():
            environment.setenv(name, value)
        journey.end()
        if sandbox in CLOUDS:
            elsewhere.check()
    close_below(folder)


@pytest.fixture
def journey(route: Journey, home: Path, lab: str, monkeypatch: pytest.MonkeyPatch) -> Journey:
    """The journey, in the environment of its notebook."""
    monkeypatch.delenv("IS_SANDBOX", raising=False)  # Claude Code takes it for leave to ask for nothing
    for name, value in route.environment.items():
        monkeypatch.setenv(name, value)
    route.environment |= {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    route.bucket = lab
    return route


@pytest.mark.parametrize("event", EVENTS)
def test_files_and_memory_survive(journey: Journey, event: str) -> None:
    if event == "switch sandbox" and journey.elsewhere != "local" and (why := needs.missing(journey.elsewhere)):
        pytest.skip(why)
    try:
        tier = go_through(journey, event)
    except BaseException:
        journey.end()
        raise
    whereabouts = {"switch harness": f", from {BEFORE[journey.harness]}", "switch sandbox": f", to {journey.elsewhere}"}
    page.check(journey.harness, journey.sandbox, EVENTS.index(event), tier + whereabouts.get(event, ""))


def go_through(journey: Journey, event: str) -> str:
    """Let the event happen, and one prompt after it; return how the memory came back."""
    if journey.session is None or event == "switch harness":
        first = journey.begin(BEFORE[journey.harness] if event == "switch harness" else journey.harness)
        assert (first.status, first.tier, first.durability_error) == ("completed", "fresh", None), first.error
        assert memory_of(journey.heard(), journey.notes) == "nothing"
    since = journey.session.events()[-1].seq
    running = happen(journey, event)
    assert running or journey.sandbox not in {"local", "sandbox-agent"}
    turn = journey.say()
    assert turn.status == "completed", turn.error
    check_files(journey, turn)
    check_tier(journey, turn, event, journey.session.events(after=since))
    check_transcript(journey)
    check_secrets(journey)
    if event != "warm":
        until(lambda: not alive(running), what="the end of what ran before")
    return turn.tier


def happen(journey: Journey, event: str) -> list[psutil.Process]:
    """Let the event happen; return what ran for the session before."""
    running = journey.processes()
    if event == "switch harness":
        journey.hand_over()
    elif event == "new process":
        journey.renew()
    elif event == "SIGKILL":
        cut = journey.hang()
        running = journey.processes()
        journey.kill()
        assert cut.wait(60).status == "failed"
        assert cut.error
        if journey.sandbox == "local":
            until(lambda: not alive(running), what="the end of what the runner had started")
    elif event == "switch sandbox":
        journey.move()
    return running


def check_files(journey: Journey, turn: sw.Turn) -> None:
    """The file of before was read by a tool call, the new one was written, and both are safe."""
    earlier, latest = list(journey.files)[-2:]
    calls = [step for step in turn.steps if step.kind == "tool_call"]
    assert [step.status for step in calls] == ["completed", "completed"]
    shown = json.dumps([calls[0].content, calls[0].raw_output], default=dict)
    assert journey.files[earlier].decode().strip() in shown, "the agent does not find its file"
    assert [(file.path, file.change) for file in turn.files] == [(latest, "created")]
    assert turn.durability_error is None
    assert turn.durable_at is not None
    for evidence in (in_directory(journey.place)(), in_bucket(*journey.session.location.rsplit("/", 1))()):
        assert {path: evidence.get(path) for path in journey.files} == journey.files


def check_tier(journey: Journey, turn: sw.Turn, event: str, events: Sequence[Event]) -> None:
    """The agent's requests and its model's input agree with the tier."""
    native = catalog.get(journey.harness).resumes
    wanted = {"warm": "warm", "switch harness": "replay", "new process": native, "SIGKILL": "load"}
    assert turn.tier == wanted.get(event, turn.tier)
    asked = [event.method for event in events if event.direction == "out" and event.method in SETUPS]
    assert turn.tier == (SETUPS[asked[-1]] if asked else "warm")
    told = journey.heard()
    cut = journey.prompts[-2] if event == "SIGKILL" else ""
    assert memory_of(told, journey.notes, cut) == ("history" if turn.tier == "replay" else "conversation")
    if turn.tier == "replay":
        assert history_of(told) == journey.prompts[:-1]
    if journey.harness == "demo":
        assert f"\n{len(journey.notes) - 1} earlier turn" in turn.text
        assert f"the first prompt was: {journey.prompts[0]}" in turn.text
    else:
        said, _, known = turn.text.partition("I know ")
        assert said == "I read\n\nI write\n\n"
        assert sorted(known.split()) == sorted(journey.notes)


def check_transcript(journey: Journey) -> None:
    """Dense, and nothing of it twice: no prompt, no tool call."""
    exactly_once(journey.session.events())
    steps = [step for turn in journey.session.turns for step in turn.steps]
    assert [step.text for step in steps if step.kind == "user"] == journey.prompts
    # an agent that lost its latest prompt with its machine may give an id again, in another turn
    calls = [(step.turn, step.tool_call_id) for step in steps if step.kind == "tool_call"]
    first, others, cut = 1, 2 * (len(journey.files) - 1), len(journey.prompts) - len(journey.files)
    assert len(calls) == len(set(calls)) == first + others + cut


def check_secrets(journey: Journey) -> None:
    """No key of the notebook, not even its end, in the transcript, in the workspace or in the bucket."""
    planted = [journey.environment[name][-16:] for name in ("OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY")]
    told = json.dumps([dict(event.payload) for event in journey.session.events()], default=str)
    kept = in_directory(journey.place)() | in_bucket(*journey.session.location.rsplit("/", 1))()
    for secret in planted:
        assert secret not in told
        assert [path for path, content in kept.items() if secret.encode() in content] == []


def test_nothing_is_left_of_a_deleted_session(journey: Journey, monkeypatch: pytest.MonkeyPatch) -> None:
    if journey.session is None:
        journey.begin(journey.harness)
    evidence, running = in_bucket(*journey.session.location.rsplit("/", 1)), journey.processes()
    remains = journey.remains()
    monkeypatch.setenv(guard.Census.VARIABLE, "")  # the census sets it
    assert evidence()
    journey.end()
    assert evidence() == {}
    assert not remains()
    until(lambda: not alive(running), what="the end of its processes")
    assert guard.Census(Path(journey.environment["SESSION_WIDGETS_HOME"])).left() == []


def test_the_page_has_every_cell() -> None:
    assert list(page.rows()) == list(itertools.product(HARNESSES, SANDBOXES))
    assert {len(cells) for cells in page.rows().values()} == {len(EVENTS)}


def test_the_page_shows_in_bold_what_ci_runs() -> None:
    bold = {(*row, EVENTS[column]) for row, cells in page.rows().items() for column in page.bold(cells)}
    assert {"-".join(cell) for cell in bold} == IN_CI


def test_an_agent_that_forgot_or_received_a_prompt_twice_is_detected() -> None:
    """The judge of memory itself: each way of knowing, and what no way of knowing is."""
    first, second = ("user", "TOKEN-1"), ("user", "TOKEN-2")
    history = ("user", 'session-widgets:history {"turns": [{"prompt": "TOKEN-1"}]}')
    answer = ("assistant", "I know TOKEN-1")
    notes = ["TOKEN-1", "TOKEN-2"]
    assert memory_of([second], notes[1:]) == "nothing"
    assert memory_of([first, answer, second], notes) == "conversation"
    assert memory_of([history, answer, second], notes) == "conversation"
    assert memory_of([history, second], notes) == "history"
    assert history_of([history, second]) == ["TOKEN-1"]
    for wrong in ([second], [first, answer, history, second], [first, first, answer, second], [second, answer, first]):
        with pytest.raises(AssertionError):
            memory_of(wrong, notes)
