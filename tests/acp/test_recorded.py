"""Recorded traffic of real agents, served again in the worst of ways."""

import json
import random
from pathlib import Path

import pytest

from session_widgets.acp import AcpConnection, Peer, PermissionRequest, Received, classify
from session_widgets.errors import AgentFailed
from tests.support.http_server import Request, serving, sse
from tests.support.paths import shared

DATA = Path(__file__).parent / "data"
CAPTURES = sorted(DATA.glob("*.ndjson"))


def recorded(path: Path, scenario: str | None = None) -> list[dict]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    # "http" marks the copy of a response that the POST returned: the stream has it again.
    return [line for line in lines if scenario in (None, line["scenario"]) and "http" not in line]


def with_our_ids(lines: list[dict]) -> list[dict]:
    """Requests of the client under string ids, as ours are; each phase starts to count again."""
    seen: list[dict] = []
    phases: list[object] = []
    names: dict[object, str] = {}
    for line in lines:
        message = dict(line["msg"])
        if line.get("phase") not in phases:
            phases.append(line.get("phase"))
        if line["dir"] == "c2a" and "id" in message and "method" in message:
            names[message["id"]] = message["id"] = f"{len(seen)}-{line.get('phase')}"
        elif line["dir"] == "a2c" and "method" not in message:
            message["id"] = names[message["id"]]
        seen.append({"dir": line["dir"], "msg": message})
    return seen


async def served_again(messages: list[dict], seed: int) -> list[Received]:
    """Read `messages` from a server that cuts pieces anywhere, breaks off, and repeats itself."""
    chance = random.Random(seed)

    async def answer(request: Request) -> None:
        if request.last_event_id >= len(messages):
            await request.problem(404, "session_not_found", "all was said")
            return
        start = max(0, request.last_event_id - chance.randrange(3))  # a few again
        data = b": heartbeat\n\n".join(sse(i, m) for i, m in enumerate(messages[start:], start + 1))
        if chance.random() < 0.5:
            data = data.replace(b"\n", b"\r\n")
        if len(server.asked) < 3:
            data = data[: chance.randrange(len(data))]
        await request.open_stream()
        while data:
            size = chance.choice([1, 60, 1000, 30_000])
            await request.send(data[:size])
            data = data[size:]
        await request.end_stream() if chance.random() < 0.5 else request.cut()

    async with serving(answer) as (server, endpoint):
        connection = AcpConnection(endpoint, "recorded", "mock")
        received: list[Received] = []
        async for batch in connection.batches():
            received += batch
            if len(received) == len(messages):
                break
        await connection.detach()
    return received


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
async def test_every_message_arrives_once_and_every_response_finds_its_request(path: Path):
    await replay(recorded(path), seed=1)


@pytest.mark.parametrize("name", ["claude", "claude-next", "codex", "codex-next", "gemini", "opencode", "pi", "qwen"])
async def test_the_whole_collection(name: str):
    lines = recorded(shared(f"contracts/acp-captures/{name}.ndjson"))
    for number, scenario in enumerate(dict.fromkeys(line["scenario"] for line in lines)):
        await replay([line for line in lines if line["scenario"] == scenario], seed=number)


async def replay(lines: list[dict], seed: int) -> None:
    lines = with_our_ids(lines)
    incoming = [line["msg"] for line in lines if line["dir"] == "a2c"]
    received = await served_again(incoming, seed)
    assert [r.message for r in received] == incoming
    assert [r.id for r in received] == list(range(1, len(incoming) + 1))

    peer = Peer()
    asked = {
        line["msg"]["id"]: line["msg"]["method"]
        for line in lines
        if line["dir"] == "c2a" and "method" in line["msg"] and "id" in line["msg"]
    }
    results = {id_: peer.expect(id_, method) for id_, method in asked.items()}
    for message in incoming:
        method, kind = classify(message, peer.methods)
        handled = peer.handle(message)
        if "method" not in message:
            assert handled == "response"
            assert (method, kind) == (asked[message["id"]], "error" if "error" in message else "response")
        elif "id" in message:
            assert (handled, kind, method) == ("request", "request", message["method"])
        else:
            assert handled == "notification"
            assert kind == message["params"].get("update", {}).get("sessionUpdate", "notification")
    for message in incoming:
        if "error" in message:
            with pytest.raises(AgentFailed):
                await results[message["id"]]
        elif "method" not in message:
            assert await results[message["id"]] == message["result"]


def test_a_permission_request_says_enough_before_any_tool_call():
    incoming = [line["msg"] for line in recorded(DATA / "codex.ndjson") if line["dir"] == "a2c"]
    kinds = [classify(message, {}) for message in incoming]
    asked_at = kinds.index(("session/request_permission", "request"))
    assert asked_at < kinds.index(("session/update", "tool_call"))
    request = PermissionRequest.parse(incoming[asked_at])
    assert request.tool_call["toolCallId"]
    assert {option.kind for option in request.options} >= {"allow_once", "reject_once"}


def test_usage_that_is_null_is_an_update_like_others():
    incoming = [line["msg"] for line in recorded(DATA / "claude.ndjson") if line["dir"] == "a2c"]
    unknown = [m for m in incoming if m.get("params", {}).get("update", {}).get("used", 0) is None]
    assert unknown
    assert all(classify(message, {}) == ("session/update", "usage_update") for message in unknown)
