"""A runner that one session at a time claims: its files and processes are that session's, and nobody else's."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tests.runner.problems import code
from tests.support.holders import holders
from tests.support.runner import AGENT, TOKEN, alive, names_in
from tests.support.waiting import until

KEY = "planted-key-0123456789"
AGENTS = {"demo": {"command": [sys.executable, str(AGENT)], "env": {"DEMO": KEY}}}
HEADER = "session-widgets-claim"


@pytest.fixture
def box(start):
    """A runner that must be claimed."""
    return start("box", claims=True, agents={})


def claim(runner, id_="c1", session="one", **more):
    body = {"id": id_, "session": session, "owner": "me", "new": True, "agents": AGENTS, **more}
    return runner.http.put("/v1/session", json=body)


def park(runner, id_="c1"):
    return runner.http.post("/v1/session/park", params={"id": id_})


def release(runner, id_="c1"):
    return runner.http.delete("/v1/session", params={"id": id_}, timeout=60)


def _release_in_vain(runner):
    with pytest.raises(httpx.HTTPError):
        release(runner)


def run(runner, *argv, **headers):
    return runner.http.post("/v1/processes/run", json={"command": argv[0], "args": argv[1:]}, headers=headers)


def test_nothing_works_before_a_claim_but_what_describes_the_machine(box):
    assert code(run(box, "true")) == (410, "sandbox_gone")
    assert code(box.http.get("/v1/session")) == (410, "sandbox_gone")
    assert box.http.get("/v1/health").json()["nonce"] == box.nonce
    machine = box.http.get("/v1/machine").json()
    assert (machine["root"], machine["python"]) == (str(box.root), sys.executable)
    assert machine["harnesses"] == str(box.directory / "harnesses")
    held = claim(box).json()
    assert (held["id"], held["session"], held["owner"], held["state"]) == ("c1", "one", "me", "running")
    assert run(box, "true").json()["exitCode"] == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/machine"),
        ("GET", "/v1/session"),
        ("PUT", "/v1/session"),
        ("DELETE", "/v1/session?id=c1"),
        ("POST", "/v1/session/park?id=c1"),
        ("GET", "/v1/harnesses/a"),
        ("PUT", "/v1/harnesses/a"),
    ],
)
def test_every_route_needs_the_token(box, method, path):
    claim(box)
    stranger = {"authorization": "Bearer wrong"}
    assert code(box.http.request(method, path, headers=stranger)) == (401, "token_invalid")
    assert box.http.get("/v1/session").json()["state"] == "running"
    assert not (box.directory / "harnesses").exists()


def test_a_session_that_holds_it_keeps_every_other_out(box):
    claim(box)
    (box.root / "mine").write_text("x")
    taken = claim(box, "c2", "two")
    assert code(taken) == (409, "taken")
    assert (taken.json()["id"], taken.json()["session"], taken.json()["owner"]) == ("c1", "one", "me")
    for refused in (park(box, "c2"), release(box, "c2")):
        assert code(refused) == (410, "sandbox_gone")
    assert code(run(box, "true", **{HEADER: "c2"})) == (410, "sandbox_gone")
    assert run(box, "true", **{HEADER: "c1"}).json()["exitCode"] == 0
    assert names_in(box.root) == ["mine"]


def test_a_directory_with_files_of_nobody_is_not_claimed(box):
    (box.root / "photo.jpg").write_text("of a person")
    assert code(claim(box)) == (409, "not_empty")
    assert code(box.http.get("/v1/session")) == (410, "sandbox_gone")
    assert names_in(box.root) == ["photo.jpg"]


def test_a_later_claim_never_begins_one(box):
    """A kernel that comes back must not take an empty directory for its own: every file would count as deleted."""
    assert code(claim(box, new=False)) == (410, "sandbox_gone")
    claim(box)
    assert claim(box, new=False).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "../x"},
        {"id": 7},
        {"session": "x" * 201},
        {"agents": {"demo": {}}},
        {"agents": {"demo": {"command": "python"}}},
        {"agents": []},
        {"env": {"A": 1}},
        {"idleSeconds": -1},
        {"idleSeconds": True},
    ],
    ids=str,
)
def test_a_claim_in_no_form_is_refused(box, wrong):
    assert code(claim(box, **{"id_": wrong.pop("id"), **wrong} if "id" in wrong else wrong)) == (400, "invalid_request")
    assert code(box.http.get("/v1/session")) == (410, "sandbox_gone")


def test_parking_ends_every_process_and_stream_and_keeps_the_rest(box):
    claim(box)
    agent = box.open("a")
    pid = int(run(box, "sh", "-c", "sleep 300 >/dev/null 2>&1 & echo $!").json()["stdout"])
    (box.root / "kept").write_text("x")
    with box.stream("/v1/fs/watch") as watch:
        assert next(watch)[0] == "ready"
        assert park(box).json()["state"] == "parked"
        with pytest.raises((StopIteration, httpx.RemoteProtocolError)):
            next(watch)
    assert not alive(pid)
    assert code(run(box, "true")) == (409, "sandbox_parked")
    assert code(box.http.get(f"/v1/acp/{agent}")) == (409, "sandbox_parked")
    assert park(box).json()["state"] == "parked"
    assert claim(box, new=False).json()["state"] == "running"
    assert names_in(box.root) == ["kept"]
    methods = [message.get("method") for _, message in box.events("a", method="_adapter/agent_exited")]
    assert methods[-1] == "_adapter/agent_exited"


def test_an_equal_claim_leaves_the_agents_alone_and_another_replaces_them(box):
    claim(box)
    box.open("a")
    claim(box, new=False)
    assert [one["serverId"] for one in box.http.get("/v1/acp").json()["servers"]] == ["a"]
    claim(box, new=False, env={"GIVEN": "words"})
    assert box.http.get("/v1/acp").json()["servers"] == []
    assert run(box, "sh", "-c", "printf %s $GIVEN").json()["stdout"] == "words"


def test_parking_again_and_again_keeps_no_file_open(box):
    counts = []
    for _ in range(6):
        claim(box)
        assert run(box, "true").json()["exitCode"] == 0
        park(box)
        counts.append(len(names_in(Path(f"/proc/{box.process.pid}/fd"))))
    assert counts[-1] <= counts[1]


def test_a_released_directory_is_empty_whatever_was_made_there(box, tmp_path):
    claim(box)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (box.root / "out").symlink_to(outside)
    (box.root / "closed").mkdir()
    (box.root / "closed" / "file").write_text("x")
    (box.root / "closed").chmod(0)
    os.mkfifo(box.root / "pipe")
    run(box, sys.executable, "-c", "import os\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')")
    assert release(box).status_code == 204
    assert names_in(box.root) == []
    assert names_in(outside) == ["precious"]
    assert names_in(box.state) == ["lock", "ready.json"]
    assert code(release(box)) == (410, "sandbox_gone")
    assert code(claim(box, new=False)) == (410, "sandbox_gone")
    assert claim(box, "c2", "two").status_code == 200


def test_a_runner_that_is_killed_comes_back_parked(start):
    box = start("box", claims=True, agents={})
    claim(box)
    box.open("a")
    (box.root / "kept").write_text("x")
    box.stop(signal.SIGKILL)
    until(lambda: not box.carriers(), what="the guard's sweep")
    again = start("box", claims=True, agents={})
    assert again.http.get("/v1/session").json()["state"] == "parked"
    assert code(run(again, "true")) == (409, "sandbox_parked")
    assert code(claim(again, "c2", "two")) == (409, "taken")
    assert claim(again, new=False).status_code == 200
    assert names_in(again.root) == ["kept"]
    assert again.events("a", method="_adapter/agent_exited")


def test_a_release_that_is_killed_leaves_everything_or_nothing(start):
    """Files that are half removed, with a claim that stands, would be taken for deletions by the session."""
    box = start("box", claims=True, agents={})
    claim(box)
    for number in range(20_000):
        (box.root / str(number)).touch()
    releasing = threading.Thread(target=_release_in_vain, args=(box,))
    releasing.start()
    until(lambda: len(names_in(box.root)) < 20_000, what="the first file that is gone")
    box.stop(signal.SIGKILL)
    releasing.join()
    assert names_in(box.root), "it was killed in the middle"
    again = start("box", claims=True, agents={})
    assert code(again.http.get("/v1/session")) == (410, "sandbox_gone")
    assert names_in(again.root) == []


def test_an_idle_session_is_parked(box):
    claim(box, idleSeconds=0.2)
    until(lambda: box.http.get("/v1/session").json()["state"] == "parked", what="its end")


def test_no_key_is_on_disk(box):
    claim(box, env={"OTHER": KEY})
    box.open("a")
    assert KEY in run(box, "env").json()["stdout"]
    assert holders(box.directory, KEY) == []
    assert TOKEN not in (box.state / "claim.json").read_text()
