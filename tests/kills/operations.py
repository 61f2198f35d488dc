"""Work of a kernel until it is killed, and checks of the next one. Each function is one process's life."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

import session_widgets as sw
from session_widgets._sandboxes import SandboxInfo, SandboxProvider
from session_widgets._sessions.loop import private_loop
from session_widgets.acp import AcpConnection
from session_widgets.model import SandboxRef
from tests.kills.effects import Effects
from tests.support.kernels import exactly_once

PROMPT = "run echo {0} >> done.txt\nsay {0}"
DEMO: dict[str, Any] = {
    "command": ("{python}", "-P", "-m", "session_widgets.demo"),
    "env": {"DEMO_STATE_DIR": "{state}"},
}
KINDS = ("sandboxes", "containers", "sandbox-agent", "runners")


def tell(**said: Any) -> None:
    print(json.dumps(said), flush=True)


def life(
    home: str, session: str, how: dict[str, Any], operation: str, step: str | None, before: str | None = None
) -> None:
    """Heal what the last life has left, then do `operation`, and die just before the effect `step`.

    Args:
        home: the data directory.
        session: its id.
        how: `sandbox`, `workspace` and `attachment` of a new session, the ids of its `harnesses`: the first one and
            one to switch to; all are the demo. `given`: `skills` and `env` that it gets, and others in their place.
        operation: "open" is to open a new session and send its first prompt, "replace" to give it other skills and env,
            "fork" to fork its last turn, "prompt" to send a prompt whose agent exits before it receives it.
        step: None lives on.
        before: for "open", which needs a home of its own each time: the one that the last life has left.
    """
    if operation == "open":
        if before is not None:
            end(before, session, how)
        begin(home)
    else:
        begin(home)
        # what a deletion has forgotten stands in the user's notebook alone
        healed = heal(session, how, **(given(how, 0) if operation == "delete" else {}))
        more = others(healed, how)
        if operation == "switch" and more:
            together = (healed.harness == harnesses(how)[0].id) is (more == given(how, 1))
            assert together, "the harness was switched without the sandbox's options, or these without it"
        if operation == "fork":
            forked(healed, session)
    effects = Effects(home, session, lambda name: tell(met=name), step)
    effects.begin()
    match operation:
        case "open":
            turn = opened(session, how).send(PROMPT.format("first"))
            assert turn.status == "completed", turn.error
            assert turn.files_at_end["done.txt"].read_text() == "first\n"
        case "prompt":
            let_agent_exit(healed, effects)
            turn = healed.send(PROMPT.format("second"))
            assert (turn.status, turn.tier) == ("completed", "load"), turn.error
            assert turn.files_at_end["done.txt"].read_text().endswith("second\n")
        case "park":
            healed.park()
        case "switch":
            first, second = harnesses(how)
            other = second if healed.harness == first.id else first
            healed.switch(harness=other, sandbox=more.get("sandbox"))
        case "replace":
            first, _ = harnesses(how)
            sw.open_session(session, harness=first, **more)
        case "fork":
            healed.fork(healed.turns[-1], id=f"{session}-fork")
        case "delete":
            healed.delete(vacuum=True)
    effects.end()


def let_agent_exit(session: sw.Session, effects: Effects) -> None:
    """Kill the agent when the next prompt is stored and not sent; the kernel has seen that when it sends it."""
    core, post = session._controller, AcpConnection.post
    runner = psutil.Process(private_loop().run(core.sandboxes.sandbox.runner.health())["pid"])
    (process,) = [one for one in runner.children(recursive=True) if "demo" in one.cmdline()[-1]]

    async def posting(connection: AcpConnection, envelope: Any, **options: Any) -> None:
        if envelope.get("method") == "session/prompt":
            AcpConnection.post = post  # type: ignore[method-assign]
            with effects.unseen():
                process.kill()
            while core.agents.agent.dead is None:
                await asyncio.sleep(0.01)
            await asyncio.wait({core.agents._reader._task}, timeout=0.3)  # its end is stored, or waits for the prompt
        await post(connection, envelope, **options)

    AcpConnection.post = posting  # type: ignore[method-assign]


def forked(parent: sw.Session, session: str) -> None:
    """Check that a killed fork has left a complete session or none, and delete it."""
    name = f"{session}-fork"
    known = sw.store().session(name)
    if known is not None:
        assert known.forked_from == session
        made = parent.fork(parent.turns[(known.forked_at_turn or 0) - 1], id=name)
        assert made.turns[-1].index == known.forked_at_turn
        said = parent.turns[made.turns[-1].index - 1].files_at_end["done.txt"].read_text()
        assert made.files.read_text("done.txt") == said
        turn = made.send("remember")
        assert turn.text.startswith(f"{turn.index - 1} earlier turn"), turn.text
        made.delete()
    else:
        empty = sw.open_session(name)
        assert empty.turns == []
        empty.delete()
    home = sw.store().home
    left = [str(path) for kind in ("workspaces", "contents", "forks") for path in (home / kind).glob(f"{name}*")]
    left = [path for path in left if not path.endswith(".partial")]  # the next fork removes it
    assert not left, left


def begin(home: str) -> None:
    os.environ["SESSION_WIDGETS_HOME"] = home


def end(home: str, session: str, how: dict[str, Any]) -> None:
    """Heal what the last life has left, and delete it."""
    begin(home)
    healed = heal(session, how)
    forked(healed, session)
    healed.delete()
    healed.store.close()


def opened(session: str, how: dict[str, Any], **more: Any) -> sw.Session:
    """Open as a user does who knows what the session is: what it was given is kept with it."""
    known = sw.store().session(session)
    first, second = harnesses(how)
    if known is not None:
        harness = second if known.harness == second.id else first
        return sw.open_session(session, permissions="allow_all", harness=harness, **more)
    place = {name: how[name] for name in ("sandbox", "workspace", "attachment") if name in how}
    return sw.open_session(session, permissions="allow_all", harness=first, **(place | given(how, 0)))


def given(how: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the arguments for what a session is given besides."""
    if "given" not in how:
        return {}
    one = how["given"][number]
    return {"skills": one["skills"], "sandbox": sw.Sandbox(how["sandbox"], env=one["env"])}


def others(session: sw.Session, how: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments for what the session does not have now."""
    return given(how, "ONE" in session.exec("env").out) if "given" in how else {}


def harnesses(how: dict[str, Any]) -> tuple[sw.Harness, sw.Harness]:
    """Return the first harness of a session, and the one that it is switched to."""
    first, second = how.get("harnesses") or ("one", "other")
    return sw.Harness(id=first, **DEMO), sw.Harness(id=second, **DEMO)


def heal(session: str, how: dict[str, Any], **more: Any) -> sw.Session:
    """Open again after a death, and work: nothing by hand, no turn lost or done twice, nothing half-made left."""
    again = opened(session, how, **more)
    for turn in again.turns:
        turn.wait(60)
        # sandbox-agent cannot tell whether it has a prompt, which must not be sent twice
        unsure = how["sandbox"] == "sandbox-agent" and "nothing for 30 s" in (turn.error or "")
        assert turn.status == "completed" or unsure, f"turn {turn.index} is {turn.status}: {turn.error}"
    turn = again.send(f"remember\n{PROMPT.format('next')}")
    assert turn.status == "completed", turn.error
    assert turn.text.startswith(f"{turn.index - 1} earlier turn"), turn.text
    said = [str(turn.prompt[0]["text"]).split()[-1] for turn in again.turns]
    done = again.files.read_text("done.txt").split()
    assert done == said[-len(done) :], (
        f"{done} was done, {said} was said"
    )  # a deletion may have got as far as the files
    assert turn.files_at_end["done.txt"].read_text().split() == done
    exactly_once(again.events())
    if "given" in how:
        (skill,) = again.skills
        assert skill in {"one", "two"}
        assert again.files.read_text(f".agents/skills/{skill}/SKILL.md")
        assert len(set(again.exec("env").out.split()) & {"ONE=1", "TWO=2"}) == 1
    left = half_made(again)
    assert not left, left
    return again


def half_made(session: sw.Session) -> list[str]:
    """Say what is there besides the one sandbox of the session with its one agent."""
    core = session._controller
    ref = SandboxRef.parse(core.state.record.sandbox_ref)
    found = [str(info.ref) for info in private_loop().run(_listed(core.sandboxes.provider))]
    left = [f"sandbox {one}" for one in found if one != str(ref)]
    home = core.state.store.home
    left += [f"records in {place}" for kind in KINDS for place in home.glob(f"{kind}/*/") if place.name != ref.id]
    agents = private_loop().run(core.sandboxes.sandbox.runner.connections())
    left += [f"agent {one}" for one in agents if one != core.state.record.connection]
    left += [f"a second server, pid {pid}" for pid in without_forks(_servers(home))[1:]]
    return left


async def _listed(provider: SandboxProvider) -> list[SandboxInfo]:
    return [info async for info in provider.list()]


def without_forks(parents: Mapping[int, int]) -> list[int]:
    """Return the processes whose parent is not one of them; a fork may have a lower pid than its parent.

    Args:
        parents: the pid of each process's parent.
    """
    return [pid for pid, parent in parents.items() if parent not in parents]


def _servers(home: Path) -> dict[int, int]:
    """Return the runners of this home and the sandbox-agents, with their parents."""
    found: dict[int, int] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = process.cmdline()
            if any(word.startswith(f"{home}/sandboxes/") for word in command) or (
                "sandbox-agent" in " ".join(command[:2]) and process.cwd().startswith(f"{home}/")
            ):
                found[process.pid] = process.ppid()
    return found
